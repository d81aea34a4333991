//! RBAC's own rule: nobody hands out more than they have, unless allowed to escalate or bind.

use super::{Attributes, Operation};
use crate::authorization::attributes::Attributes as Question;
use crate::authorization::rbac::escalation::{describe, uncovered};
use crate::authorization::rbac::index::aggregate;
use crate::authorization::rbac::rules::PolicyRule;
use crate::server::Server;
use apimachinery::ApiError;
use serde_json::Value;

const GROUP: &str = "rbac.authorization.k8s.io";

/// Checks writes of roles and bindings.
pub fn admit(
    server: &Server,
    attributes: &Attributes<'_>,
    object: &Value,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    if attributes.row.gvk.group != GROUP
        || !matches!(attributes.operation, Operation::Create | Operation::Update)
    {
        return Ok(());
    }
    if attributes.user.in_group(crate::identity::MASTERS) {
        return Ok(());
    }
    match attributes.row.plural.as_str() {
        "roles" | "clusterroles" => role(server, attributes, object, old),
        "rolebindings" | "clusterrolebindings" => binding(server, attributes, object, old),
        _ => Ok(()),
    }
}

fn rules_of(role: &Value) -> Vec<PolicyRule> {
    serde_json::from_value(role["rules"].clone())
        .ok()
        .flatten()
        .unwrap_or_default()
}

fn may(server: &Server, attributes: &Attributes<'_>, verb: &str, plural: &str, name: &str) -> bool {
    let question = Question::resource(&attributes.user, verb, GROUP, plural)
        .in_namespace(&attributes.namespace)
        .named(name);
    server.authorizer.authorize(&question).allowed()
}

fn role(
    server: &Server,
    attributes: &Attributes<'_>,
    object: &Value,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    // Who may escalate only certain roles can't create any: a POST names none.
    let named = attributes.request.info.name.as_str();
    if may(server, attributes, "escalate", &attributes.row.plural, named)
        || old.is_some_and(|old| changes_only_lifetime(old, object))
    {
        return Ok(());
    }
    confirm_covered(server, attributes, &rules_of(object)).map_err(|why| attributes.forbidden(&why))?;
    if aggregates(object) || old.is_some_and(aggregates) {
        // An aggregated role can come to hold anything.
        let everything = [
            PolicyRule {
                verbs: vec!["*".into()],
                api_groups: vec!["*".into()],
                resources: vec!["*".into()],
                ..PolicyRule::default()
            },
            PolicyRule {
                verbs: vec!["*".into()],
                non_resource_urls: vec!["*".into()],
                ..PolicyRule::default()
            },
        ];
        confirm_covered(server, attributes, &everything).map_err(|_| {
            attributes.forbidden("must have cluster-admin privileges to use the aggregationRule")
        })?;
    }
    Ok(())
}

fn aggregates(role: &Value) -> bool {
    let selectors = role["aggregationRule"]["clusterRoleSelectors"].as_array();
    selectors.is_some_and(|selectors| !selectors.is_empty())
}

/// Whether a change is only what the garbage collector needs so that the object can go. Everything else is looked at
/// again, rules or not: a label can make a role's rules those of an aggregated one.
fn changes_only_lifetime(old: &Value, new: &Value) -> bool {
    let (Value::Object(old), Value::Object(new)) = (old, new) else {
        return false;
    };
    let kept = |(key, _): &(&String, &Value)| {
        !matches!(key.as_str(), "ownerReferences" | "finalizers" | "managedFields")
    };
    old.len() == new.len()
        && old.iter().all(|(key, before)| {
            let Some(after) = new.get(key) else {
                return false;
            };
            match (before, after) {
                (Value::Object(before), Value::Object(after)) if key == "metadata" => {
                    before.iter().filter(kept).eq(after.iter().filter(kept))
                }
                _ => before == after,
            }
        })
}

/// Whether the user has all this; else what is missing, in upstream's words.
fn confirm_covered(
    server: &Server,
    attributes: &Attributes<'_>,
    wanted: &[PolicyRule],
) -> Result<(), String> {
    let (owned, unresolved) = server
        .authorizer
        .rbac
        .current()
        .rules_of(&attributes.user, &attributes.namespace);
    let missing = uncovered(&owned, wanted);
    if missing.is_empty() {
        return Ok(());
    }
    let groups = attributes
        .user
        .groups
        .iter()
        .map(|group| format!("{group:?}"))
        .collect::<Vec<_>>()
        .join(" ");
    let mut why = format!(
        "user {:?} (groups=[{groups}]) is attempting to grant RBAC permissions not currently held:\n{}",
        attributes.user.name,
        describe(&missing)
    );
    if let Some(errors) = aggregate(unresolved) {
        why.push_str(&format!("; resolution errors: [{errors}]"));
    }
    Err(why)
}

fn binding(
    server: &Server,
    attributes: &Attributes<'_>,
    object: &Value,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    let kind = object["roleRef"]["kind"].as_str().unwrap_or("");
    let name = object["roleRef"]["name"].as_str().unwrap_or("");
    let plural = if kind == "ClusterRole" {
        "clusterroles"
    } else {
        "roles"
    };
    if old.is_some_and(|old| changes_only_lifetime(old, object))
        || may(server, attributes, "bind", plural, name)
    {
        return Ok(());
    }
    let Some(rules) = server
        .authorizer
        .rbac
        .current()
        .role_rules(kind, &attributes.namespace, name)
    else {
        let resource = apimachinery::GroupResource::new(GROUP, plural);
        return Err(ApiError::not_found(&resource, name));
    };
    confirm_covered(server, attributes, &rules).map_err(|why| attributes.forbidden(&why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_label_is_a_change_that_is_looked_at_again() {
        let old =
            json!({"metadata": {"name": "r", "labels": {"a": "b"}, "managedFields": [1]}, "rules": [1]});
        let with = |change: &dyn Fn(&mut Value)| {
            let mut new = old.clone();
            change(&mut new);
            changes_only_lifetime(&old, &new)
        };
        assert!(with(&|_| {}));
        assert!(with(&|new| {
            new["metadata"]["finalizers"] = json!(["f"]);
            new["metadata"]["ownerReferences"] = json!([{}]);
            new["metadata"]["managedFields"] = json!([1, 2]);
        }));
        assert!(!with(&|new| new["metadata"]["labels"]["c"] = json!("d")));
        assert!(!with(&|new| new["metadata"]["annotations"] = json!({"c": "d"})));
        assert!(!with(&|new| new["rules"] = json!([2])));
        assert!(!with(&|new| new["aggregationRule"] = json!({})));
    }
}
