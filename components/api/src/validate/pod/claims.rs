//! Claims for devices, of a pod and of its containers.
use crate::validate::internal;
use crate::validate::shared::texts;
use crate::value::{at, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::names;
use serde_json::Value;
use std::collections::HashSet;

/// Checks a pod's claims; returns the names by which containers can ask for them. Pods of a kubelet's own files have none.
pub(super) fn check<'a>(
    is_mirror: bool,
    claims: &'a [Value],
    path: &Path,
    errors: &mut ErrorList,
) -> Vec<&'a str> {
    let mut seen = Vec::new();
    for (index, claim) in claims.iter().enumerate() {
        let path = path.index(index);
        let name = text(claim, &["name"]);
        if is_mirror {
            errors.push(Error::forbidden(
                &Path::nameless(),
                "static pods do not support resource claims",
            ));
            seen.push(name);
            continue;
        }
        if name.is_empty() {
            errors.push(Error::required(&path.child("name"), ""));
        } else if seen.contains(&name) {
            errors.push(Error::duplicate(&path.child("name"), name));
        } else {
            errors.extend(texts(&path.child("name"), name, names::dns1123_label(name)));
            seen.push(name);
        }
        let own = at(claim, &["resourceClaimName"]).as_str();
        let template = at(claim, &["resourceClaimTemplateName"]).as_str();
        let detail = match (own, template) {
            (Some(_), Some(_)) => {
                Some("at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified")
            }
            (None, None) => Some("must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"),
            _ => None,
        };
        if let Some(detail) = detail {
            let shown = internal::shown(internal::POD_RESOURCE_CLAIM, claim);
            errors.push(Error::invalid(&path, shown, detail));
        }
        for (field, name) in [
            ("resourceClaimName", own),
            ("resourceClaimTemplateName", template),
        ] {
            if let Some(name) = name {
                errors.extend(texts(&path.child(field), name, names::dns1123_subdomain(name)));
            }
        }
    }
    seen
}

/// A container's requests for claims of its pod, or for one request of a claim.
pub(super) fn requested(requested: &[Value], known: &[&str], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen: HashSet<String> = HashSet::new();
    for (index, claim) in requested.iter().enumerate() {
        let path = path.index(index);
        let (name, request) = (text(claim, &["name"]), text(claim, &["request"]));
        if name.is_empty() {
            errors.push(Error::required(&path, ""));
            continue;
        }
        if seen.contains(name) {
            errors.push(Error::duplicate(&path, name));
        } else {
            let mut key = name.to_owned();
            if !request.is_empty() {
                errors.extend(texts(
                    &path.child("request"),
                    request,
                    names::dns1123_label(request),
                ));
                key = format!("{name}/{request}");
            }
            if seen.contains(&key) {
                errors.push(Error::duplicate(&path, key.as_str()));
            } else if request.is_empty() {
                // All of a claim is asked for where parts of it were before.
                let parts = seen
                    .iter()
                    .filter(|other| other.split_once('/').is_some_and(|(claim, _)| claim == name));
                errors.extend(parts.map(|_| Error::duplicate(&path, name)));
            }
            seen.insert(key);
        }
        if !known.contains(&name) {
            let mut sorted = known.to_vec();
            sorted.sort_unstable();
            let listed = if sorted.is_empty() {
                " which is empty".to_owned()
            } else {
                format!(": {}", sorted.join(", "))
            };
            errors.push(Error {
                detail: format!("must be one of the names in pod.spec.resourceClaims{listed}"),
                ..Error::not_found(&path, name)
            });
        }
    }
    errors
}
