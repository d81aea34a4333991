//! Events (pkg/apis/core/validation/events.go). What comes through events.k8s.io is checked in full; the core group still
//! takes what older clients send.
use super::shared::{immutable, texts};
use crate::value::{at, int, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::{meta, names};
use jiff::Timestamp;
use serde_json::Value;

const MAX_NAME: usize = 128;
const MAX_NOTE: usize = 1024;

/// How a group calls an event's fields, beside what upstream calls them in errors.
struct Names {
    regarding: &'static str,
    note: &'static str,
    controller: &'static str,
    /// Of the fields that new events leave unset.
    old: [(&'static str, &'static str); 4],
}

const CORE: Names = Names {
    regarding: "involvedObject",
    note: "message",
    controller: "reportingComponent",
    old: [
        ("source", "source"),
        ("firstTimestamp", "firstTimestamp"),
        ("lastTimestamp", "lastTimestamp"),
        ("count", "count"),
    ],
};

const NEW: Names = Names {
    regarding: "regarding",
    note: "note",
    controller: "reportingController",
    old: [
        ("deprecatedSource", "source"),
        ("deprecatedFirstTimestamp", "firstTimestamp"),
        ("deprecatedLastTimestamp", "lastTimestamp"),
        ("deprecatedCount", "count"),
    ],
};

/// A new or changed event of a group.
pub(super) fn check(group: &str, old: Option<&Value>, new: &Value) -> ErrorList {
    let strict = group == "events.k8s.io";
    let names = if strict { &NEW } else { &CORE };
    let mut errors = any(new, names);
    match old {
        _ if !strict => {}
        None => errors.extend(made(new, names)),
        Some(old) => errors.extend(changed(old, new, names)),
    }
    errors
}

/// What holds for all events.
fn any(new: &Value, names: &Names) -> ErrorList {
    let mut errors = ErrorList::new();
    let (own, regarding) = (meta::namespace(new), text(new, &[names.regarding, "namespace"]));
    let is_new = !text(new, &["eventTime"]).is_empty();
    let fits = match (is_new, regarding.is_empty()) {
        (false, true) => matches!(own, "" | "default"),
        (false, false) => own == regarding,
        (true, true) => matches!(own, "default" | "kube-system"),
        (true, false) => true,
    };
    if !fits {
        errors.push(Error::invalid(
            &Path::new("involvedObject").child("namespace"),
            regarding,
            "does not match event.namespace",
        ));
    }
    if is_new {
        let (path, controller) = (Path::new(names.controller), text(new, &[names.controller]));
        if controller.is_empty() {
            errors.push(Error::required(&path, ""));
        }
        errors.extend(texts(&path, controller, names::qualified_name(controller)));
        for field in ["reportingInstance", "action", "reason"] {
            let value = text(new, &[field]);
            if value.is_empty() {
                errors.push(Error::required(&Path::new(field), ""));
            }
            errors.extend(too_long(field, value, MAX_NAME));
        }
        errors.extend(too_long("message", text(new, &[names.note]), MAX_NOTE));
    }
    errors.extend(texts(&Path::new("namespace"), own, names::dns1123_subdomain(own)));
    errors
}

fn too_long(field: &str, value: &str, most: usize) -> Option<Error> {
    (value.len() > most).then(|| {
        Error::invalid(
            &Path::new(field),
            "",
            format!("can have at most {most} characters"),
        )
    })
}

fn made(new: &Value, names: &Names) -> ErrorList {
    let mut errors = series(new);
    if text(new, &["eventTime"]).is_empty() {
        errors.push(Error::required(&Path::new("eventTime"), ""));
    }
    let kind = text(new, &["type"]);
    if !matches!(kind, "Normal" | "Warning") {
        errors.push(Error::invalid(
            &Path::new("type"),
            "",
            format!("has invalid value: {kind}"),
        ));
    }
    let [source, rest @ ..] = names.old;
    let from = |field| !text(at(new, &[source.0]), &[field]).is_empty();
    let of_source = (from("component") || from("host")).then_some(source);
    let set = rest
        .into_iter()
        .filter(|(field, _)| !crate::value::is_zero(Some(at(new, &[field]))));
    errors.extend(
        set.chain(of_source)
            .map(|(_, shown)| Error::invalid(&Path::new(shown), "", "needs to be unset")),
    );
    errors
}

fn series(event: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let (series, path) = (at(event, &["series"]), Path::new("series"));
    if !series.is_object() {
        return errors;
    }
    if int(series, &["count"]).unwrap_or(0) < 2 {
        errors.push(Error::invalid(&path.child("count"), "", "should be at least 2"));
    }
    if text(series, &["lastObservedTime"]).is_empty() {
        errors.push(Error::required(&path.child("lastObservedTime"), ""));
    }
    errors
}

/// Only how often something happened changes.
fn changed(old: &Value, new: &Value, names: &Names) -> ErrorList {
    let mut errors = ErrorList::new();
    if at(old, &["series"]) != at(new, &["series"]) {
        errors.extend(series(new));
    }
    let mut same = |field: &str, shown: &str| {
        errors.extend(immutable(&Path::new(shown), at(old, &[field]), at(new, &[field])));
    };
    same(names.regarding, "involvedObject");
    same("reason", "reason");
    same(names.note, "message");
    for (field, shown) in names.old {
        same(field, shown);
    }
    same("reason", "reason");
    same("type", "type");
    // Some clients cut times off at microseconds.
    let micros = |event: &Value| {
        text(event, &["eventTime"])
            .parse::<Timestamp>()
            .ok()
            .map(Timestamp::as_microsecond)
    };
    if micros(old) != micros(new) {
        same("eventTime", "eventTime");
    }
    for field in ["action", "related"] {
        same(field, field);
    }
    same(names.controller, "reportingController");
    same("reportingInstance", "reportingInstance");
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(changes: Value) -> Value {
        let mut event = json!({
            "metadata": {"name": "e", "namespace": "n"},
            "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "a.b/c", "reportingInstance": "i",
            "action": "a", "reason": "r", "type": "Normal", "regarding": {"kind": "Pod", "namespace": "n", "name": "p"},
        });
        for (field, value) in changes.as_object().unwrap() {
            event[field] = value.clone();
        }
        event
    }

    fn told(errors: &[Error]) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn new_events_are_complete_and_have_nothing_old() {
        for (changes, expected) in [
            (json!({}), &[][..]),
            (
                json!({"series": {"count": 1}}),
                &[
                    r#"series.count: Invalid value: "": should be at least 2"#,
                    "series.lastObservedTime: Required value",
                ],
            ),
            (
                json!({"deprecatedCount": 1, "deprecatedSource": {"host": "h"}, "deprecatedFirstTimestamp": "2026-01-01T00:00:00Z"}),
                &[
                    r#"firstTimestamp: Invalid value: "": needs to be unset"#,
                    r#"count: Invalid value: "": needs to be unset"#,
                    r#"source: Invalid value: "": needs to be unset"#,
                ],
            ),
            (json!({"eventTime": null}), &["eventTime: Required value"]),
            (
                json!({"action": "", "type": "X", "note": "x".repeat(1025)}),
                &[
                    "action: Required value",
                    r#"message: Invalid value: "": can have at most 1024 characters"#,
                    r#"type: Invalid value: "": has invalid value: X"#,
                ],
            ),
            (
                json!({"regarding": {"kind": "Node"}}),
                &[r#"involvedObject.namespace: Invalid value: "": does not match event.namespace"#],
            ),
            (json!({"regarding": {"namespace": "other"}}), &[]),
        ] {
            let found = check("events.k8s.io", None, &event(changes.clone()));
            assert_eq!(told(&found), expected, "{changes}");
        }
    }

    #[test]
    fn events_of_the_core_group_may_be_as_they_were() {
        let old = json!({
            "metadata": {"name": "e", "namespace": "n"}, "count": 1, "source": {"component": "c"}, "type": "X",
            "involvedObject": {"namespace": "n"},
        });
        assert_eq!(told(&check("", None, &old)), Vec::<String>::new());
        let mut elsewhere = old.clone();
        elsewhere["involvedObject"]["namespace"] = json!("other");
        assert_eq!(
            told(&check("", Some(&old), &elsewhere)),
            [r#"involvedObject.namespace: Invalid value: "other": does not match event.namespace"#]
        );
    }

    #[test]
    fn only_the_series_of_an_event_changes() {
        let old = event(json!({}));
        for (changes, fields) in [
            (
                json!({"series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:00.000000Z"}}),
                &[][..],
            ),
            (
                json!({"series": {"count": 1, "lastObservedTime": "2026-01-01T00:00:00.000000Z"}}),
                &["series.count"],
            ),
            (json!({"eventTime": "2026-01-01T00:00:00.000000123Z"}), &[]),
            (
                json!({"eventTime": "2026-01-01T00:00:01.000000Z"}),
                &["eventTime"],
            ),
            (
                json!({"note": "x", "reason": "s"}),
                &["reason", "message", "reason"],
            ),
            (json!({"deprecatedCount": 2}), &["count"]),
        ] {
            let found = check("events.k8s.io", Some(&old), &event(changes.clone()));
            let found: Vec<String> = found.iter().map(|error| error.field.to_string()).collect();
            assert_eq!(found, fields, "{changes}");
        }
    }
}
