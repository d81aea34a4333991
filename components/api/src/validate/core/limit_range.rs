use crate::validate::shared::{container_resource_name, is_overcommitted, resource_name, texts};
use crate::value::{at, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::{Quantity, names};
use serde_json::Value;
use std::collections::{BTreeSet, HashSet};

/// A LimitRange.
pub(super) fn check(new: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for (index, limit) in list(new, &["spec", "limits"]).iter().enumerate() {
        let path = Path::new("spec.limits").index(index);
        let kind = text(limit, &["type"]);
        errors.extend(type_name(kind, &path.child("type")));
        if !seen.insert(kind) {
            errors.push(Error::duplicate(&path.child("type"), kind));
        }
        errors.extend(item(limit, kind, &path));
    }
    errors
}

fn type_name(kind: &str, path: &Path) -> ErrorList {
    let mut errors = texts(path, kind, names::qualified_name(kind));
    let known = kind.contains('/') || matches!(kind, "Pod" | "Container" | "PersistentVolumeClaim");
    if errors.is_empty() && !known {
        errors.push(Error::invalid(
            path,
            kind,
            "must be a standard limit type or fully qualified",
        ));
    }
    errors
}

fn item(limit: &Value, kind: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut keys: BTreeSet<&String> = BTreeSet::new();
    for field in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
        if field == "maxLimitRequestRatio" {
            errors.extend(storage_bound(limit, kind, path));
        }
        let Some(amounts) = at(limit, &[field])
            .as_object()
            .filter(|amounts| !amounts.is_empty())
        else {
            continue;
        };
        if kind == "Pod" && field.starts_with("default") {
            errors.push(Error::forbidden(
                &path.child(field),
                "may not be specified when `type` is 'Pod'",
            ));
            continue;
        }
        for name in amounts.keys() {
            let path = path.child(field).key(name);
            errors.extend(if matches!(kind, "Pod" | "Container") {
                container_resource_name(&path, name)
            } else {
                resource_name(&path, name)
            });
            keys.insert(name);
        }
    }
    for name in keys {
        errors.extend(amounts(limit, name, path));
    }
    errors
}

/// Claims are bound by their storage at one end at least.
fn storage_bound(limit: &Value, kind: &str, path: &Path) -> Option<Error> {
    let bound = |field| !at(limit, &[field, "storage"]).is_null();
    (kind == "PersistentVolumeClaim" && !bound("min") && !bound("max")).then(|| {
        Error::required(
            &path.child("limits"),
            "either minimum or maximum storage value is required, but neither was provided",
        )
    })
}

/// How the bounds and defaults of one resource fit together.
fn amounts(limit: &Value, name: &str, path: &Path) -> ErrorList {
    let amount = |field: &str| Quantity::from_json(at(limit, &[field, name])).ok();
    let (min, max) = (amount("min"), amount("max"));
    let (limit, request, ratio) = (
        amount("default"),
        amount("defaultRequest"),
        amount("maxLimitRequestRatio"),
    );
    let mut errors = ErrorList::new();
    // Where `small` is above `big`, the error is at `field` and shows `shown`.
    let mut ordered = |small: Option<Quantity>,
                       small_noun: &str,
                       big: Option<Quantity>,
                       big_noun: &str,
                       field: &str,
                       shown: Option<Quantity>| {
        if let (Some(small), Some(big), Some(shown)) = (small, big, shown)
            && small > big
        {
            let detail = format!("{small_noun} value {small} is greater than {big_noun} value {big}");
            errors.push(Error::invalid(
                &path.child(field).key(name),
                shown.to_string(),
                detail,
            ));
        }
    };
    ordered(min, "min", max, "max", "min", min);
    ordered(min, "min", request, "default request", "defaultRequest", request);
    ordered(request, "default request", max, "max", "defaultRequest", request);
    ordered(
        request,
        "default request",
        limit,
        "default limit",
        "defaultRequest",
        request,
    );
    ordered(min, "min", limit, "default", "default", min);
    ordered(limit, "default", max, "max", "default", max);
    let differs = limit.zip(request).filter(|(limit, request)| limit != request);
    let differs = differs
        .filter(|_| !is_overcommitted(name))
        .map(|(limit, request)| {
            Error::invalid(
                &path.child("defaultRequest").key(name),
                request.to_string(),
                format!("default value {limit} must equal to defaultRequest value {request} in {name}"),
            )
        });
    let Some(ratio) = ratio else {
        errors.extend(differs);
        return errors;
    };
    let path = path.child("maxLimitRequestRatio").key(name);
    if ratio.millis() < 1000 {
        errors.push(Error::invalid(
            &path,
            ratio.to_string(),
            format!("ratio {ratio} is less than 1"),
        ));
    }
    if let (Some(min), Some(max)) = (min, max) {
        let most = max.millis() as f64 / min.millis() as f64;
        if ratio.millis() as f64 / 1000.0 > most {
            errors.push(Error::invalid(
                &path,
                ratio.to_string(),
                format!("ratio {ratio} is greater than max/min = {most:.6}"),
            ));
        }
    }
    errors.extend(differs);
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn bounds_and_defaults_must_fit() {
        for (limit, wrong) in [
            (
                json!({"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "1"}, "default": {"cpu": "1"}}),
                vec![],
            ),
            (
                json!({"type": "Container", "max": {"cpu": "2"}, "default": {"cpu": "5"}}),
                vec![
                    "spec.limits[0].default[cpu]: Invalid value: \"2\": default value 5 is greater than max value 2",
                ],
            ),
            (
                json!({"type": "PersistentVolumeClaim", "max": {"storage": "-1"}, "min": {"storage": "1Gi"}}),
                vec![
                    "spec.limits[0].min[storage]: Invalid value: \"1Gi\": min value 1Gi is greater than max value -1",
                ],
            ),
            (
                json!({"type": "Pod", "default": {"cpu": "1"}}),
                vec!["spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'"],
            ),
            (
                json!({"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "-1"}, "maxLimitRequestRatio": {"cpu": "10"}}),
                vec![
                    "spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: \"10\": ratio 10 is greater than max/min = -2.000000",
                ],
            ),
            (
                json!({"type": "Other"}),
                vec![
                    "spec.limits[0].type: Invalid value: \"Other\": must be a standard limit type or fully qualified",
                ],
            ),
        ] {
            let found: Vec<String> = check(&json!({"spec": {"limits": [limit]}}))
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(found, wrong);
        }
    }
}
