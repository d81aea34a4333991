//! Validation of jobs and cron jobs (pkg/apis/batch/validation).
mod change;
mod cron_job;
mod indexes;
mod job;
mod policies;
mod status;

pub(super) use status::check as job_status;

use super::pod::Allowed;
use crate::features::Features;
use crate::value::at;
use apimachinery::field::{ErrorList, Path};
use serde_json::Value;

/// A new or changed job or cron job. A changed job is checked as if it were new too, which `existing` is then told from.
pub(super) fn check(
    kind: &str,
    old: Option<&Value>,
    existing: Option<&Value>,
    new: &Value,
    features: Features,
) -> Option<ErrorList> {
    let path = Path::new("spec");
    let allowed = Allowed::of(features, kind, existing);
    Some(match (kind, old) {
        ("Job", None) => job::whole(existing, new, allowed, &path),
        ("Job", Some(old)) => {
            let spec = at(new, &["spec"]);
            let mut errors = job::spec_and_selector(spec, allowed, &path);
            errors.extend(change::check(old, spec, features, &path));
            errors
        }
        ("CronJob", old) => cron_job::check(old, new, allowed, &path),
        _ => return None,
    })
}
