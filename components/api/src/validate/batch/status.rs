//! What may become of a job's status. Whatever manages the job, its status stays what clients of jobs rely on.
use super::indexes;
use crate::features::{Feature, Features};
use crate::validate::internal;
use crate::validate::shared::{non_negative, same};
use crate::value::{at, flag, int, list, text};
use apimachinery::field::{BadValue, Error, ErrorList, Path};
use serde_json::Value;
use std::collections::HashSet;

/// A job's status in a write, of which only what changes is looked at where something older might not fit.
struct Change<'a> {
    old: &'a Value,
    new: &'a Value,
    path: Path,
}

/// A change through the status endpoint.
pub(in crate::validate) fn check(old: &Value, new: &Value, features: Features) -> ErrorList {
    let change = Change {
        old,
        new,
        path: Path::new("status"),
    };
    let mut errors = change.numbers();
    errors.extend(uncounted(new, &change.path.child("uncountedTerminatedPods")));
    let strict = features.has(Feature::JobManagedBy);
    if strict {
        errors.extend(change.outcome());
        errors.extend(change.end());
        errors.extend(change.indexes());
        errors.extend(change.pods());
    }
    // What stands without a success policy goes back to pods that may still be ending.
    let extended =
        strict || features.has(Feature::JobPodReplacementPolicy) || is_true(old, "SuccessCriteriaMet");
    errors.extend(change.success(extended));
    if strict {
        errors.extend(change.transitions());
    }
    errors.extend(change.success_transitions());
    errors
}

fn is_true(job: &Value, kind: &str) -> bool {
    list(job, &["status", "conditions"])
        .iter()
        .any(|condition| text(condition, &["type"]) == kind && text(condition, &["status"]) == "True")
}

fn is_finished(job: &Value) -> bool {
    is_true(job, "Complete") || is_true(job, "Failed")
}

/// Pods that ended and are not in the numbers yet, each once, by how they ended.
fn uncounted(job: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for field in ["succeeded", "failed"] {
        let uids = list(job, &["status", "uncountedTerminatedPods", field]);
        for (index, uid) in uids.iter().enumerate() {
            let (path, uid) = (path.child(field).index(index), uid.as_str().unwrap_or(""));
            if uid.is_empty() {
                errors.push(Error::invalid(&path, uid, "must not be empty"));
            } else if !seen.insert(uid) {
                errors.push(Error::duplicate(&path, uid));
            }
        }
    }
    errors
}

impl<'a> Change<'a> {
    fn numbers(&self) -> ErrorList {
        ["active", "succeeded", "failed", "ready", "terminating"]
            .iter()
            .filter_map(|field| non_negative(&self.path.child(field), self.after(field)))
            .collect()
    }

