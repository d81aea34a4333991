//! What may change in a job.
use crate::validate::internal;
use crate::validate::shared::{immutable, same};
use crate::value::{at, text};
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;

/// Indexed jobs may grow and shrink, with as many pods at once as indexes.
fn completions_change(old: &Value, new: &Value, path: &Path) -> Option<Error> {
    let (before, after) = (at(old, &["completions"]), at(new, &["completions"]));
    if text(new, &["completionMode"]) != "Indexed" {
        return immutable(path, before, after);
    }
    let tandem = before == after || after.is_null() || after == at(new, &["parallelism"]);
    (!tandem).then(|| {
        Error::invalid(
            path,
            after,
            "can only be modified in tandem with spec.parallelism",
        )
    })
}

pub(super) fn check(old: &Value, new: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    errors.extend(completions_change(old, new, &path.child("completions")));
    errors.extend(immutable(
        &path.child("selector"),
        at(old, &["selector"]),
        at(new, &["selector"]),
    ));
    let suspended = at(old, &["suspend"]) == &Value::Bool(true);
    let template = |spec: &Value| {
        let mut template = at(spec, &["template"]).clone();
        if suspended {
            for path in [
                "/spec/nodeSelector",
                "/spec/affinity",
                "/spec/tolerations",
                "/spec/schedulingGates",
                "/metadata/labels",
                "/metadata/annotations",
            ] {
                if let Some((parent, last)) = path.rsplit_once('/') {
                    template
                        .pointer_mut(parent)
                        .and_then(Value::as_object_mut)
                        .and_then(|map| map.remove(last));
                }
            }
        }
        template
    };
    if !same(&template(old), &template(new)) {
        let shown = internal::shown(
            internal::POD_TEMPLATE,
            &internal::template(at(new, &["template"])),
        );
        errors.push(Error::invalid(
            &path.child("template"),
            shown,
            "field is immutable",
        ));
    }
    errors.extend(immutable(
        &path.child("completionMode"),
        at(old, &["completionMode"]),
        at(new, &["completionMode"]),
    ));
    for (field, members) in [
        ("podFailurePolicy", internal::POD_FAILURE_POLICY),
        ("successPolicy", internal::SUCCESS_POLICY),
    ] {
        if !same(at(old, &[field]), at(new, &[field])) {
            let shown = internal::shown_pointer(members, at(new, &[field]));
            errors.push(Error::invalid(&path.child(field), shown, "field is immutable"));
        }
    }
    errors.extend(immutable(
        &path.child("backoffLimitPerIndex"),
        at(old, &["backoffLimitPerIndex"]),
        at(new, &["backoffLimitPerIndex"]),
    ));
    errors.extend(immutable(
        &path.child("managedBy"),
        at(old, &["managedBy"]),
        at(new, &["managedBy"]),
    ));
    errors
}
