//! What a webhook may answer: a review of the version that it was asked in, with objects that are still the same ones.

use super::super::GROUP;
use crate::metrics::conversion::Trouble;
use api::Resource;
use apimachinery::field::{Path, aggregate};
use apimachinery::{ApiError, Reason, go, meta};
use serde_json::{Map, Value, json};

const REVIEW: &str = "ConversionReview";

/// A question that was asked about objects of one version.
pub(super) struct Question<'q> {
    pub row: &'q Resource,
    /// The version of the objects.
    pub from: &'q str,
    /// The version that they are to have.
    pub wanted: &'q str,
    /// The version of the review.
    pub review: &'q str,
    pub uid: &'q str,
}

type Failure = (Trouble, ApiError);

/// A kind as Go prints it.
fn shown(api_version: &str, kind: &str) -> String {
    let slash = if api_version.contains('/') { "" } else { "/" };
    format!("{slash}{api_version}, Kind={kind}")
}

impl Question<'_> {
    /// An error about the conversion, as upstream begins it.
    pub fn error(&self, what: impl std::fmt::Display) -> ApiError {
        let kind = shown(self.from, &self.row.gvk.kind);
        let message = format!("conversion webhook for {kind} {what}");
        ApiError::new(500, Reason::Unknown, message, None)
    }

    /// The converted objects of an answer, if it is one to this question, and a success.
    pub fn converted(&self, objects: &[Value], mut answer: Value) -> Result<Vec<Value>, Failure> {
        self.check(&answer)
            .map_err(|why| (Trouble::Malformed, self.error(format!("failed: {why}"))))?;
        let converted = match answer["response"]["convertedObjects"].take() {
            Value::Array(converted) => converted,
            _ => Vec::new(),
        };
        if converted.len() != objects.len() {
            let what = format!("returned {} objects, expected {}", converted.len(), objects.len());
            return Err((Trouble::Partial, self.error(what)));
        }
        objects
            .iter()
            .zip(converted)
            .map(|(before, after)| {
                self.restored(before, after).map_err(|why| {
                    (
                        Trouble::InvalidObject,
                        self.error(format!("returned invalid {why}")),
                    )
                })
            })
            .collect()
    }

    fn check(&self, answer: &Value) -> Result<(), String> {
        let response = &answer["response"];
        // Older reviews need not say what they are.
        let strict = self.review == "v1";
        if strict {
            let expected = format!("{GROUP}/{}", self.review);
            let (version, kind) = (meta::api_version(answer), meta::kind(answer));
            if kind == REVIEW && version == format!("{GROUP}/v1beta1") {
                return Err(format!(
                    "converting (v1beta1.{REVIEW}) to (v1.{REVIEW}): unknown conversion"
                ));
            }
            if version != expected || kind != REVIEW {
                return Err(format!(
                    "expected webhook response of {}, got {}",
                    shown(&expected, REVIEW),
                    shown(version, kind)
                ));
            }
        }
        if response.is_null() {
            return Err("no response provided".to_owned());
        }
        let uid = response["uid"].as_str().unwrap_or("");
        if strict && uid != self.uid {
            return Err(format!("expected response.uid={:?}, got {uid:?}", self.uid));
        }
        let result = &response["result"];
        let status = result["status"].as_str().unwrap_or("");
        if status == "Success" {
            return Ok(());
        }
        Err(match result["message"].as_str() {
            Some(message) if !message.is_empty() => message.to_owned(),
            _ => format!("response.result.status was '{status}', not 'Success'"),
        })
    }

    /// The converted object, if it is still the same one: of metadata only labels and annotations may change.
    fn restored(&self, before: &Value, mut after: Value) -> Result<Value, String> {
        for (what, expected, given) in [
            ("groupVersion", self.wanted, meta::api_version(&after)),
            ("kind", meta::kind(before), meta::kind(&after)),
        ] {
            if expected != given {
                return Err(format!(
                    "object at index 0: invalid {what} (expected {expected}, received {given})"
                ));
            }
        }
        for (what, expected, given) in [
            ("name", meta::name(before), meta::name(&after)),
            ("namespace", meta::namespace(before), meta::namespace(&after)),
            ("UID", meta::uid(before), meta::uid(&after)),
        ] {
            if expected != given {
                return Err(format!(
                    "object: must have the same {what}: {expected} != {given}"
                ));
            }
        }
        after["metadata"] =
            metadata(before, after.get("metadata")).map_err(|why| format!("metadata: {why}"))?;
        Ok(after)
    }
}

fn metadata(before: &Value, given: Option<&Value>) -> Result<Value, String> {
    let given = match given {
        None => return Err("missing metadata in converted object".to_owned()),
        Some(Value::Object(given)) => given,
        Some(other) => {
            let found = go::type_of(other);
            return Err(format!("invalid metadata of type {found} in converted object"));
        }
    };
    let mut metadata = before
        .get("metadata")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    for field in ["labels", "annotations"] {
        match given.get(field).filter(|value| !value.is_null()) {
            None => {
                metadata.remove(field);
            }
            Some(Value::Object(texts)) => {
                check_texts(field, metadata.get(field), texts)?;
                metadata.insert(field.to_owned(), json!(texts));
            }
            Some(other) => {
                let found = go::type_of(other);
                return Err(format!(
                    "invalid metadata.{field} of type {found} in converted object"
                ));
            }
        }
    }
    Ok(Value::Object(metadata))
}

