//! AdmissionReview: the question that is sent and the answer that comes back.

use super::decode;
use crate::admission::attributes::Attributes;
use crate::admission::matching::Invocation;
use crate::identity::User;
use crate::nulls;
use apimachinery::{GroupVersionKind, json};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The version of the review that a webhook understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V1,
    V1beta1,
}

impl Version {
    pub fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "admission.k8s.io/v1",
            Self::V1beta1 => "admission.k8s.io/v1beta1",
        }
    }
}

#[derive(Serialize)]
struct Review<'a> {
    kind: &'static str,
    #[serde(rename = "apiVersion")]
    api_version: &'static str,
    request: Request<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    uid: &'a str,
    kind: Kind<'a>,
    resource: Resource<'a>,
    #[serde(skip_serializing_if = "str::is_empty")]
    sub_resource: &'a str,
    request_kind: Kind<'a>,
    request_resource: Resource<'a>,
    #[serde(skip_serializing_if = "str::is_empty")]
    request_sub_resource: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    namespace: &'a str,
    operation: &'static str,
    user_info: UserInfo<'a>,
    object: Option<&'a Value>,
    old_object: Option<&'a Value>,
    dry_run: bool,
    options: Value,
}

#[derive(Serialize)]
struct Kind<'a> {
    group: &'a str,
    version: &'a str,
    kind: &'a str,
}

impl<'a> From<&'a GroupVersionKind> for Kind<'a> {
    fn from(gvk: &'a GroupVersionKind) -> Self {
        Self {
            group: &gvk.group,
            version: &gvk.version,
            kind: &gvk.kind,
        }
    }
}

#[derive(Serialize)]
struct Resource<'a> {
    group: &'a str,
    version: &'a str,
    resource: &'a str,
}

impl<'a> From<&'a api::Resource> for Resource<'a> {
    fn from(row: &'a api::Resource) -> Self {
        Self {
            group: &row.gvk.group,
            version: &row.gvk.version,
            resource: &row.plural,
        }
    }
}

#[derive(Serialize)]
struct UserInfo<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    username: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    uid: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    groups: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extra: &'a BTreeMap<String, Vec<String>>,
}

impl<'a> From<&'a User> for UserInfo<'a> {
    fn from(user: &'a User) -> Self {
        Self {
            username: &user.name,
            uid: &user.uid,
            groups: &user.groups,
            extra: &user.extra,
        }
    }
}

/// The review as JSON. `object` and `old` are of the invocation's kind.
pub fn question(
    version: Version,
    uid: &str,
    attributes: &Attributes<'_>,
    invocation: &Invocation,
    object: Option<&Value>,
    old: Option<&Value>,
) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&Review {
        kind: "AdmissionReview",
        api_version: version.api_version(),
        request: Request {
            uid,
            kind: (&invocation.kind).into(),
            resource: (&*invocation.row).into(),
            sub_resource: &attributes.subresource,
            request_kind: attributes.kind().into(),
            request_resource: (&*attributes.row).into(),
            request_sub_resource: &attributes.subresource,
            name: &attributes.name,
            namespace: attributes.seen_namespace(),
            operation: attributes.operation.name(),
            user_info: (&*attributes.user).into(),
            object,
            old_object: old,
            dry_run: attributes.dry_run,
            options: attributes.options_object(),
        },
    })
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answered {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    response: Option<Response>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    #[serde(default)]
    uid: Option<String>,
    #[serde(default)]
    allowed: Option<bool>,
    #[serde(default)]
    status: Option<Value>,
    #[serde(default)]
    patch: Option<String>,
    #[serde(default)]
    patch_type: Option<String>,
    #[serde(default)]
    audit_annotations: Option<BTreeMap<String, String>>,
    #[serde(default)]
    warnings: Option<Vec<String>>,
}

/// What a webhook said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    pub allowed: bool,
    /// `status` as it came.
    pub status: Option<Value>,
    /// Operations of a JSON patch; empty when nothing is to be changed.
    pub patch: Vec<Value>,
    pub audit_annotations: BTreeMap<String, String>,
    pub warnings: Vec<String>,
}

/// Why an answer can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadAnswer {
    /// It isn't a review at all; the call failed.
    Undecodable(String),
    /// It breaks the rules of reviews.
    Invalid(String),
    /// The patch can't be read.
    Patch(String),
}

/// Reads and checks an answer; the texts are upstream's.
pub fn answer(bytes: &[u8], version: Version, uid: &str, mutating: bool) -> Result<Verdict, BadAnswer> {
    let invalid = |why: String| Err(BadAnswer::Invalid(why));
    let document = decode::document(bytes, version).map_err(BadAnswer::Undecodable)?;
    let answered: Option<Answered> =
        nulls::from_json(document).map_err(|error| BadAnswer::Undecodable(error.to_string()))?;
    let answered = answered.unwrap_or_default();
    let Some(response) = answered.response else {
        return invalid("webhook response was absent".to_owned());
    };
    if version == Version::V1 {
        let given = response.uid.as_deref().unwrap_or("");
        if given != uid {
            return invalid(format!("expected response.uid={uid:?}, got {given:?}"));
        }
    }
    let default = version == Version::V1beta1 && answered.kind.is_empty() && answered.api_version.is_empty();
    if !default && (answered.kind != "AdmissionReview" || answered.api_version != version.api_version()) {
        return invalid(format!(
            "expected webhook response of {}, got {}",
            go_kind(version.api_version(), "AdmissionReview"),
            go_kind(&answered.api_version, &answered.kind)
        ));
    }
    let patch = response.patch.filter(|patch| !patch.is_empty());
    if version == Version::V1 {
        check_patch(patch.is_some(), response.patch_type.as_deref(), mutating)?;
    }
    let allowed = response.allowed.unwrap_or(false);
    let patch = match patch.filter(|_| mutating && allowed) {
        Some(text) => operations(&text)?,
        None => Vec::new(),
    };
    Ok(Verdict {
        allowed,
        status: response.status.filter(Value::is_object),
        patch,
        audit_annotations: response.audit_annotations.unwrap_or_default(),
        warnings: response.warnings.unwrap_or_default(),
    })
}

