use super::Allowed;
use crate::validate::shared::{label_selector, label_selector_with, texts};
use crate::value::{at, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::names;
use serde_json::Value;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub(super) fn affinity(affinity: &Value, allowed: Allowed, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let node = at(affinity, &["nodeAffinity"]);
    let node_path = path.child("nodeAffinity");
    if at(node, &[REQUIRED]).is_object() {
        errors.extend(node_selector_unless(
            allowed.any_node_values,
            at(node, &[REQUIRED]),
            &node_path.child(REQUIRED),
        ));
    }
    for (index, term) in list(node, &[PREFERRED]).iter().enumerate() {
        let path = node_path.child(PREFERRED).index(index);
        errors.extend(weight(term, &path));
        // Values of a preference are not checked, as it may be met without them.
        errors.extend(term_of(
            at(term, &["preference"]),
            false,
            &path.child("preference"),
        ));
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let path = path.child(kind);
        for (index, term) in list(affinity, &[kind, REQUIRED]).iter().enumerate() {
            errors.extend(pod_term(term, allowed, &path.child(REQUIRED).index(index)));
        }
        for (index, weighted) in list(affinity, &[kind, PREFERRED]).iter().enumerate() {
            let path = path.child(PREFERRED).index(index);
            errors.extend(weight(weighted, &path));
            errors.extend(pod_term(
                at(weighted, &["podAffinityTerm"]),
                allowed,
                &path.child("podAffinityTerm"),
            ));
        }
    }
    errors
}

fn weight(term: &Value, path: &Path) -> Option<Error> {
    let weight = at(term, &["weight"]).as_i64().unwrap_or(0);
    (!(1..=100).contains(&weight))
        .then(|| Error::invalid(&path.child("weight"), weight, "must be in the range 1-100"))
}

/// A NodeSelector: at least one term.
pub(in crate::validate) fn node_selector(selector: &Value, path: &Path) -> ErrorList {
    node_selector_unless(false, selector, path)
}

/// Whether terms that are stored compare labels with what no label can have, which older servers took.
pub(in crate::validate) fn selects_invalid_values(selector: &Value) -> bool {
    list(selector, &["nodeSelectorTerms"])
        .iter()
        .any(crate::validate::shared::has_invalid_values)
}

/// The same, where values in expressions may be `any` if such were stored already.
pub(in crate::validate) fn node_selector_unless(any: bool, selector: &Value, path: &Path) -> ErrorList {
    let terms = list(selector, &["nodeSelectorTerms"]);
    let path = path.child("nodeSelectorTerms");
    if terms.is_empty() {
        return vec![Error::required(
            &path,
            "must have at least one node selector term",
        )];
    }
    terms
        .iter()
        .enumerate()
        .flat_map(|(index, term)| term_of(term, !any, &path.index(index)))
        .collect()
}

fn term_of(term: &Value, values_count: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, requirement) in list(term, &["matchExpressions"]).iter().enumerate() {
        let path = path.child("matchExpressions").index(index);
        let values = list(requirement, &["values"]);
        match text(requirement, &["operator"]) {
            "In" | "NotIn" if values.is_empty() => errors.push(Error::required(
                &path.child("values"),
                "must be specified when `operator` is 'In' or 'NotIn'",
            )),
            "Exists" | "DoesNotExist" if !values.is_empty() => errors.push(Error::forbidden(
                &path.child("values"),
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            )),
            "Gt" | "Lt" if values.len() != 1 => errors.push(Error::required(
                &path.child("values"),
                "must be specified single value when `operator` is 'Lt' or 'Gt'",
            )),
            "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
            other => errors.push(Error::invalid(
                &path.child("operator"),
                other,
                "not a valid selector operator",
            )),
        }
        let key = text(requirement, &["key"]);
        errors.extend(texts(&path.child("key"), key, names::qualified_name(key)));
        let checked = values.iter().filter(|_| values_count).filter_map(Value::as_str);
        for (index, value) in checked.enumerate() {
            errors.extend(texts(
                &path.child("values").index(index),
                value,
                names::label_value(value),
            ));
        }
    }
    for (index, requirement) in list(term, &["matchFields"]).iter().enumerate() {
        errors.extend(field_requirement(
            requirement,
            &path.child("matchFields").index(index),
        ));
    }
    errors
}

