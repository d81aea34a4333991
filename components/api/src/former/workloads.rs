//! Workloads of extensions/v1beta1, apps/v1beta1 and apps/v1beta2, whose selectors and labels came from the template.
use crate::TEMPLATE_GENERATION;
use crate::defaults::labels_from_template;
use crate::value::{Object, absent, make, zero};
use serde_json::{Value, json};

/// Where the current version has a rollback that a client asked for.
const ROLLBACK: &str = "deprecated.deployment.rollback.revision";

/// Labels and selector of one that says none.
pub(super) fn of_template(object: &mut Object) {
    labels_from_template(object);
    let spec = make(object, "spec");
    let labels = spec
        .get("template")
        .map(|template| crate::value::at(template, &["metadata", "labels"]).clone())
        .filter(Value::is_object);
    if let Some(labels) = labels {
        absent(spec, "selector", json!({ "matchLabels": labels }));
    }
}

fn annotate(object: &mut Object, key: &str, number: i64) {
    let annotations = make(make(object, "metadata"), "annotations");
    annotations.insert(key.to_owned(), json!(number.to_string()));
}

/// The strategy of a Deployment that says none, with how many pods an update may touch.
fn roll(object: &mut Object, many: &Value) {
    let strategy = make(make(object, "spec"), "strategy");
    zero(strategy, "type", "RollingUpdate");
    if strategy["type"] == "RollingUpdate" {
        let rolling = make(strategy, "rollingUpdate");
        absent(rolling, "maxUnavailable", many.clone());
        absent(rolling, "maxSurge", many.clone());
    }
}

fn any_deployment(object: &mut Object) {
    of_template(object);
    if let Some(rollback) = make(object, "spec").remove("rollbackTo")
        && rollback.is_object()
    {
        annotate(object, ROLLBACK, rollback["revision"].as_i64().unwrap_or(0));
    }
}

/// apps/v1beta1
pub(super) fn deployment(object: &mut Object) {
    any_deployment(object);
    roll(object, &json!("25%"));
    absent(make(object, "spec"), "revisionHistoryLimit", 2);
}

/// extensions/v1beta1
pub(super) fn first_deployment(object: &mut Object) {
    any_deployment(object);
    roll(object, &json!(1));
    let spec = make(object, "spec");
    for unlimited in ["revisionHistoryLimit", "progressDeadlineSeconds"] {
        absent(spec, unlimited, i32::MAX);
    }
}

/// extensions/v1beta1
pub(super) fn daemon_set(object: &mut Object) {
    of_template(object);
    let spec = make(object, "spec");
    zero(make(spec, "updateStrategy"), "type", "OnDelete");
    let generation = spec.remove("templateGeneration");
    if let Some(generation) = generation.as_ref().and_then(Value::as_i64) {
        annotate(object, TEMPLATE_GENERATION, generation);
    }
}

/// apps/v1beta1
pub(super) fn stateful_set(object: &mut Object) {
    of_template(object);
    let spec = make(object, "spec");
    zero(make(spec, "updateStrategy"), "type", "OnDelete");
}
