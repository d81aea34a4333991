//! What may change in a job.
use crate::features::{Feature, Features};
use crate::validate::internal;
use crate::validate::shared::{immutable, same};
use crate::value::{at, int, list, text};
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

/// Of a suspended job without pods the template may change where it says on which nodes pods run and, with a feature of its own,
/// what they may use. Before the features, only a job that had never run was meant.
struct Open {
    scheduling: bool,
    resources: bool,
}

impl Open {
    fn of(job: &Value, features: Features) -> Self {
        let status = at(job, &["status"]);
        let suspended = at(job, &["spec", "suspend"]) == &Value::Bool(true);
        let never_ran = at(status, &["startTime"]).is_null();
        let told = list(status, &["conditions"]).iter().any(|condition| {
            matches!(text(condition, &["type"]), "Suspended" | "JobSuspended")
                && text(condition, &["status"]) == "True"
        });
        let idle = (never_ran || told) && int(status, &["active"]).unwrap_or(0) == 0;
        let new_rule = features.has(Feature::MutableSchedulingDirectivesForSuspendedJobs);
        Self {
            scheduling: suspended && if new_rule { idle } else { never_ran },
            resources: suspended && idle && features.has(Feature::MutablePodResourcesForSuspendedJobs),
        }
    }

    /// What of the template may not change.
    fn fixed_of(&self, spec: &Value) -> Value {
        let mut template = at(spec, &["template"]).clone();
        if self.scheduling {
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
        if self.resources {
            for kind in ["/spec/containers", "/spec/initContainers"] {
                let containers = template.pointer_mut(kind).and_then(Value::as_array_mut);
                for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
                    container.remove("resources");
                }
            }
        }
        template
    }
}

/// A changed spec of this job.
pub(super) fn check(job: &Value, new: &Value, features: Features, path: &Path) -> ErrorList {
    let old = at(job, &["spec"]);
    let mut errors = ErrorList::new();
    errors.extend(completions_change(old, new, &path.child("completions")));
    errors.extend(immutable(
        &path.child("selector"),
        at(old, &["selector"]),
        at(new, &["selector"]),
    ));
    let open = Open::of(job, features);
    if !same(&open.fixed_of(old), &open.fixed_of(new)) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_template_of_a_suspended_job_opens_as_features_say() {
        let status = |never: bool, told: bool, active: i64| {
            let mut status = json!({"active": active});
            if !never {
                status["startTime"] = json!("2026-01-01T00:00:00Z");
            }
            if told {
                status["conditions"] = json!([{"type": "Suspended", "status": "True"}]);
            }
            status
        };
        let both = Features::default();
        let neither = both
            .with(Feature::MutableSchedulingDirectivesForSuspendedJobs, false)
            .with(Feature::MutablePodResourcesForSuspendedJobs, false);
        let resources =
            json!({"template": {"spec": {"containers": [{"resources": {"limits": {"cpu": "2"}}}]}}});
        let placement = json!({"template": {"spec": {"containers": [{}], "nodeSelector": {"zone": "a"}}}});
        for (features, suspended, status, places, resizes) in [
            (both, true, status(true, false, 0), true, true),
            (both, true, status(false, true, 0), true, true),
            (both, true, status(false, false, 0), false, false),
            (both, true, status(false, true, 1), false, false),
            (both, false, status(true, false, 0), false, false),
            (neither, true, status(true, false, 0), true, false),
            (neither, true, status(false, true, 0), false, false),
            (neither, true, status(true, false, 1), true, false),
        ] {
            let spec = json!({"suspend": suspended, "template": {"spec": {"containers": [{}]}}});
            let job = json!({"spec": spec, "status": status});
            for (new, allowed) in [(&placement, places), (&resources, resizes)] {
                let mut changed = job["spec"].clone();
                changed["template"] = new["template"].clone();
                let errors = check(&job, &changed, features, &Path::new("spec"));
                assert_eq!(errors.is_empty(), allowed, "{job} {new}");
            }
        }
    }
}
