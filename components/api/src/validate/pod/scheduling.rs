use super::repeated;
use crate::validate::shared::{label_selector, maybe_one_of, texts};
use crate::value::{at, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::names;
use serde_json::Value;
use std::collections::HashSet;

/// Tolerations of a pod or of a runtime class.
pub(in crate::validate) fn tolerations(tolerations: &[Value], path: &Path) -> ErrorList {
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
                names::label_value(value)
                    .first()
                    .map(|message| Error::invalid(&path.child("operator"), value, message.as_str())),
            ),
            "Exists" if !value.is_empty() => errors.push(Error::invalid(
                &path.child("operator"),
                value,
                "value must be empty when `operator` is 'Exists'",
            )),
            "Exists" => {}
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

pub(super) fn topology_spread(constraints: &[Value], path: &Path) -> ErrorList {
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
        errors.extend(label_selector(
            &path.child("labelSelector"),
            at(constraint, &["labelSelector"]),
        ));
    }
    errors
}