fn check_patch(patched: bool, patch_type: Option<&str>, mutating: bool) -> Result<(), BadAnswer> {
    let why = match (mutating, patched, patch_type) {
        (true, true, None) => "webhook returned response.patch but not response.patchType",
        (true, false, Some(_)) => "webhook returned response.patchType but not response.patch",
        (true, true, Some("")) => "webhook returned invalid response.patchType of \"\"",
        (true, true, Some(other)) if other != "JSONPatch" => {
            return Err(BadAnswer::Invalid(format!("unsupported patch type {other:?}")));
        }
        (false, true, _) => "validating webhook may not return response.patch",
        (false, false, Some(_)) => "validating webhook may not return response.patchType",
        _ => return Ok(()),
    };
    Err(BadAnswer::Invalid(why.to_owned()))
}

fn operations(text: &str) -> Result<Vec<Value>, BadAnswer> {
    let bytes = STANDARD
        .decode(text)
        .map_err(|error| BadAnswer::Undecodable(format!("response.patch: {error}")))?;
    let bad = |value: &Value, wanted: &str| {
        BadAnswer::Patch(format!(
            "json: cannot unmarshal {} into Go value of type jsonpatch.{wanted}",
            apimachinery::decode::noun(value)
        ))
    };
    let document = json::parse(&bytes).map_err(|error| BadAnswer::Patch(error.to_string()))?;
    match document.value {
        // Go reads null as no operations.
        Value::Null => Ok(Vec::new()),
        Value::Array(operations) => {
            let mut given = operations.iter();
            match given.find(|operation| !operation.is_object() && !operation.is_null()) {
                Some(operation) => Err(bad(operation, "Operation")),
                None => Ok(operations),
            }
        }
        other => Err(bad(&other, "Patch")),
    }
}

/// A kind as Go prints it.
fn go_kind(api_version: &str, kind: &str) -> String {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    format!("{group}/{version}, Kind={kind}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn review(response: Value) -> Vec<u8> {
        json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response})
            .to_string()
            .into_bytes()
    }

    #[test]
    fn answers() {
        let patch = STANDARD.encode(json!([{"op": "add", "path": "/a", "value": 1}]).to_string());
        let verdict = answer(
            &review(json!({"uid": "u", "allowed": true, "patch": patch, "patchType": "JSONPatch", "warnings": ["w"], "auditAnnotations": {"k": "v"}})),
            Version::V1,
            "u",
            true,
        )
        .unwrap();
        assert_eq!((verdict.allowed, verdict.patch.len()), (true, 1));
        assert_eq!(verdict.warnings, ["w"]);
        let empty = answer(
            &review(json!({"uid": "u", "warnings": ["a", null], "auditAnnotations": {"k": null}})),
            Version::V1,
            "u",
            true,
        )
        .unwrap();
        assert_eq!(empty.warnings, ["a", ""]);
        assert_eq!(empty.audit_annotations["k"], "");
        let null = answer(
            &review(json!({"uid": "u", "patch": null, "status": null})),
            Version::V1,
            "u",
            true,
        );
        assert_eq!(null, Ok(Verdict::default()));
    }

    #[test]
    fn bad_answers() {
        for (bytes, mutating, expected) in [
            (review(json!(null)), true, "webhook response was absent"),
            (
                review(json!({"uid": "x"})),
                true,
                "expected response.uid=\"u\", got \"x\"",
            ),
            (
                br#"{"response": {"uid": "u"}}"#.to_vec(),
                true,
                "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got /, Kind=",
            ),
            (
                review(json!({"uid": "u", "patch": "W10="})),
                true,
                "webhook returned response.patch but not response.patchType",
            ),
            (
                review(json!({"uid": "u", "patchType": "JSONPatch"})),
                true,
                "webhook returned response.patchType but not response.patch",
            ),
            (
                review(json!({"uid": "u", "patch": "W10=", "patchType": "JSONPatch"})),
                false,
                "validating webhook may not return response.patch",
            ),
        ] {
            let found = answer(&bytes, Version::V1, "u", mutating);
            assert_eq!(found, Err(BadAnswer::Invalid(expected.to_owned())));
        }
        for (patch, expected) in [
            (r#"{"a":"#, "unexpected end of JSON input"),
            (
                "{}",
                "json: cannot unmarshal object into Go value of type jsonpatch.Patch",
            ),
            (
                "[1]",
                "json: cannot unmarshal number into Go value of type jsonpatch.Operation",
            ),
        ] {
            let response = json!({"uid": "u", "allowed": true, "patch": STANDARD.encode(patch), "patchType": "JSONPatch"});
            let found = answer(&review(response), Version::V1, "u", true);
            assert_eq!(found, Err(BadAnswer::Patch(expected.to_owned())));
        }
        assert!(matches!(
            answer(b"<html>", Version::V1, "u", true),
            Err(BadAnswer::Undecodable(_))
        ));
    }

    #[test]
    fn the_old_version_asks_for_less() {
        let bytes = json!({"response": {"allowed": true, "patch": STANDARD.encode("[{}]")}}).to_string();
        let verdict = answer(bytes.as_bytes(), Version::V1beta1, "u", true).unwrap();
        assert_eq!((verdict.allowed, verdict.patch.len()), (true, 1));
    }
}
