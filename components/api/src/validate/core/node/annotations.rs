//! Annotations of nodes that once meant something to the scheduler, and are still checked.
use super::taints;
use crate::value::{at, flag, list};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::{json, meta};
use serde_json::Value;

const TAINTS: &str = "scheduler.alpha.kubernetes.io/taints";
const AVOIDED_PODS: &str = "scheduler.alpha.kubernetes.io/preferAvoidPods";

pub(super) fn check(node: &Value) -> ErrorList {
    let path = Path::new("metadata.annotations");
    let given = |key| meta::annotation(node, key).filter(|text| !text.is_empty());
    let mut errors = ErrorList::new();
    if let Some(text) = given(TAINTS) {
        match read(text, "[]v1.Taint", |value| value.is_array()) {
            Ok(value) => errors.extend(taints(list(&value, &[]), &path.child(TAINTS))),
            Err(why) => errors.push(Error::invalid(&path, TAINTS, why)),
        }
    }
    if let Some(text) = given(AVOIDED_PODS) {
        match read(text, "v1.AvoidPods", |value| value.is_object()) {
            Ok(value) => errors.extend(avoided(&value, &path.child(AVOIDED_PODS))),
            Err(why) => errors.push(Error::invalid(&path.child("AvoidPods"), AVOIDED_PODS, why)),
        }
    }
    errors
}

/// The value in a text as Go reads it into that type, or what Go says.
fn read(text: &str, kind: &str, fits: fn(&Value) -> bool) -> Result<Value, String> {
    let parsed = json::parse(text.as_bytes()).map_err(|error| error.to_string())?;
    let value = parsed.value;
    if value.is_null() || fits(&value) {
        return Ok(value);
    }
    let noun = match value {
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Bool(_) => "bool",
        Value::Array(_) => "array",
        _ => "object",
    };
    Err(format!(
        "json: cannot unmarshal {noun} into Go value of type {kind}"
    ))
}

/// Pods are told by their controllers.
fn avoided(value: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, entry) in list(value, &["preferAvoidPods"]).iter().enumerate() {
        let path = path.index(index).child("PodSignature");
        let controller = at(entry, &["podSignature", "podController"]);
        if !controller.is_object() {
            errors.push(Error::required(&path, ""));
        } else if !flag(controller, &["controller"]) {
            errors.push(Error::invalid(
                &path.child("PodController.Controller"),
                Value::Bool(false),
                "must point to a controller",
            ));
        }
    }
    errors
}