/// Labels or annotations are texts; those that were changed are looked at.
fn check_texts(field: &str, before: Option<&Value>, texts: &Map<String, Value>) -> Result<(), String> {
    for (key, value) in texts {
        if !value.is_string() {
            let found = go::type_of(value);
            return Err(format!(
                "metadata.{field}[{key}] must be a string, but is {found} in converted object"
            ));
        }
    }
    if before.and_then(Value::as_object) == Some(texts) {
        return Ok(());
    }
    let errors = match field {
        "labels" => api::validate::labels(&json!(texts), &Path::new("metadata.labels")),
        // The path is upstream's.
        _ => {
            let object = json!({"metadata": {"annotations": texts}});
            api::validate::annotations(&object, &Path::new("metadata.annotation"))
        }
    };
    if errors.is_empty() {
        return Ok(());
    }
    Err(aggregate(&errors))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is made of an answer to a question about one object; the text of an error without its beginning.
    fn converted(review: &str, before: &Value, answer: Value) -> Result<Value, String> {
        let registry = api::Registry::built_in();
        let row = registry.resource("apps", "v1", "deployments").unwrap();
        let question = Question {
            row,
            from: "apps/v1",
            wanted: "apps/v2",
            review,
            uid: "u",
        };
        let outcome = question.converted(std::slice::from_ref(before), answer);
        outcome
            .map(|mut objects| objects.remove(0))
            .map_err(|(_, error)| {
                let message = error.message().to_owned();
                let rest = message.strip_prefix("conversion webhook for apps/v1, Kind=Deployment ");
                rest.unwrap().to_owned()
            })
    }

    fn before() -> Value {
        json!({"apiVersion": "apps/v1", "kind": "D", "metadata": {"name": "x", "uid": "1", "labels": {"a": "b"}}, "old": 1})
    }

    fn review(version: &str, response: Value) -> Value {
        json!({"apiVersion": format!("{GROUP}/{version}"), "kind": REVIEW, "response": response})
    }

    fn success(object: Value) -> Value {
        review(
            "v1",
            json!({"uid": "u", "result": {"status": "Success"}, "convertedObjects": [object]}),
        )
    }

    #[test]
    fn a_webhook_changes_no_identity() {
        let good = json!({"apiVersion": "apps/v2", "kind": "D", "metadata": {"name": "x", "uid": "1", "annotations": {"c": "d"}, "generation": 9}, "new": 1});
        assert_eq!(
            converted("v1", &before(), success(good.clone())),
            Ok(
                json!({"apiVersion": "apps/v2", "kind": "D", "metadata": {"name": "x", "uid": "1", "annotations": {"c": "d"}}, "new": 1})
            )
        );
        for (pointer, value, why) in [
            (
                "/apiVersion",
                json!("apps/v3"),
                "returned invalid object at index 0: invalid groupVersion (expected apps/v2, received apps/v3)",
            ),
            (
                "/kind",
                json!("E"),
                "returned invalid object at index 0: invalid kind (expected D, received E)",
            ),
            (
                "/metadata/name",
                json!("y"),
                "returned invalid object: must have the same name: x != y",
            ),
            (
                "/metadata/uid",
                json!("2"),
                "returned invalid object: must have the same UID: 1 != 2",
            ),
            (
                "/metadata/annotations",
                json!("z"),
                "returned invalid metadata: invalid metadata.annotations of type string in converted object",
            ),
            (
                "/metadata/annotations/c",
                json!(1),
                "returned invalid metadata: metadata.annotations[c] must be a string, but is int64 in converted object",
            ),
            (
                "/metadata/annotations",
                json!({"-": "z"}),
                "returned invalid metadata: metadata.annotation: Invalid value: \"-\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            ),
        ] {
            let mut object = good.clone();
            *object.pointer_mut(pointer).unwrap() = value;
            assert_eq!(converted("v1", &before(), success(object)), Err(why.to_owned()));
        }
        let mut object = good;
        object["metadata"] = Value::Null;
        let why = "returned invalid object: must have the same name: x != ";
        assert_eq!(converted("v1", &before(), success(object)), Err(why.to_owned()));
        // What was odd before may stay.
        let odd = json!({"apiVersion": "apps/v1", "kind": "D", "metadata": {"labels": {"-": "b"}}});
        let mut same = odd.clone();
        same["apiVersion"] = json!("apps/v2");
        assert_eq!(converted("v1", &odd, success(same.clone())), Ok(same));
    }

    #[test]
    fn answers_are_reviews_of_the_version_that_was_sent() {
        let ok = json!({"result": {"status": "Success"}, "convertedObjects": []});
        for (version, answer, why) in [
            (
                "v1",
                json!({"response": {}}),
                "failed: expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got /, Kind=",
            ),
            (
                "v1",
                review("v1beta1", json!({})),
                "failed: converting (v1beta1.ConversionReview) to (v1.ConversionReview): unknown conversion",
            ),
            ("v1", review("v1", Value::Null), "failed: no response provided"),
            (
                "v1",
                review("v1", ok.clone()),
                "failed: expected response.uid=\"u\", got \"\"",
            ),
            (
                "v1",
                review(
                    "v1",
                    json!({"uid": "u", "result": {"status": "Failure", "message": "no"}}),
                ),
                "failed: no",
            ),
            (
                "v1",
                review("v1", json!({"uid": "u"})),
                "failed: response.result.status was '', not 'Success'",
            ),
            (
                "v1beta1",
                json!({"response": ok}),
                "returned 0 objects, expected 1",
            ),
            ("v1beta1", json!({}), "failed: no response provided"),
        ] {
            assert_eq!(converted(version, &before(), answer), Err(why.to_owned()));
        }
    }
}
