//! What may change in a job.
use crate::features::{Feature, Features};
use crate::validate::internal;
use crate::validate::shared::{immutable, same};
use crate::value::{at, int, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::{Value, json};

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

    /// What of the template may not change as places go.
    fn fixed_template(&self, spec: &Value) -> Value {
        let mut template = at(spec, &["template"]).clone();
        if !self.scheduling {
            return template;
        }
        let mut remove = |parent: &str, names: &[&str]| {
            if let Some(map) = template.pointer_mut(parent).and_then(Value::as_object_mut) {
                map.retain(|name, _| !names.contains(&name.as_str()));
            }
        };
        remove("/metadata", &["labels", "annotations"]);
        remove("/spec", &["nodeSelector", "tolerations", "schedulingGates"]);
        remove("/spec/affinity", &["nodeAffinity"]);
        // An affinity of nothing else is none.
        if at(&template, &["spec", "affinity"]) == &json!({})
            && let Some(spec) = template.get_mut("spec").and_then(Value::as_object_mut)
        {
            spec.remove("affinity");
        }
        template
    }

    /// A template that may not be changed to this one. Where resources may change, nothing but the pod's spec is looked at.
    fn template_change(&self, old: &Value, new: &Value, path: &Path) -> Option<Error> {
        let (mut before, after) = (self.fixed_template(old), self.fixed_template(new));
        let shown = internal::template(at(new, &["template"]));
        if !self.resources {
            let shown = internal::shown(internal::POD_TEMPLATE, &shown);
            return (!same(&before, &after)).then(|| Error::invalid(path, shown, IMMUTABLE));
        }
        for kind in ["containers", "initContainers"] {
            let wanted = list(&after, &["spec", kind]);
            let containers = before
                .pointer_mut("/spec")
                .and_then(|spec| spec.get_mut(kind))
                .and_then(Value::as_array_mut)
                .filter(|containers| containers.len() == wanted.len());
            for (container, wanted) in containers.into_iter().flatten().zip(wanted) {
                if text(container, &["name"]) == text(wanted, &["name"]) {
                    container["resources"] = at(wanted, &["resources"]).clone();
                }
            }
        }
        let spec = |template| at(template, &["spec"]);
        (!same(spec(&before), spec(&after))).then(|| {
            let shown = internal::shown(internal::POD_SPEC, spec(&shown));
            Error::invalid(&path.child("spec"), shown, IMMUTABLE)
        })
    }
}

const IMMUTABLE: &str = "field is immutable";

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
    errors.extend(Open::of(job, features).template_change(old, new, &path.child("template")));
    errors.extend(immutable(
        &path.child("completionMode"),
        at(old, &["completionMode"]),
        at(new, &["completionMode"]),
    ));
    let policy = |field: &str, members| {
        let shown = || internal::shown_pointer(members, at(new, &[field]));
        (!same(at(old, &[field]), at(new, &[field])))
            .then(|| Error::invalid(&path.child(field), shown(), IMMUTABLE))
    };
    errors.extend(policy("podFailurePolicy", internal::POD_FAILURE_POLICY));
    for field in ["backoffLimitPerIndex", "managedBy"] {
        errors.extend(immutable(
            &path.child(field),
            at(old, &[field]),
            at(new, &[field]),
        ));
    }
    errors.extend(policy("successPolicy", internal::SUCCESS_POLICY));
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

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
