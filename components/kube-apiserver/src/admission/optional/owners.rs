//! OwnerReferencesPermissionEnforcement: who gives an object an owner lets it be deleted with that, and may hold up the
//! owner's deletion; so both are for those who could do it themselves.
use crate::admission::Attributes;
use crate::authorization::Verdict;
use crate::authorization::attributes::Attributes as Question;
use crate::server::Server;
use api::Resource;
use apimachinery::ApiError;
use serde_json::Value;
use std::borrow::Cow;

pub async fn check(
    server: &Server,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    // Kubelets' updates of statuses change no owners.
    if attributes.is("", "pods") && attributes.subresource == "status" {
        return Ok(());
    }
    let (new, old) = (owners(object), owners(old));
    if new == old {
        return Ok(());
    }
    let mut question = Question::resource(
        &attributes.user,
        "delete",
        &attributes.row.gvk.group,
        &attributes.row.plural,
    )
    .in_namespace(&attributes.namespace)
    .of_subresource(&attributes.subresource)
    .named(&attributes.name);
    question.version = Cow::Borrowed(&attributes.row.gvk.version);
    let verdict = server.authorizer.decide(&question).await;
    if !verdict.allowed() {
        let why = "cannot set an ownerRef on a resource you can't delete";
        return Err(attributes.forbidden(&told(why, &verdict)));
    }
    for owner in newly_blocking(new, old) {
        held_up(server, attributes, owner).await?;
    }
    Ok(())
}

fn owners(object: Option<&Value>) -> &[Value] {
    let owners = object.and_then(|object| object["metadata"]["ownerReferences"].as_array());
    owners.map_or(&[], Vec::as_slice)
}

/// With the reason and the error, as Go prints it.
fn told(why: &str, verdict: &Verdict) -> String {
    let error = verdict.error.as_deref().unwrap_or("<nil>");
    format!("{why}: {}, {error}", verdict.reason())
}

/// Owners whose deletion waits for the object, and didn't before.
fn newly_blocking<'a>(new: &'a [Value], old: &'a [Value]) -> impl Iterator<Item = &'a Value> {
    let blocks = |owner: &Value| owner["blockOwnerDeletion"] == true;
    let blocked = move |owner: &Value| {
        old.iter()
            .any(|other| other["uid"] == owner["uid"] && blocks(other))
    };
    new.iter().filter(move |owner| blocks(owner) && !blocked(owner))
}

/// Whether the user might hold up the owner's deletion with a finalizer too.
async fn held_up(server: &Server, attributes: &Attributes<'_>, owner: &Value) -> Result<(), ApiError> {
    let text = |field: &str| owner[field].as_str().unwrap_or("");
    let (version, kind) = (text("apiVersion"), text("kind"));
    let registry = server.registry.load_full();
    let rows: Vec<&Resource> = registry
        .iter()
        .map(|row| &**row)
        .filter(|row| row.gvk.api_version() == version && row.gvk.kind == kind)
        .collect();
    if rows.is_empty() {
        return Err(attributes.forbidden(&format!(
            "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion {version} Kind {kind}: no matches for kind {} in version {}",
            apimachinery::field::quote(kind),
            apimachinery::field::quote(version),
        )));
    }
    for row in rows {
        let namespace = if row.namespaced {
            attributes.namespace.as_str()
        } else {
            ""
        };
        let mut question = Question::resource(&attributes.user, "update", &row.gvk.group, &row.plural)
            .in_namespace(namespace)
            .of_subresource("finalizers")
            .named(text("name"));
        question.version = Cow::Borrowed(&row.gvk.version);
        let verdict = server.authorizer.decide(&question).await;
        if !verdict.allowed() {
            let why = "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on";
            return Err(attributes.forbidden(&told(why, &verdict)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn owners_that_begin_to_wait() {
        let owner = |uid: &str, blocks: Value| json!({"uid": uid, "blockOwnerDeletion": blocks});
        for (new, old, want) in [
            (vec![owner("a", json!(true))], vec![], vec!["a"]),
            (
                vec![owner("a", Value::Null), owner("b", json!(false))],
                vec![],
                vec![],
            ),
            (
                vec![owner("a", json!(true)), owner("b", json!(true))],
                vec![owner("a", json!(true)), owner("b", json!(false))],
                vec!["b"],
            ),
        ] {
            let found: Vec<&str> = newly_blocking(&new, &old)
                .filter_map(|owner| owner["uid"].as_str())
                .collect();
            assert_eq!(found, want, "{new:?} after {old:?}");
        }
    }
}
