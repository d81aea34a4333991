use crate::value::text;
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;
use std::collections::HashSet;

const DECISIONS: [&str; 2] = ["Approved", "Denied"];
const LASTING: [&str; 3] = ["Approved", "Denied", "Failed"];

/// What was decided: each type once, and not both ways, unless it was so `before`.
pub(super) fn conditions(before: Option<&[Value]>, conditions: &[Value]) -> ErrorList {
    let path = Path::new("status.conditions");
    let before = before.unwrap_or_default();
    let types = |conditions: &[Value]| -> Vec<String> {
        let types = conditions
            .iter()
            .map(|condition| text(condition, &["type"]).to_owned());
        types.collect()
    };
    let known = types(before);
    let had = |kind: &str| known.iter().any(|known| known == kind);
    let any_type = had("");
    let both = DECISIONS.iter().all(|decision| had(decision));
    let repeated = known.iter().collect::<HashSet<_>>().len() < known.len();
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for (index, condition) in conditions.iter().enumerate() {
        let own = path.index(index);
        let (kind, status) = (text(condition, &["type"]), text(condition, &["status"]));
        if kind.is_empty() && !any_type {
            errors.push(Error::required(&own.child("type"), ""));
        }
        let allowed: &[&str] = if LASTING.contains(&kind) {
            &["True"]
        } else {
            &["False", "True", "Unknown"]
        };
        if status.is_empty() {
            errors.push(Error::required(&own.child("status"), ""));
        } else if !allowed.contains(&status) {
            errors.push(Error::not_supported(&own.child("status"), status, allowed));
        }
        let other = match kind {
            "Approved" => Some("Denied"),
            "Denied" => Some("Approved"),
            _ => None,
        };
        if !both && other.is_some_and(|other| seen.contains(other)) {
            errors.push(Error::invalid(
                &path,
                kind,
                "Approved and Denied conditions are mutually exclusive",
            ));
        }
        if !seen.insert(kind) && !repeated {
            errors.push(Error::duplicate(&own.child("type"), kind));
        }
    }
    errors
}

/// Decisions last, and only an approver makes them.
pub(super) fn changes(before: &[Value], after: &[Value], approver: bool) -> ErrorList {
    let path = Path::new("status.conditions");
    let of = |conditions: &[Value], kind: &str| -> Vec<Value> {
        conditions
            .iter()
            .filter(|condition| text(condition, &["type"]) == kind)
            .cloned()
            .collect()
    };
    let mut errors = ErrorList::new();
    for kind in LASTING {
        if of(after, kind).len() < of(before, kind).len() {
            let why = format!("updates may not remove a condition of type {kind:?}");
            errors.push(Error::forbidden(&path, why));
        }
    }
    for kind in DECISIONS.iter().filter(|_| !approver) {
        let (before, after) = (of(before, kind), of(after, kind));
        let why = if after.len() > before.len() {
            format!("updates may not add a condition of type {kind:?}")
        } else if after.len() == before.len() && after != before {
            format!("updates may not modify a condition of type {kind:?}")
        } else {
            continue;
        };
        errors.push(Error::forbidden(&path, why));
    }
    errors
}
