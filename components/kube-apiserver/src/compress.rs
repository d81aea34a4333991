//! Gzip for large answers.

use crate::request_info::RequestInfo;
use crate::serving::body::{Body, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderMap;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, HeaderValue, VARY};
use std::io::Write;

/// Answers are compressed with this feature only.
pub const FEATURE: &str = "APIResponseCompression";

/// Below this size compressing costs more than it saves, by upstream's measure.
const THRESHOLD: u64 = 128 * 1024;

/// Whether the client takes gzip for this request. What goes on has no end that could be waited for.
pub fn wanted(headers: &HeaderMap, info: &RequestInfo) -> bool {
    let documents =
        !info.is_resource && (info.path.starts_with("/openapi/") || info.path.starts_with("/api"));
    (info.is_resource && !info.is_long_running() || documents)
        && headers
            .get_all(ACCEPT_ENCODING)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            // With a quality it may be a refusal; upstream takes the bare name only.
            .any(|coding| coding.trim() == "gzip")
}

/// Compresses a body that is large enough and complete.
pub fn apply(response: Response) -> Response {
    let large = response
        .body()
        .known_length()
        .is_some_and(|length| length >= THRESHOLD);
    if !large || response.headers().contains_key(CONTENT_ENCODING) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Body::Slices { slices, .. } = body else {
        return Response::from_parts(parts, body);
    };
    match gzip(slices.iter()) {
        Ok(compressed) => {
            parts.headers.remove(CONTENT_LENGTH);
            parts
                .headers
                .insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            parts
                .headers
                .append(VARY, HeaderValue::from_static("Accept-Encoding"));
            Response::from_parts(parts, Body::bytes(compressed))
        }
        Err(_) => Response::from_parts(parts, Body::slices(slices)),
    }
}

fn gzip<'a>(slices: impl Iterator<Item = &'a Bytes>) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for slice in slices {
        encoder.write_all(slice)?;
    }
    encoder.finish()
}