    fn before(&self, field: &str) -> &'a Value {
        at(self.old, &["status", field])
    }

    fn after(&self, field: &str) -> &'a Value {
        at(self.new, &["status", field])
    }

    fn number(&self, field: &str) -> i64 {
        self.after(field).as_i64().unwrap_or(0)
    }

    fn changes(&self, field: &str) -> bool {
        !same(self.before(field), self.after(field))
    }

    /// Whether a condition becomes true or stops being so.
    fn turns(&self, kind: &str) -> bool {
        is_true(self.old, kind) != is_true(self.new, kind)
    }

    fn turns_finished(&self) -> bool {
        is_finished(self.old) != is_finished(self.new)
    }

    fn conditions(&self, why: impl Into<String>) -> Error {
        Error::invalid(&self.path.child("conditions"), BadValue::Omitted, why)
    }

    fn invalid(&self, field: &str, why: impl Into<String>) -> Error {
        Error::invalid(&self.path.child(field), self.after(field), why)
    }

    /// A job completes or fails, when it has done so.
    fn outcome(&self) -> ErrorList {
        let mut errors = ErrorList::new();
        let is = |kind| is_true(self.new, kind);
        let (complete, failed) = (is("Complete"), is("Failed"));
        if (self.turns("Complete") || self.turns("Failed")) && complete && failed {
            errors.push(self.conditions("cannot set Complete=True and Failed=true conditions"));
        }
        if (self.turns("Complete") || self.turns("FailureTarget")) && complete && is("FailureTarget") {
            errors.push(self.conditions("cannot set Complete=True and FailureTarget=true conditions"));
        }
        let (start, end) = (self.after("startTime"), self.after("completionTime"));
        if self.turns("Complete") || self.changes("completionTime") {
            if !end.is_null() && !complete {
                errors.push(self.invalid(
                    "completionTime",
                    "cannot set completionTime when there is no Complete=True condition",
                ));
            }
            if end.is_null() && complete {
                errors.push(Error::required(
                    &self.path.child("completionTime"),
                    "completionTime is required for Complete jobs",
                ));
            }
        }
        // Times are in one form, whose order is theirs.
        let times = start.as_str().zip(end.as_str());
        if (self.changes("startTime") || self.changes("completionTime"))
            && times.is_some_and(|(start, end)| end < start)
        {
            errors.push(self.invalid("completionTime", "must be equal to or after `startTime`"));
        }
        if (self.turns("Failed") || self.turns("FailureTarget")) && failed && !is("FailureTarget") {
            errors.push(
                self.conditions("cannot set Failed=True condition without the FailureTarget=true condition"),
            );
        }
        if (self.turns("Complete") || self.turns("SuccessCriteriaMet"))
            && complete
            && !is("SuccessCriteriaMet")
        {
            errors.push(self.conditions(
                "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
            ));
        }
        errors
    }

    /// Nothing of a finished job is still going on.
    fn end(&self) -> ErrorList {
        let mut errors = ErrorList::new();
        let (finished, turns) = (is_finished(self.new), self.turns_finished());
        if !finished {
            return errors;
        }
        if (turns || self.changes("active")) && self.number("active") > 0 {
            errors.push(self.invalid("active", "active>0 is invalid for finished job"));
        }
        if (turns || self.changes("startTime")) && self.after("startTime").is_null() {
            errors.push(Error::required(
                &self.path.child("startTime"),
                "startTime is required for finished job",
            ));
        }
        let uncounted = self.after("uncountedTerminatedPods");
        let some = ["succeeded", "failed"]
            .iter()
            .any(|field| !list(uncounted, &[field]).is_empty());
        if (turns || self.changes("uncountedTerminatedPods")) && some {
            errors.push(Error::invalid(
                &self.path.child("uncountedTerminatedPods"),
                internal::shown(internal::UNCOUNTED_PODS, uncounted),
                "must be empty for finished job",
            ));
        }
        errors
    }

    /// Indexes are in order and below the completions; none is completed and failed.
    fn indexes(&self) -> ErrorList {
        let mut errors = ErrorList::new();
        let spec = at(self.new, &["spec"]);
        let completions = int(spec, &["completions"]);
        let per_index = int(spec, &["backoffLimitPerIndex"]).is_some();
        let (completed, failed) = (
            self.after("completedIndexes").as_str().unwrap_or(""),
            self.after("failedIndexes").as_str(),
        );
        let (completed_change, failed_change) =
            (self.changes("completedIndexes"), self.changes("failedIndexes"));
        let read = |field: &str, text: &str, completions: i64| {
            let why = indexes::count(text, completions).err()?;
            Some(self.invalid(field, format!("error parsing {field}: {why}")))
        };
        if completed_change {
            errors.extend(completions.and_then(|count| read("completedIndexes", completed, count)));
        }
        if failed_change && per_index {
            let known = completions.zip(failed);
            errors.extend(known.and_then(|(count, failed)| read("failedIndexes", failed, count)));
        }
        if completed_change && !completed.is_empty() && text(spec, &["completionMode"]) != "Indexed" {
            errors.push(self.invalid(
                "completedIndexes",
                "cannot set non-empty completedIndexes when non-indexed completion mode",
            ));
        }
        if failed_change && failed.is_some() && !per_index {
            errors.push(self.invalid(
                "failedIndexes",
                "cannot set non-null failedIndexes when backoffLimitPerIndex is null",
            ));
        }
        let known = completions
            .zip(failed)
            .filter(|_| completed_change || failed_change);
        let both = known.and_then(|(count, failed)| indexes::overlap(completed, failed, count));
        errors.extend(both.map(|index| {
            self.invalid(
                "failedIndexes",
                format!("failedIndexes and completedIndexes overlap at index: {index}"),
            )
        }));
        errors
    }

    fn pods(&self) -> ErrorList {
        let mut errors = ErrorList::new();
        if (self.turns_finished() || self.changes("terminating"))
            && is_finished(self.new)
            && self.number("terminating") > 0
        {
            errors.push(self.invalid("terminating", "terminating>0 is invalid for finished job"));
        }
        if (self.changes("ready") || self.changes("active")) && self.number("ready") > self.number("active") {
            let given = self.after("ready").as_i64().is_some();
            errors.extend(given.then(|| self.invalid("ready", "cannot set more ready pods than active")));
        }
        errors
    }

    fn success(&self, extended: bool) -> ErrorList {
        let mut errors = ErrorList::new();
        let spec = at(self.new, &["spec"]);
        let (met, with_policy) = (
            is_true(self.new, "SuccessCriteriaMet"),
            at(spec, &["successPolicy"]).is_object(),
        );
        if met && !extended && text(spec, &["completionMode"]) != "Indexed" {
            errors.push(self.conditions("cannot set SuccessCriteriaMet to NonIndexed Job"));
        }
        for (kind, shown) in [("Failed", "Failed"), ("FailureTarget", "FailureTarget")] {
            if met && is_true(self.new, kind) {
                errors.push(self.conditions(format!(
                    "cannot set SuccessCriteriaMet=True and {shown}=true conditions"
                )));
            }
        }
        if met && !extended && !with_policy {
            errors.push(self.conditions("cannot set SuccessCriteriaMet=True for Job without SuccessPolicy"));
        }
        if with_policy && !met && is_true(self.new, "Complete") {
            errors.push(self.conditions(
                "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True",
            ));
        }
        errors
    }

    /// What has happened stays so.
    fn transitions(&self) -> ErrorList {
        let mut errors = ErrorList::new();
        for kind in ["Failed", "Complete", "FailureTarget"] {
            if is_true(self.old, kind) && !is_true(self.new, kind) {
                errors.push(self.conditions(format!("cannot disable the terminal {kind}=True condition")));
            }
        }
        let fewer = |field: &str| self.number(field) < self.before(field).as_i64().unwrap_or(0);
        let shown = |field: &str| {
            let why = format!("cannot decrease the {field} counter");
            Error::invalid(&self.path.child(field), self.number(field), why)
        };
        if fewer("failed") {
            errors.push(shown("failed"));
        }
        // Indexed jobs with a pod for each index may shrink.
        let spec = at(self.new, &["spec"]);
        let shrinks = text(spec, &["completionMode"]) == "Indexed"
            && at(spec, &["completions"]) == at(spec, &["parallelism"]);
        if !shrinks && fewer("succeeded") {
            errors.push(shown("succeeded"));
        }
        let (was, is) = (self.before("completionTime"), self.after("completionTime"));
        if !was.is_null() && !is.is_null() && was != is {
            errors.push(self.invalid("completionTime", "field is immutable"));
        }
        let (was, is) = (self.before("startTime"), self.after("startTime"));
        if !was.is_null() && was != is && !flag(spec, &["suspend"]) {
            errors.push(self.invalid("startTime", "field is immutable for unsuspended job once set"));
        }
        errors
    }

    fn success_transitions(&self) -> ErrorList {
        let mut errors = ErrorList::new();
        let met = |job| is_true(job, "SuccessCriteriaMet");
        if met(self.old) && !met(self.new) {
            errors.push(self.conditions("cannot disable the SuccessCriteriaMet=True condition"));
        }
        if is_true(self.old, "Complete") && !met(self.old) && met(self.new) {
            errors.push(self.conditions(
                "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions",
            ));
        }
        errors
    }
}

#[cfg(test)]
mod tests;
