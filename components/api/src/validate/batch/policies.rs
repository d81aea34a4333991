//! When a job has failed, and when it has succeeded before all of it has.
use crate::validate::internal;
use crate::validate::shared::{non_negative, one_of, texts};
use crate::value::{at, int, list, text};
use apimachinery::field::{BadValue, Error, ErrorList, Path};
use apimachinery::names;
use serde_json::Value;

/// Rules of a policy, and what one of them names.
const MAX_RULES: usize = 20;
const MAX_PATTERNS: usize = 20;
const MAX_EXIT_CODES: usize = 255;

/// Indexes are listed in at most this many bytes.
const MAX_INDEXES_BYTES: usize = 64 * 1024;

pub(super) fn success(spec: &Value, path: &Path) -> ErrorList {
    if text(spec, &["completionMode"]) != "Indexed" {
        let shown = internal::shown(internal::SUCCESS_POLICY, at(spec, &["successPolicy"]));
        return vec![Error::invalid(path, shown, "requires indexed completion mode")];
    }
    let mut errors = ErrorList::new();
    let rules = list(spec, &["successPolicy", "rules"]);
    if rules.is_empty() {
        errors.push(Error::required(
            &path.child("rules"),
            "at least one rules must be specified when the successPolicy is specified",
        ));
    }
    if rules.len() > MAX_RULES {
        errors.push(Error::too_many(&path.child("rules"), rules.len(), MAX_RULES));
    }
    let completions = int(spec, &["completions"]).unwrap_or(0);
    for (index, rule) in rules.iter().enumerate() {
        let path = path.child("rules").index(index);
        let count = int(rule, &["succeededCount"]);
        if count.is_none() && at(rule, &["succeededIndexes"]).is_null() {
            errors.push(Error::required(
                &path,
                "at least one of succeededCount or succeededIndexes must be specified",
            ));
        }
        let mut total = None;
        if let Some(indexes) = at(rule, &["succeededIndexes"]).as_str() {
            let own = path.child("succeededIndexes");
            match count_indexes(indexes, completions) {
                Ok(count) => total = Some(count),
                Err(why) => errors.push(Error::invalid(
                    &own,
                    indexes,
                    format!("error parsing succeededIndexes: {why}"),
                )),
            }
            if indexes.len() > MAX_INDEXES_BYTES {
                errors.push(Error::too_long(&own, MAX_INDEXES_BYTES));
            }
        }
        if let Some(count) = count {
            errors.extend(non_negative(
                &path.child("succeededCount"),
                at(rule, &["succeededCount"]),
            ));
            if count > completions {
                errors.push(Error::invalid(
                    &path.child("succeededCount"),
                    count,
                    format!(
                        "must be less than or equal to {completions} (the number of specified completions)"
                    ),
                ));
            }
            if let Some(total) = total.filter(|total| count > *total) {
                errors.push(Error::invalid(
                    &path.child("succeededCount"),
                    count,
                    format!(
                        "must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
                    ),
                ));
            }
        }
    }
    errors
}

/// How many indexes there are in `1,3-5`, which must be in order.
fn count_indexes(text: &str, completions: i64) -> Result<i64, String> {
    let mut total = 0;
    let mut last: Option<i64> = None;
    if text.is_empty() {
        return Ok(0);
    }
    for part in text.split(',') {
        let limits: Vec<&str> = part.split('-').collect();
        if limits.len() > 2 {
            return Err(format!(
                "the fragment {part:?} violates the requirement that an index interval can have at most two parts separated by '-'"
            ));
        }
        let number = |limit: &str| {
            limit
                .parse::<i64>()
                .map_err(|_| format!("cannot convert string to integer for index: {limit:?}"))
        };
        let first = number(limits[0])?;
        if first >= completions {
            return Err(format!("too large index: {:?}", limits[0]));
        }
        if last.is_some_and(|last| last >= first) {
            return Err(format!(
                "non-increasing order, previous: {}, current: {first}",
                last.unwrap_or_default()
            ));
        }
        let end = match limits.get(1) {
            None => first,
            Some(limit) => {
                let end = number(limit)?;
                if end >= completions {
                    return Err(format!("too large index: {limit:?}"));
                }
                if first >= end {
                    return Err(format!("non-increasing order, previous: {first}, current: {end}"));
                }
                end
            }
        };
        total += end - first + 1;
        last = Some(end);
    }
    Ok(total)
}

