//! The objects that a binding parametrizes its policy with.

use super::policy::{Binding, Policy};
use crate::definitions::conversion;
use crate::server::Server;
use api::{Registry, Resource};
use apimachinery::selector::LabelSelector;
use serde_json::Value;
use std::sync::Arc;
use storage::ObjectRef;

/// The kind of a policy's parameters; `None` when it has none.
pub fn kind<'a>(policy: &Policy, registry: &'a Registry) -> Result<Option<&'a Arc<Resource>>, String> {
    let Some(wanted) = &policy.param_kind else {
        return Ok(None);
    };
    registry.kind(wanted).map(Some).ok_or_else(|| {
        format!(
            "failed to find resource referenced by paramKind: '{}, Kind={}'",
            wanted.group_version(),
            wanted.kind
        )
    })
}

/// The parameters for a request in a namespace: the policy is evaluated once with each, and once with none if
/// it or its binding names none.
pub async fn collect(
    server: &Server,
    row: Option<&Arc<Resource>>,
    binding: &Binding,
    namespace: &str,
) -> Result<Vec<Option<Value>>, String> {
    let reference = &binding.param_ref;
    let Some(row) = row.filter(|_| reference.is_object()) else {
        return Ok(vec![None]);
    };
    let place = place(row.namespaced, reference, namespace)?;
    let store = server.stores.of(row);
    store.warm_up().await.map_err(|error| error.to_string())?;
    let name = reference["name"].as_str().unwrap_or("");
    store.knows_own_writes().await;
    let found: Vec<ObjectRef> = if !name.is_empty() {
        store.cached_object(place, name).into_iter().collect()
    } else if reference["selector"].is_object() {
        let selector =
            LabelSelector::from_object(reference.get("selector")).map_err(|error| error.to_string())?;
        let within = row.namespaced.then_some(place);
        let mut all = store.cached(within);
        all.retain(|object| selector.matches_with(|key| object.label(key)));
        all
    } else {
        return Err("one of name or selector must be provided".to_owned());
    };
    if found.is_empty() && reference["parameterNotFoundAction"] == "Deny" {
        return Err("no params found for policy binding with `Deny` parameterNotFoundAction".to_owned());
    }
    let mut params = Vec::with_capacity(found.len());
    for object in &found {
        let value = conversion::value(server, row, object).await;
        params.push(Some(value.map_err(|error| error.message().to_owned())?));
    }
    Ok(params)
}

/// The namespace of the parameters; empty for kinds of the cluster.
fn place<'a>(namespaced: bool, reference: &'a Value, namespace: &'a str) -> Result<&'a str, String> {
    let given = reference["namespace"].as_str().unwrap_or("");
    match (namespaced, given, namespace) {
        (false, "", _) => Ok(""),
        (false, ..) => {
            Err("paramRef.namespace must not be provided for a cluster-scoped `paramKind`".to_owned())
        }
        (true, "", "") => Err(
            "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
                .to_owned(),
        ),
        (true, "", own) => Ok(own),
        (true, given, _) => Ok(given),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn places() {
        let (none, other) = (json!({}), json!({"namespace": "other"}));
        assert_eq!(place(false, &none, "own"), Ok(""));
        assert_eq!(place(true, &none, "own"), Ok("own"));
        assert_eq!(place(true, &other, "own"), Ok("other"));
        assert!(place(true, &none, "").is_err());
        assert!(place(false, &other, "own").is_err());
    }
}
