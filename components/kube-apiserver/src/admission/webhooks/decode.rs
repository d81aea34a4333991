//! Reading what a webhook answers, up to its being a review: in upstream's words, whose decoder knows only reviews.

use super::review::Version;
use crate::kinds;
use apimachinery::{json, meta, yaml};
use serde_json::Value;

const REVIEW: &str = "AdmissionReview";

/// The document of an answer to a question of a version.
pub fn document(bytes: &[u8], version: Version) -> Result<Value, String> {
    let value = parse(bytes)?;
    let (kind, api_version) = (meta::kind(&value), meta::api_version(&value));
    let kind = if kind.is_empty() { REVIEW } else { kind };
    if matches!(kind, REVIEW) && (api_version.is_empty() || api_version == version.api_version()) {
        return Ok(value);
    }
    let reviews = [Version::V1, Version::V1beta1];
    let known = match kind {
        REVIEW => reviews.iter().any(|known| known.api_version() == api_version),
        // Whoever serves anything may answer with one.
        "Status" => api_version == "v1",
        _ => false,
    };
    if known {
        let short = |version: &str| version.rsplit('/').next().unwrap_or("").to_owned();
        return Err(format!(
            "converting ({}.{kind}) to ({}.{REVIEW}): unknown conversion",
            short(api_version),
            short(version.api_version())
        ));
    }
    let api_version = if api_version.is_empty() {
        version.api_version()
    } else {
        api_version
    };
    Err(format!(
        "no kind {kind:?} is registered for version {api_version:?} in scheme \"pkg/util/webhook/client.go:72\""
    ))
}

/// JSON where it begins like an object, otherwise YAML, whatever the content type says.
fn parse(bytes: &[u8]) -> Result<Value, String> {
    let unread = |why: &dyn std::fmt::Display| format!("couldn't get version/kind; json parse error: {why}");
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    if first == Some(&b'{') {
        return json::parse(bytes)
            .map(|document| document.value)
            .map_err(|error| unread(&error));
    }
    let value = yaml::parse(bytes).map_err(|error| error.to_string())?;
    if value.is_object() || value.is_null() {
        return Ok(value);
    }
    let noun = apimachinery::decode::noun(&value);
    let why = format!(
        "json: cannot unmarshal {noun} into Go value of type {}",
        kinds::TYPE_META
    );
    Err(unread(&why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_review_is_told_as_upstream_does() {
        let unread = "couldn't get version/kind; json parse error: ";
        for (text, expected) in [
            ("{\"response\": {}}", None),
            ("kind: AdmissionReview\napiVersion: admission.k8s.io/v1", None),
            ("{\"kind\": \"AdmissionReview\"}", None),
            ("{\"a\":", Some(format!("{unread}unexpected end of JSON input"))),
            (
                "<html>",
                Some(format!(
                    "{unread}json: cannot unmarshal string into Go value of type {}",
                    kinds::TYPE_META
                )),
            ),
            (
                "{\"kind\": \"Pod\", \"apiVersion\": \"v1\"}",
                Some(
                    "no kind \"Pod\" is registered for version \"v1\" in scheme \"pkg/util/webhook/client.go:72\""
                        .to_owned(),
                ),
            ),
            (
                "{\"kind\": \"AdmissionReview\", \"apiVersion\": \"admission.k8s.io/v1beta1\"}",
                Some("converting (v1beta1.AdmissionReview) to (v1.AdmissionReview): unknown conversion".to_owned()),
            ),
            (
                "{\"kind\": \"Status\", \"apiVersion\": \"v1\"}",
                Some("converting (v1.Status) to (v1.AdmissionReview): unknown conversion".to_owned()),
            ),
        ] {
            assert_eq!(document(text.as_bytes(), Version::V1).err(), expected, "{text}");
        }
    }
}
