use super::{Allowed, repeated};
use crate::validate::shared::{label_selector, maybe_one_of, texts};
use crate::value::{at, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::names;
use serde_json::Value;
use std::collections::HashSet;

/// Tolerations of a pod or of a runtime class.
pub(in crate::validate) fn tolerations(tolerations: &[Value], allowed: Allowed, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, toleration) in tolerations.iter().enumerate() {
        let path = path.index(index);
        let (key, operator, effect) = (
            text(toleration, &["key"]),
            text(toleration, &["operator"]),
            text(toleration, &["effect"]),
        );
        if !key.is_empty() {
            errors.extend(texts(&path.child("key"), key, names::qualified_name(key)));
        }
        if key.is_empty() && operator != "Exists" {
            errors.push(Error::invalid(
                &path.child("operator"),
                operator,
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
            ));
        }
        if !at(toleration, &["tolerationSeconds"]).is_null() && effect != "NoExecute" {
            errors.push(Error::invalid(
                &path.child("effect"),
                effect,
                "effect must be 'NoExecute' when `tolerationSeconds` is set",
            ));
        }
        let value = text(toleration, &["value"]);
        match operator {
            "" | "Equal" => errors.extend(
                Some(names::label_value(value).join(";"))
                    .filter(|messages| !messages.is_empty())
                    .map(|messages| Error::invalid(&path.child("operator"), value, messages)),
            ),
            "Exists" if !value.is_empty() => errors.push(Error::invalid(
                &path.child("operator"),
                value,
                "value must be empty when `operator` is 'Exists'",
            )),
            "Exists" => {}
            "Lt" | "Gt" if allowed.comparisons => {
                if !is_canonical_integer(value) {
                    errors.push(Error::invalid(
                        &path.child("value"),
                        value,
                        "must be a valid decimal integer in canonical form",
                    ));
                }
            }
            _ => {
                let operators: &[&str] = if allowed.comparisons {
                    &["Equal", "Exists", "Gt", "Lt"]
                } else {
                    &["Equal", "Exists"]
                };
                errors.push(Error::not_supported(&path.child("operator"), operator, operators));
            }
        }
        if !effect.is_empty() {
            errors.extend(maybe_one_of(
                &path.child("effect"),
                at(toleration, &["effect"]),
                &["NoSchedule", "PreferNoSchedule", "NoExecute"],
            ));
        }
    }
    errors
}

/// A number of 64 bits, written as it is always written.
fn is_canonical_integer(text: &str) -> bool {
    text.parse::<i64>().is_ok_and(|number| number.to_string() == text)
}

pub(super) fn gates(spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for (index, gate) in list(spec, &["schedulingGates"]).iter().enumerate() {
        let name = text(gate, &["name"]);
        if name.is_empty() {
            errors.push(Error::required(&path.index(index), "must not be empty"));
        } else {
            errors.extend(texts(&path.index(index), name, names::qualified_name(name)));
        }
        if repeated(&mut seen, name) {
            errors.push(Error::duplicate(&path.index(index), name));
        }
    }
    errors
}

pub(super) fn topology_spread(constraints: &[Value], allowed: Allowed, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, constraint) in constraints.iter().enumerate() {
        let path = path.index(index);
        let skew = at(constraint, &["maxSkew"]).as_i64().unwrap_or(0);
        if skew <= 0 {
            errors.push(Error::invalid(
                &path.child("maxSkew"),
                skew,
                "must be greater than zero",
            ));
        }
        let key = text(constraint, &["topologyKey"]);
        if key.is_empty() {
            errors.push(Error::required(&path.child("topologyKey"), "can not be empty"));
        } else {
            errors.extend(texts(&path.child("topologyKey"), key, names::qualified_name(key)));
        }
        let action = text(constraint, &["whenUnsatisfiable"]);
        errors.extend(super::one_of(
            &path.child("whenUnsatisfiable"),
            at(constraint, &["whenUnsatisfiable"]),
            &["DoNotSchedule", "ScheduleAnyway"],
        ));
        let again = constraints[index + 1..].iter().any(|other| {
            text(other, &["topologyKey"]) == key && text(other, &["whenUnsatisfiable"]) == action
        });
        if again {
            errors.push(Error::duplicate(
                &path.child("{topologyKey, whenUnsatisfiable}"),
                format!("{{{key}, {action}}}").as_str(),
            ));
        }
        if let Some(domains) = at(constraint, &["minDomains"]).as_i64() {
            if domains <= 0 {
                errors.push(Error::invalid(
                    &path.child("minDomains"),
                    domains,
                    "must be greater than zero",
                ));
            }
            if action != "DoNotSchedule" {
                errors.push(Error::invalid(
                    &path.child("minDomains"),
                    domains,
                    format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"),
                ));
            }
        }
        for field in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            errors.extend(maybe_one_of(
                &path.child(field),
                at(constraint, &[field]),
                &["Honor", "Ignore"],
            ));
        }
        errors.extend(label_keys(constraint, allowed, &path.child("matchLabelKeys")));
        errors.extend(label_selector(
            &path.child("labelSelector"),
            at(constraint, &["labelSelector"]),
        ));
    }
    errors
}

/// Labels whose values are the pod's own, besides those that the selector names.
fn label_keys(constraint: &Value, allowed: Allowed, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let keys = list(constraint, &["matchLabelKeys"]);
    let selector = at(constraint, &["labelSelector"]);
    if keys.is_empty() {
        return errors;
    }
    if selector.is_null() {
        errors.push(Error::forbidden(
            path,
            "must not be specified when labelSelector is not set",
        ));
    }
    // The server's own expressions for these keys are as it makes them; others are the client's.
    let expressions = list(selector, &["matchExpressions"]);
    for (index, key) in keys.iter().filter_map(Value::as_str).enumerate() {
        errors.extend(texts(&path.index(index), key, names::qualified_name(key)));
        let labelled = at(selector, &["matchLabels"]).get(key).is_some();
        let count = expressions
            .iter()
            .filter(|expression| text(expression, &["key"]) == key)
            .count();
        let own = allowed.merged_label_keys
            && expressions.iter().any(|expression| {
                text(expression, &["key"]) == key
                    && text(expression, &["operator"]) == "In"
                    && list(expression, &["values"]).len() == 1
            });
        if labelled || count > usize::from(own) {
            errors.push(Error::invalid(
                &path.index(index),
                key,
                "exists in both matchLabelKeys and labelSelector",
            ));
        }
    }
    errors
}