/// A node can be told by its name alone.
fn field_requirement(requirement: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let values = list(requirement, &["values"]);
    match text(requirement, &["operator"]) {
        "In" | "NotIn" if values.len() != 1 => errors.push(Error::required(
            &path.child("values"),
            "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
        )),
        "In" | "NotIn" => {}
        other => errors.push(Error::invalid(
            &path.child("operator"),
            other,
            "not a valid selector operator",
        )),
    }
    match text(requirement, &["key"]) {
        "metadata.name" => {
            for (index, name) in values.iter().filter_map(Value::as_str).enumerate() {
                errors.extend(texts(
                    &path.child("values").index(index),
                    name,
                    names::dns1123_subdomain(name),
                ));
            }
        }
        other => errors.push(Error::invalid(
            &path.child("key"),
            other,
            "not a valid field selector key",
        )),
    }
    errors
}

/// Whether nodes are required by values that no label can have, which older servers took.
pub(super) fn requires_invalid_values(spec: &Value) -> bool {
    selects_invalid_values(at(spec, &["affinity", "nodeAffinity", REQUIRED]))
}

/// Whether pods are selected as they can't be today.
pub(super) fn selects_invalid_pods(spec: &Value) -> bool {
    let affinity = at(spec, &["affinity"]);
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let required = list(affinity, &[kind, REQUIRED]).iter();
        let preferred = list(affinity, &[kind, PREFERRED]).iter();
        required
            .chain(preferred.map(|weighted| at(weighted, &["podAffinityTerm"])))
            .flat_map(|term| SELECTORS.map(|field| at(term, &[field])))
            .any(|selector| !label_selector(&Path::root(), selector).is_empty())
    })
}

const SELECTORS: [&str; 2] = ["labelSelector", "namespaceSelector"];

fn pod_term(term: &Value, allowed: Allowed, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for field in SELECTORS {
        let any = allowed.any_selector_values;
        errors.extend(label_selector_with(&path.child(field), at(term, &[field]), any));
    }
    for namespace in list(term, &["namespaces"]).iter().filter_map(Value::as_str) {
        errors.extend(texts(
            &path.child("namespace"),
            namespace,
            names::dns1123_label(namespace),
        ));
    }
    errors.extend(label_keys(term, path));
    let key = text(term, &["topologyKey"]);
    if key.is_empty() {
        errors.push(Error::required(&path.child("topologyKey"), "can not be empty"));
    }
    errors.extend(texts(&path.child("topologyKey"), key, names::qualified_name(key)));
    errors
}

/// Labels whose values are the new pod's own: selected by, or selected against. Upstream's path of a key that is there
/// twice has no field.
pub(super) fn label_keys(term: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let selector = at(term, &["labelSelector"]);
    let keys = |field: &str| -> Vec<&str> { list(term, &[field]).iter().filter_map(Value::as_str).collect() };
    for field in ["matchLabelKeys", "mismatchLabelKeys"] {
        let (keys, path) = (keys(field), path.child(field));
        if !keys.is_empty() && selector.is_null() {
            errors.push(Error::forbidden(
                &path,
                "must not be specified when labelSelector is not set",
            ));
            continue;
        }
        for (index, key) in keys.iter().enumerate() {
            errors.extend(texts(&path.index(index), key, names::qualified_name(key)));
        }
    }
    // The server itself added one expression per key; a second one is the client's.
    let matched = keys("matchLabelKeys");
    let mut seen: std::collections::HashSet<&str> = at(selector, &["matchLabels"])
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, _)| key.as_str())
        .collect();
    for expression in list(selector, &["matchExpressions"]) {
        let key = text(expression, &["key"]);
        let twice = !seen.insert(key);
        if let Some(index) = matched
            .iter()
            .rposition(|matched| *matched == key)
            .filter(|_| twice)
        {
            errors.push(Error::invalid(
                &path.index(index),
                key,
                "exists in both matchLabelKeys and labelSelector",
            ));
        }
    }
    let against = keys("mismatchLabelKeys");
    for (index, key) in matched
        .iter()
        .enumerate()
        .filter(|(_, key)| against.contains(key))
    {
        errors.push(Error::invalid(
            &path.child("matchLabelKeys").index(index),
            *key,
            "exists in both matchLabelKeys and mismatchLabelKeys",
        ));
    }
    errors
}
