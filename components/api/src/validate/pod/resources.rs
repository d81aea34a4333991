//! What containers and pods ask for, and are limited to.
use super::annotations::containers;
use super::{Allowed, claims};
use crate::validate::shared;
use crate::value::{at, list, object, text};
use apimachinery::Quantity;
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;

/// Names that pods as a whole can have, besides huge pages.
const OF_PODS: &[&str] = &["cpu", "hugepages-", "memory"];

/// Requests and limits of a container: known names, amounts that fit them, requests within limits.
pub(in crate::validate) fn requirements(
    resources: &Value,
    claim_names: &[&str],
    allowed: Allowed,
    path: &Path,
) -> ErrorList {
    checked(
        resources,
        claim_names,
        allowed,
        path,
        shared::container_resource_name,
    )
}

fn checked(
    resources: &Value,
    claim_names: &[&str],
    allowed: Allowed,
    path: &Path,
    name_errors: fn(&Path, &str) -> ErrorList,
) -> ErrorList {
    let mut errors = ErrorList::new();
    let (mut compute, mut huge) = (false, false);
    for kind in ["limits", "requests"] {
        for (name, quantity) in object(resources, &[kind]).into_iter().flatten() {
            let (all, own) = (path.child(kind), path.child(kind).key(name));
            errors.extend(name_errors(&own, name));
            errors.extend(shared::resource_amount(&own, name, quantity));
            if kind == "requests" {
                let limit = at(resources, &["limits", name]);
                errors.extend(within(name, quantity, limit, &all, &path.child("limits")));
            }
            if shared::is_huge_page(name) {
                huge = true;
                errors.extend(
                    part_of_pages(name, quantity)
                        .filter(|_| !allowed.parts_of_huge_pages)
                        .map(|amount| {
                            let detail = format!("{amount} is not positive integer multiple of {name}");
                            Error::invalid(&own, amount.to_string(), detail)
                        }),
                );
            }
            compute |= matches!(name.as_str(), "cpu" | "memory");
        }
    }
    if huge && !compute {
        errors.push(Error::forbidden(path, "HugePages require cpu or memory"));
    }
    errors.extend(claims::requested(
        list(resources, &["claims"]),
        claim_names,
        &path.child("claims"),
    ));
    errors
}

/// Requests are at most the limit; where nothing can be shared, both are the same.
fn within(name: &str, request: &Value, limit: &Value, path: &Path, limits: &Path) -> Option<Error> {
    let shared = shared::is_overcommitted(name);
    let Ok(most) = Quantity::from_json(limit) else {
        return (!shared)
            .then(|| Error::required(limits, "Limit must be set for non overcommitable resources"));
    };
    let request = Quantity::from_json(request).ok()?;
    let detail = if request != most && !shared {
        format!("must be equal to {name} limit of {most}")
    } else if request > most {
        format!("must be less than or equal to {name} limit of {most}")
    } else {
        return None;
    };
    Some(Error::invalid(path, request.to_string(), detail))
}

/// Whether parts of huge pages are asked for, which older servers took.
pub(super) fn has_parts_of_huge_pages(spec: &Value) -> bool {
    let of_containers = containers(spec)
        .flat_map(|(_, _, container)| ["limits", "requests"].map(|kind| at(container, &["resources", kind])));
    of_containers
        .chain([at(spec, &["overhead"])])
        .filter_map(Value::as_object)
        .flatten()
        .any(|(name, quantity)| shared::is_huge_page(name) && part_of_pages(name, quantity).is_some())
}

/// The amount, if it is not of whole pages.
fn part_of_pages(name: &str, quantity: &Value) -> Option<Quantity> {
    let amount = Quantity::from_json(quantity).ok()?;
    let page = name
        .strip_prefix("hugepages-")
        .and_then(|size| Quantity::from_json(&Value::from(size)).ok())
        .filter(|page| page.sign() > 0 && !page.is_finer_than(1));
    let fits = page.is_some_and(|page| amount.value() % page.value() == 0);
    (!fits).then_some(amount)
}

/// Requests and limits of a pod as a whole, which bound those of its containers.
pub(super) fn of_pod(spec: &Value, claim_names: &[&str], allowed: Allowed, path: &Path) -> ErrorList {
    let own = at(spec, &["resources"]);
    if text(spec, &["os", "name"]) == "windows" {
        return vec![Error::forbidden(path, "may not be set for a windows pod")];
    }
    let mut errors = ErrorList::new();
    if at(own, &["claims"]).is_array() {
        errors.push(Error::forbidden(
            &path.child("claims"),
            "claims cannot be set for Resources at pod-level",
        ));
    }
    errors.extend(checked(own, claim_names, allowed, path, pod_resource_name));
    for kind in ["requests", "limits"] {
        // Limits are added up where nothing can be shared.
        let counts = |name: &str| kind == "requests" || shared::is_huge_page(name);
        for (name, sum) in sums(spec, kind).into_iter().filter(|(name, _)| counts(name)) {
            let Ok(given) = Quantity::from_json(at(own, &[kind, &name])) else {
                continue;
            };
            if sum > given {
                errors.push(Error::invalid(
                    &path.child(kind).key(&name),
                    given.to_string(),
                    format!("must be greater than or equal to aggregate container {kind} of {sum}"),
                ));
            }
        }
    }
    for (index, container) in list(spec, &["containers"]).iter().enumerate() {
        for (name, limit) in object(container, &["resources", "limits"]).into_iter().flatten() {
            let (Ok(limit), Ok(most)) = (
                Quantity::from_json(limit),
                Quantity::from_json(at(own, &["limits", name])),
            ) else {
                continue;
            };
            if limit > most {
                errors.push(Error::invalid(
                    &path.child("containers").index(index).key(name).child("limits"),
                    limit.to_string(),
                    format!("must be less than or equal to pod limits of {most}"),
                ));
            }
        }
    }
    errors
}

fn pod_resource_name(path: &Path, name: &str) -> ErrorList {
    let errors = shared::resource_name(path, name);
    if errors.is_empty() && !matches!(name, "cpu" | "memory") && !shared::is_huge_page(name) {
        return vec![Error::not_supported(path, name, OF_PODS)];
    }
    errors
}

/// What the containers ask for or are limited to together: those that run all the time, or an initial one beside the sidecars before it.
fn sums(spec: &Value, kind: &str) -> Vec<(String, Quantity)> {
    let request = |container: &Value, name: &str| {
        Quantity::from_json(at(container, &["resources", kind, name])).unwrap_or_default()
    };
    let containers = list(spec, &["containers"]);
    let initial = list(spec, &["initContainers"]);
    let names: std::collections::BTreeSet<&String> = containers
        .iter()
        .chain(initial)
        .flat_map(|container| object(container, &["resources", kind]).into_iter().flatten())
        .map(|(name, _)| name)
        .collect();
    let total = |name: &str| {
        let mut sidecars = Quantity::default();
        let mut most = Quantity::default();
        for container in initial {
            let own = request(container, name);
            let beside = sidecars + own;
            if text(container, &["restartPolicy"]) == "Always" {
                sidecars = beside;
            }
            most = most.max(beside);
        }
        let running = containers
            .iter()
            .fold(sidecars, |sum, container| sum + request(container, name));
        running.max(most)
    };
    names
        .into_iter()
        .map(|name| (name.clone(), total(name)))
        .collect()
}
