//! Kinds of the smaller groups.
use crate::value::{Object, items_mut, make, map_mut, zero};
use serde_json::{Value, json};

const RBAC: &str = "rbac.authorization.k8s.io";
/// That a priority level of flowcontrol.apiserver.k8s.io/v1beta3 means the zero that it says.
const KEEP_ZERO: &str = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares";
const SHARES: i64 = 30;
/// In selectors of disruption budgets: what v1beta1 can't say otherwise.
const EMPTY_SELECTOR: &str = "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match";

/// autoscaling/v1
pub(super) fn autoscaler(object: &mut Object) {
    crate::defaults::autoscaling::apply("v1", object);
    let mut value = Value::Object(std::mem::take(object));
    crate::autoscalers::to_v2(&mut value);
    if let Value::Object(upgraded) = value {
        *object = upgraded;
    }
}

/// certificates.k8s.io/v1beta1. Upstream looks into a request that names no signer for one that fits; requests are deleted after
/// a day, and none of v1.18 or later was stored without.
pub(super) fn signing_request(object: &mut Object) {
    let spec = make(object, "spec");
    zero(spec, "signerName", "kubernetes.io/legacy-unknown");
    zero(spec, "usages", json!(["digital signature", "key encipherment"]));
    for condition in items_mut(make(object, "status"), "conditions") {
        zero(condition, "status", "True");
    }
}

/// flowcontrol.apiserver.k8s.io/v1beta3
pub(super) fn priority_level(object: &mut Object) {
    let annotations = map_mut(make(object, "metadata"), "annotations");
    let kept = annotations.and_then(|annotations| annotations.remove(KEEP_ZERO));
    let shares = if kept.is_some() { 0 } else { SHARES };
    if let Some(limited) = map_mut(make(object, "spec"), "limited") {
        zero(limited, "nominalConcurrencyShares", shares);
    }
}

/// flowcontrol.apiserver.k8s.io/v1beta1 and v1beta2
pub(super) fn assured_priority_level(object: &mut Object) {
    if let Some(limited) = map_mut(make(object, "spec"), "limited") {
        zero(limited, "assuredConcurrencyShares", SHARES);
        let shares = limited.remove("assuredConcurrencyShares").unwrap_or_default();
        limited.insert("nominalConcurrencyShares".to_owned(), shares);
    }
}

/// node.k8s.io/v1alpha1
pub(super) fn runtime_class(object: &mut Object) {
    let Some(Value::Object(mut spec)) = object.remove("spec") else {
        return;
    };
    for (then, now) in [
        ("runtimeHandler", "handler"),
        ("overhead", "overhead"),
        ("scheduling", "scheduling"),
    ] {
        if let Some(said) = spec.remove(then) {
            object.insert(now.to_owned(), said);
        }
    }
}

/// policy/v1beta1, where an empty selector is of no pod, and in v1 of all.
pub(super) fn disruption_budget(object: &mut Object) {
    let Some(selector) = map_mut(make(object, "spec"), "selector") else {
        return;
    };
    selector.retain(|_, said| !crate::value::is_zero(Some(said)));
    if selector.is_empty() {
        let none = json!([{ "key": EMPTY_SELECTOR, "operator": "Exists" }]);
        selector.insert("matchExpressions".to_owned(), none);
        return;
    }
    let Some(Value::Array(expressions)) = selector.get_mut("matchExpressions") else {
        return;
    };
    // Alone and negated it stands for all pods, which is what is left without it.
    expressions.retain(|expression| expression["key"] != EMPTY_SELECTOR);
    if expressions.is_empty() {
        selector.remove("matchExpressions");
    }
}

/// rbac.authorization.k8s.io/v1alpha1, where subjects had a version.
pub(super) fn role_binding(object: &mut Object) {
    for subject in items_mut(object, "subjects") {
        let version = subject.remove("apiVersion").unwrap_or_default();
        let kind = subject.get("kind").and_then(Value::as_str).unwrap_or("");
        let group = match (kind, version.as_str().and_then(|version| version.split_once('/'))) {
            ("ServiceAccount", _) => "",
            ("User" | "Group", _) => RBAC,
            (_, Some((group, _))) => group,
            (_, None) => "",
        };
        if kind == "User" && subject.get("name").is_some_and(|name| name == "*") {
            subject.insert("kind".to_owned(), json!("Group"));
            subject.insert("name".to_owned(), json!("system:authenticated"));
        }
        subject.insert("apiGroup".to_owned(), json!(group));
    }
}
