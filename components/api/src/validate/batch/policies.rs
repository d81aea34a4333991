//! When a job has failed, and when it has succeeded before all of it has.
use super::indexes;
use crate::validate::internal;
use crate::validate::shared::{non_negative, one_of, texts};
use crate::value::{at, int, list, text};
use apimachinery::field::{BadValue, Error, ErrorList, Path};
use apimachinery::names;
use serde_json::Value;
use std::collections::HashSet;

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
        if let Some(given) = at(rule, &["succeededIndexes"]).as_str() {
            let own = path.child("succeededIndexes");
            if given.len() > MAX_INDEXES_BYTES {
                errors.push(Error::too_long(&own, MAX_INDEXES_BYTES));
            }
            let count = indexes::count(given, completions);
            // What can't be read counts for nothing.
            total = Some(*count.as_ref().unwrap_or(&0));
            errors.extend(
                count
                    .err()
                    .map(|why| Error::invalid(&own, given, format!("error parsing succeededIndexes: {why}"))),
            );
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
    let numbers = || values.iter().map(|value| value.as_i64().unwrap_or(0));
    let mut seen = HashSet::new();
    for (index, number) in numbers().enumerate() {
        let path = path.child("values").index(index);
        if number == 0 && operator == "In" {
            errors.push(Error::invalid(&path, 0, "must not be 0 for the In operator"));
        }
        if !seen.insert(number) {
            errors.push(Error::duplicate(&path, number));
        }
    }
    if !numbers().is_sorted() {
        errors.push(Error::invalid(
            &path.child("values"),
            at(codes, &["values"]),
            "must be ordered",
        ));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(errors: ErrorList) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn exit_codes_are_in_order_and_each_there_once() {
        for (values, wrong) in [
            (json!([1, 2, 3]), vec![]),
            (json!([1, 1]), vec!["c.values[1]: Duplicate value: 1"]),
            (
                json!([2, 1, 2]),
                vec![
                    "c.values[2]: Duplicate value: 2",
                    "c.values: Invalid value: [2,1,2]: must be ordered",
                ],
            ),
            (
                json!([0]),
                vec!["c.values[0]: Invalid value: 0: must not be 0 for the In operator"],
            ),
        ] {
            let codes = json!({"operator": "In", "values": values});
            assert_eq!(told(exit_codes(&codes, &[], &Path::new("c"))), wrong, "{codes}");
        }
    }

    #[test]
    fn counts_fit_the_indexes_that_are_named() {
        for (rule, wrong) in [
            (json!({"succeededCount": 2, "succeededIndexes": "0-2"}), vec![]),
            (
                json!({"succeededCount": 3, "succeededIndexes": "0"}),
                vec![
                    "s.rules[0].succeededCount: Invalid value: 3: must be less than or equal to 1 (the number of indexes in the specified succeededIndexes field)",
                ],
            ),
            (
                json!({"succeededCount": 1, "succeededIndexes": "x"}),
                vec![
                    "s.rules[0].succeededIndexes: Invalid value: \"x\": error parsing succeededIndexes: cannot convert string to integer for index: \"x\"",
                    "s.rules[0].succeededCount: Invalid value: 1: must be less than or equal to 0 (the number of indexes in the specified succeededIndexes field)",
                ],
            ),
            (
                json!({}),
                vec![
                    "s.rules[0]: Required value: at least one of succeededCount or succeededIndexes must be specified",
                ],
            ),
        ] {
            let spec = json!({
                "completionMode": "Indexed", "completions": 5, "successPolicy": {"rules": [rule]},
            });
            assert_eq!(told(success(&spec, &Path::new("s"))), wrong, "{spec}");
        }
    }
}