pub(super) fn failure(spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let containers: Vec<&str> = ["containers", "initContainers"]
        .iter()
        .flat_map(|kind| list(spec, &["template", "spec", kind]))
        .map(|container| text(container, &["name"]))
        .collect();
    let rules = list(spec, &["podFailurePolicy", "rules"]);
    if rules.len() > MAX_RULES {
        errors.push(Error::too_many(&path.child("rules"), rules.len(), MAX_RULES));
    }
    for (index, rule) in rules.iter().enumerate() {
        let path = path.child("rules").index(index);
        match text(rule, &["action"]) {
            "" => errors.push(Error::required(
                &path.child("action"),
                "valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]",
            )),
            "FailIndex" if int(spec, &["backoffLimitPerIndex"]).is_none() => {
                errors.push(Error::invalid(
                    &path.child("action"),
                    "FailIndex",
                    "requires the backoffLimitPerIndex to be set",
                ));
            }
            _ => errors.extend(one_of(
                &path.child("action"),
                at(rule, &["action"]),
                &["Count", "FailIndex", "FailJob", "Ignore"],
            )),
        }
        let codes = at(rule, &["onExitCodes"]);
        if codes.is_object() {
            errors.extend(exit_codes(codes, &containers, &path.child("onExitCodes")));
        }
        let conditions = list(rule, &["onPodConditions"]);
        if conditions.len() > MAX_PATTERNS {
            errors.push(Error::too_many(
                &path.child("onPodConditions"),
                conditions.len(),
                MAX_PATTERNS,
            ));
        }
        for (index, pattern) in conditions.iter().enumerate() {
            let path = path.child("onPodConditions").index(index);
            let kind = text(pattern, &["type"]);
            errors.extend(texts(&path.child("type"), kind, names::qualified_name(kind)));
            match text(pattern, &["status"]) {
                "" => errors.push(Error::required(
                    &path.child("status"),
                    "valid values: [\"False\" \"True\" \"Unknown\"]",
                )),
                _ => errors.extend(one_of(
                    &path.child("status"),
                    at(pattern, &["status"]),
                    &["False", "True", "Unknown"],
                )),
            }
        }
        match (codes.is_object(), !conditions.is_empty()) {
            (true, true) => errors.push(Error::invalid(
                &path,
                BadValue::Omitted,
                "specifying both OnExitCodes and OnPodConditions is not supported",
            )),
            (false, false) => errors.push(Error::invalid(
                &path,
                BadValue::Omitted,
                "specifying one of OnExitCodes and OnPodConditions is required",
            )),
            _ => {}
        }
    }
    errors
}

fn exit_codes(codes: &Value, containers: &[&str], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let operator = text(codes, &["operator"]);
    match operator {
        "" => errors.push(Error::required(
            &path.child("operator"),
            "valid values: [\"In\" \"NotIn\"]",
        )),
        _ => errors.extend(one_of(
            &path.child("operator"),
            at(codes, &["operator"]),
            &["In", "NotIn"],
        )),
    }
    if let Some(name) = at(codes, &["containerName"])
        .as_str()
        .filter(|name| !containers.contains(name))
    {
        errors.push(Error::invalid(
            &path.child("containerName"),
            name,
            "must be one of the container or initContainer names in the pod template",
        ));
    }
    let values = list(codes, &["values"]);
    if values.is_empty() {
        errors.push(Error::invalid(
            &path.child("values"),
            at(codes, &["values"]),
            "at least one value is required",
        ));
    } else if values.len() > MAX_EXIT_CODES {
        errors.push(Error::too_many(
            &path.child("values"),
            values.len(),
            MAX_EXIT_CODES,
        ));
    }
    let mut last = i64::MIN;
    for (index, value) in values.iter().enumerate() {
        let number = value.as_i64().unwrap_or(0);
        let path = path.child("values").index(index);
        if number == 0 && operator == "In" {
            errors.push(Error::invalid(&path, 0, "must not be 0 for the In operator"));
        }
        if number == last {
            errors.push(Error::duplicate(&path, number));
        } else if number < last {
            errors.push(Error::invalid(&path.clone(), number, "must be ordered"));
        }
        last = number;
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_counted_in_order() {
        for (text, wanted) in [
            ("", Ok(0)),
            ("0,2-4", Ok(4)),
            ("2,1", Err("non-increasing order, previous: 2, current: 1")),
            ("1-9", Err("too large index: \"9\"")),
            ("x", Err("cannot convert string to integer for index: \"x\"")),
        ] {
            assert_eq!(count_indexes(text, 5), wanted.map_err(str::to_owned), "{text}");
        }
    }
}
