//! NamespaceLifecycle: objects need a namespace that is there and isn't going away.

use super::{Attributes, Operation};
use crate::server::Server;
use ahash::AHashMap;
use apimachinery::status::{Cause, Details};
use apimachinery::{ApiError, GroupResource, Reason, meta};
use parking_lot::Mutex;
use serde_json::Value;
use std::time::{Duration, Instant};

/// Namespaces without which a cluster doesn't work.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

/// How long the cache isn't believed about a namespace whose deletion was asked for; upstream's too.
const DOUBTED: Duration = Duration::from_secs(30);

/// Namespaces whose deletion was asked for a moment ago: the cache may not know of it.
#[derive(Default)]
pub struct Deleted(Mutex<AHashMap<String, Instant>>);

impl Deleted {
    fn note(&self, name: &str, now: Instant) {
        let mut all = self.0.lock();
        all.retain(|_, at| now.duration_since(*at) < DOUBTED);
        all.insert(name.to_owned(), now);
    }

    fn has(&self, name: &str, now: Instant) -> bool {
        let all = self.0.lock();
        all.get(name).is_some_and(|at| now.duration_since(*at) < DOUBTED)
    }
}

pub async fn admit(
    server: &Server,
    attributes: &Attributes<'_>,
    _object: Option<&Value>,
) -> Result<(), ApiError> {
    if attributes.operation == Operation::Delete
        && attributes.is("", "namespaces")
        && IMMORTAL.contains(&attributes.name.as_str())
    {
        return Err(attributes.forbidden("this namespace may not be deleted"));
    }
    if attributes.operation == Operation::Delete && attributes.is("", "namespaces") {
        server.admission.deleted.note(&attributes.name, Instant::now());
    }
    if !attributes.row.namespaced || attributes.namespace.is_empty() {
        return Ok(());
    }
    // Anything may go; reviews are about namespaces and not in them.
    if attributes.operation != Operation::Create
        || attributes.is("authorization.k8s.io", "localsubjectaccessreviews")
    {
        return Ok(());
    }
    let namespaces = GroupResource::new("", "namespaces");
    let (stores, name) = (&server.stores, attributes.namespace.as_str());
    let namespace = if server.admission.deleted.has(name, Instant::now()) {
        stores.newest("", "namespaces", "", name).await
    } else {
        stores.read("", "namespaces", "", name).await
    };
    let namespace = namespace.map_err(ApiError::internal)?;
    let Some(namespace) = namespace else {
        return Err(ApiError::not_found(&namespaces, &attributes.namespace));
    };
    if namespace["status"]["phase"] == "Terminating" || meta::deletion_timestamp(&namespace).is_some() {
        let why = format!(
            "unable to create new content in namespace {} because it is being terminated",
            attributes.namespace
        );
        let resource = attributes.resource();
        let refused = attributes.forbidden(&why);
        let details = Details {
            name: attributes.shown_name().to_owned(),
            group: resource.group.clone(),
            kind: resource.resource.clone(),
            causes: vec![Cause {
                reason: "NamespaceTerminating".to_owned(),
                message: format!("namespace {} is being terminated", attributes.namespace),
                field: "metadata.namespace".to_owned(),
            }],
            ..Details::default()
        };
        return Err(ApiError::new(
            403,
            Reason::Forbidden,
            refused.message(),
            Some(details),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deletions_are_remembered_for_a_while() {
        let deleted = Deleted::default();
        let start = Instant::now();
        deleted.note("a", start);
        for (seconds, name, expected) in [(0, "a", true), (29, "a", true), (30, "a", false), (0, "b", false)]
        {
            let now = start + Duration::from_secs(seconds);
            assert_eq!(deleted.has(name, now), expected, "{seconds} {name}");
        }
    }
}
