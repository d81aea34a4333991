//! The annotation in which kubectl keeps what it applied on the client's side, for objects that go over to server-side
//! apply and, maybe, back.
use super::manager::FieldManager;
use crate::apply::{Comparison, compare, field_set, validate};
use crate::fieldset::FieldSet;
use crate::{go, json, meta};
use serde_json::Value;

const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The only field manager that the annotation is looked at and kept for.
const KUBECTL: &str = "kubectl";
/// Bytes of all annotations of an object.
const MAX_ANNOTATIONS: usize = 256 * 1024;

fn text(object: &Value) -> Option<&str> {
    meta::annotation(object, ANNOTATION).filter(|text| !text.is_empty())
}

/// Fields that this manager may take over without force: those it applied on the client's side that are as it applied
/// them.
pub(super) fn may_take(fields: &FieldManager<'_>, manager: &str, live: &Value) -> Option<FieldSet> {
    if manager != KUBECTL {
        return None;
    }
    let applied = json::parse(text(live)?.as_bytes()).ok()?.value;
    if meta::api_version(&applied) != fields.api_version {
        return None;
    }
    validate(fields.schemas, &fields.ty(), &applied).ok()?;
    let Comparison {
        added,
        modified,
        removed,
    } = compare(fields.schemas, &fields.ty(), &applied, live);
    let mut own = field_set(fields.schemas, &fields.ty(), &applied);
    for changed in [&added, &modified, &removed] {
        own.subtract(changed);
    }
    Some(own)
}

/// Brings the annotation of an object that has one up to date with what was applied to it, so that the client's side can
/// go on from there.
pub(super) fn keep(object: &mut Value, manager: &str, applied: &Value) {
    if manager != KUBECTL || text(object).is_none() {
        return;
    }
    let mut applied = applied.clone();
    let annotations = |object: &mut Value| {
        let annotations = object.get_mut("metadata")?.get_mut("annotations")?;
        annotations.as_object_mut().map(std::mem::take)
    };
    if let Some(mut rest) = annotations(&mut applied) {
        rest.remove(ANNOTATION);
        applied["metadata"]["annotations"] = Value::Object(rest);
    }
    // Upstream's encoder ends documents with a new line.
    let text = go::json(&applied) + "\n";
    meta::set_annotation(object, ANNOTATION, &text);
    if let Some(mut all) = annotations(object) {
        let length = |(key, value): (&String, &Value)| key.len() + value.as_str().map_or(0, str::len);
        if all.iter().map(length).sum::<usize>() > MAX_ANNOTATIONS {
            all.remove(ANNOTATION);
        }
        object["metadata"]["annotations"] = Value::Object(all);
    }
}
