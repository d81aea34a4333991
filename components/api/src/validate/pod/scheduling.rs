use super::{Allowed, affinity};
use crate::features::Features;
use crate::validate::shared::{label_selector, maybe_one_of, one_of, texts};
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
                errors.extend(texts(&path.child("value"), value, compared(value)));
            }
            "Lt" | "Gt" => errors.push(Error::not_supported(
                &path.child("operator"),
                operator,
                &["Equal", "Exists", "Lt", "Gt"],
            )),
            _ => errors.push(Error::not_supported(
                &path.child("operator"),
                operator,
                &["Equal", "Exists"],
            )),
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

/// The same of tolerations that stand in a configuration instead of a pod.
pub fn configured_tolerations(list: &[Value], path: &Path) -> ErrorList {
    tolerations(list, Allowed::new(Features::default()), path)
}

/// What is wrong with a value that is compared as a number: it is written as it is always written, and has 64 bits.
fn compared(value: &str) -> Vec<String> {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = plain && (value == "0" || !digits.starts_with('0'));
    let mut messages = Vec::new();
    if !canonical {
        messages.push("must be a valid decimal integer in canonical form".to_owned());
    }
    if value.parse::<i64>().is_err() {
        let why = if plain {
            "value out of range"
        } else {
            "invalid syntax"
        };
        messages.push(format!("strconv.ParseInt: parsing {value:?}: {why}"));
    }
    messages
}

pub(super) fn gates(spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for (index, gate) in list(spec, &["schedulingGates"]).iter().enumerate() {
        let name = text(gate, &["name"]);
        errors.extend(texts(&path.index(index), name, names::qualified_name(name)));
        if !seen.insert(name) {
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
        }
        let action = text(constraint, &["whenUnsatisfiable"]);
        errors.extend(one_of(
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
        if allowed.merged_label_keys {
            errors.extend(affinity::label_keys(constraint, &path));
        } else {
            errors.extend(label_keys(constraint, &path.child("matchLabelKeys")));
        }
        if !allowed.any_spread_selector {
            errors.extend(label_selector(
                &path.child("labelSelector"),
                at(constraint, &["labelSelector"]),
            ));
        }
    }
    errors
}

/// Whether constraints select pods as they can't today.
pub(super) fn spreads_by_invalid_selectors(spec: &Value) -> bool {
    list(spec, &["topologySpreadConstraints"])
        .iter()
        .any(|constraint| !label_selector(&Path::root(), at(constraint, &["labelSelector"])).is_empty())
}

/// Whether constraints have keys that don't fit their selectors, into which the server has merged them or has not.
pub(super) fn spreads_by_invalid_keys(spec: &Value, merged: bool) -> bool {
    let fits = |constraint: &Value| {
        let path = Path::root();
        if merged {
            affinity::label_keys(constraint, &path).is_empty()
        } else {
            label_keys(constraint, &path).is_empty()
        }
    };
    !list(spec, &["topologySpreadConstraints"]).iter().all(fits)
}

/// Labels whose values are the pod's own, besides those that the selector names.
fn label_keys(constraint: &Value, path: &Path) -> ErrorList {
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
    let expressions = list(selector, &["matchExpressions"]);
    for (index, key) in keys.iter().filter_map(Value::as_str).enumerate() {
        errors.extend(texts(&path.index(index), key, names::qualified_name(key)));
        let selected = at(selector, &["matchLabels"]).get(key).is_some()
            || expressions
                .iter()
                .any(|expression| text(expression, &["key"]) == key);
        if selected {
            errors.push(Error::invalid(
                &path.index(index),
                key,
                "exists in both matchLabelKeys and labelSelector",
            ));
        }
    }
    errors
}
