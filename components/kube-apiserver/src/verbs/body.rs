//! The object that a client sends.

use super::options::WriteOptions;
use crate::kinds;
use crate::media;
use crate::request::ApiRequest;
use api::Resource;
use apimachinery::managed_fields::Compact;
use apimachinery::{ApiError, GroupVersionKind};
use opentelemetry::KeyValue;
use storage::spans;

/// Decodes the body as an object of the kind; what was odd about it the client is told in warnings.
pub fn object(
    row: &Resource,
    kind: &GroupVersionKind,
    request: &ApiRequest,
    options: &WriteOptions,
) -> Result<Compact, ApiError> {
    spans::event("About to convert to expected version");
    let decoded = kinds::decode(
        row,
        kind,
        &request.body,
        &media::content_type(&request.headers),
        options.field_validation,
    )
    .inspect_err(|_| request.note_undecoded())?;
    spans::event("Conversion done");
    decoded
        .warnings
        .into_iter()
        .for_each(|warning| request.warn(warning));
    Ok(decoded.value)
}

/// Tells the request's span that the object is stored.
pub fn written(request: &ApiRequest) {
    spans::event_with("Write to database call succeeded", || {
        vec![KeyValue::new("len", request.body.len() as i64)]
    });
}
