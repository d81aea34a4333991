//! RBAC's own rule: nobody hands out more than they have, unless allowed to escalate or bind.

use super::{Attributes, Operation};
use crate::authorization::attributes::Attributes as Question;
use crate::authorization::rbac::escalation::{describe, uncovered};
use crate::authorization::rbac::rules::PolicyRule;
use crate::server::Server;
use apimachinery::{ApiError, meta};
use serde_json::Value;

const GROUP: &str = "rbac.authorization.k8s.io";

/// Checks writes of roles and bindings.
pub async fn admit(
    server: &Server,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    if attributes.row.gvk.group != GROUP
        || !matches!(attributes.operation, Operation::Create | Operation::Update)
    {
        return Ok(());
    }
    let Some(object) = object else { return Ok(()) };
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
    let same = old.is_some_and(|old| {
        old.get("rules") == object.get("rules") && old.get("aggregationRule") == object.get("aggregationRule")
    });
    if same
        || may(
            server,
            attributes,
            "escalate",
            &attributes.row.plural,
            &attributes.name,
        )
    {
        return Ok(());
    }
    if let Some(aggregation) = object.get("aggregationRule").filter(|rule| !rule.is_null())
        && old.and_then(|old| old.get("aggregationRule")) != Some(aggregation)
    {
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
        refuse_uncovered(server, attributes, &everything)?;
    }
    refuse_uncovered(server, attributes, &rules_of(object))
}

fn refuse_uncovered(
    server: &Server,
    attributes: &Attributes<'_>,
    wanted: &[PolicyRule],
) -> Result<(), ApiError> {
    let owned = server
        .authorizer
        .rbac
        .current()
        .rules_of(&attributes.user, &attributes.namespace)
        .0;
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
    let why = format!(
        "user {:?} (groups=[{groups}]) is attempting to grant RBAC permissions not currently held:\n{}",
        attributes.user.name,
        describe(&missing)
    );
    Err(attributes.forbidden(&why))
}

fn binding(
    server: &Server,
    attributes: &Attributes<'_>,
    object: &Value,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    let same = old.is_some_and(|old| {
        old.get("roleRef") == object.get("roleRef") && old.get("subjects") == object.get("subjects")
    });
    let kind = object["roleRef"]["kind"].as_str().unwrap_or("");
    let name = object["roleRef"]["name"].as_str().unwrap_or("");
    let plural = if kind == "ClusterRole" {
        "clusterroles"
    } else {
        "roles"
    };
    if same || may(server, attributes, "bind", plural, name) {
        return Ok(());
    }
    let Some(rules) = server
        .authorizer
        .rbac
        .current()
        .role_rules(kind, &attributes.namespace, name)
    else {
        let resource = apimachinery::GroupResource::new(GROUP, plural);
        let _ = meta::name(object);
        return Err(ApiError::not_found(&resource, name));
    };
    refuse_uncovered(server, attributes, &rules)
}
