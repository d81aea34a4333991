//! Claims for devices, and templates of claims.
use super::lists::{MAX_ITEMS, each, set};
use super::names::{Requests, name_of};
use super::{config, request};
use crate::features::Features;
use crate::validate::shared::same;
use crate::validate::{internal, metadata};
use crate::value::{at, list};
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;

/// A ResourceClaim. What is wanted never changes, so it is only checked once.
pub(super) fn claim(old: Option<&Value>, new: &Value, features: Features) -> ErrorList {
    let (spec, path) = (at(new, &["spec"]), Path::new("spec"));
    match old {
        None => self::spec(spec, features, &path),
        Some(old) => immutable_spec(old, spec, internal::CLAIM_SPEC, &path)
            .into_iter()
            .collect(),
    }
}

/// A ResourceClaimTemplate. A changed one is checked like a new one as well.
pub(super) fn template(old: Option<&Value>, new: &Value, features: Features) -> ErrorList {
    let (template, path) = (at(new, &["spec"]), Path::new("spec"));
    let mut errors = metadata::template(template, &path.child("metadata"));
    errors.extend(spec(at(template, &["spec"]), features, &path.child("spec")));
    if let Some(old) = old {
        errors.extend(immutable_spec(
            old,
            template,
            internal::CLAIM_TEMPLATE_SPEC,
            &path,
        ));
    }
    errors
}

fn immutable_spec(
    old: &Value,
    spec: &Value,
    members: &'static [internal::Member],
    path: &Path,
) -> Option<Error> {
    (!same(at(old, &["spec"]), spec))
        .then(|| Error::invalid(path, internal::shown(members, spec), "field is immutable"))
}

fn spec(spec: &Value, features: Features, path: &Path) -> ErrorList {
    let (devices, path) = (at(spec, &["devices"]), path.child("devices"));
    let requests = Requests::of(devices);
    let mut errors = set(
        list(devices, &["requests"]),
        MAX_ITEMS,
        &path.child("requests"),
        name_of,
        |item, path| request::check(item, features, path),
    );
    errors.extend(each(
        list(devices, &["constraints"]),
        MAX_ITEMS,
        &path.child("constraints"),
        |item, path| request::constraint(item, &requests, features, path),
    ));
    errors.extend(config::of_claim(devices, &requests, &path.child("config")));
    errors
}
