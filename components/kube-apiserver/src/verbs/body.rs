//! The object that a client sends.

use super::options::WriteOptions;
use crate::kinds;
use crate::media;
use crate::request::ApiRequest;
use api::Resource;
use apimachinery::managed_fields::Compact;
use apimachinery::{ApiError, GroupVersionKind};

/// Decodes the body as an object of the kind; what was odd about it the client is told in warnings.
pub fn object(
    row: &Resource,
    kind: &GroupVersionKind,
    request: &ApiRequest,
    options: &WriteOptions,
) -> Result<Compact, ApiError> {
    let decoded = kinds::decode(
        row,
        kind,
        &request.body,
        &media::content_type(&request.headers),
        options.field_validation,
    )
    .inspect_err(|_| request.note_undecoded())?;
    decoded
        .warnings
        .into_iter()
        .for_each(|warning| request.warn(warning));
    Ok(decoded.value)
}
