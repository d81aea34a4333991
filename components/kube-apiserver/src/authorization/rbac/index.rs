//! Roles and bindings arranged for look-up by subject.

use super::rules::PolicyRule;
use crate::authorization::Decision;
use crate::authorization::attributes::Attributes;
use crate::identity::{User, service_account};
use ahash::{AHashMap, AHashSet};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A role or cluster role.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Role {
    pub metadata: Meta,
    pub rules: Option<Vec<PolicyRule>>,
    pub aggregation_rule: Option<AggregationRule>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Meta {
    pub name: String,
    pub namespace: String,
    pub labels: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AggregationRule {
    pub cluster_role_selectors: Option<Vec<RoleSelector>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RoleSelector {
    pub match_labels: Option<BTreeMap<String, String>>,
    pub match_expressions: Option<Vec<Expression>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Expression {
    pub key: String,
    pub operator: String,
    pub values: Option<Vec<String>>,
}

impl RoleSelector {
    fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let equal = self
            .match_labels
            .iter()
            .flatten()
            .all(|(key, value)| labels.get(key) == Some(value));
        equal
            && self.match_expressions.iter().flatten().all(|expression| {
                let value = labels.get(&expression.key);
                let listed = |value: &String| expression.values.iter().flatten().any(|item| item == value);
                match expression.operator.as_str() {
                    "In" => value.is_some_and(listed),
                    "NotIn" => !value.is_some_and(listed),
                    "Exists" => value.is_some(),
                    "DoesNotExist" => value.is_none(),
                    _ => false,
                }
            })
    }
}

/// A role binding or cluster role binding.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Binding {
    pub metadata: Meta,
    pub subjects: Option<Vec<Subject>>,
    pub role_ref: RoleRef,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Subject {
    pub kind: String,
    pub name: String,
    pub namespace: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RoleRef {
    pub kind: String,
    pub name: String,
}

/// Rules in effect for one binding, with the text that explains a yes.
#[derive(Debug)]
struct Grant {
    rules: Option<Arc<[PolicyRule]>>,
    explanation: String,
    missing_role: String,
}

type BySubject = AHashMap<SubjectKey, Vec<Arc<Grant>>>;

#[derive(Debug, PartialEq, Eq, Hash)]
enum SubjectKey {
    User(String),
    Group(String),
}

/// All grants, by where they hold and to whom.
#[derive(Debug, Default)]
pub struct RbacIndex {
    pub generation: u64,
    cluster: BySubject,
    namespaces: AHashMap<String, BySubject>,
    cluster_roles: AHashMap<String, Arc<[PolicyRule]>>,
    roles: AHashMap<(String, String), Arc<[PolicyRule]>>,
}

impl RbacIndex {
    /// Builds the index of a snapshot of the four kinds.
    pub fn build(
        generation: u64,
        cluster_roles: &[Arc<Role>],
        roles: &[Arc<Role>],
        cluster_bindings: &[Arc<Binding>],
        bindings: &[Arc<Binding>],
    ) -> Self {
        let mut index = Self {
            generation,
            ..Self::default()
        };
        for role in cluster_roles {
            index
                .cluster_roles
                .insert(role.metadata.name.clone(), effective_rules(role, cluster_roles));
        }
        for role in roles {
            let rules: Arc<[PolicyRule]> = role.rules.clone().unwrap_or_default().into();
            index.roles.insert(
                (role.metadata.namespace.clone(), role.metadata.name.clone()),
                rules,
            );
        }
        for binding in cluster_bindings {
            let grant = Arc::new(index.grant("ClusterRoleBinding", binding));
            add_grant(&mut index.cluster, binding, &grant);
        }
        for binding in bindings {
            let grant = Arc::new(index.grant("RoleBinding", binding));
            add_grant(
                index
                    .namespaces
                    .entry(binding.metadata.namespace.clone())
                    .or_default(),
                binding,
                &grant,
            );
        }
        index
    }

    /// Rules of a role that a binding may refer to.
    pub fn role_rules(&self, kind: &str, namespace: &str, name: &str) -> Option<Arc<[PolicyRule]>> {
        match kind {
            "ClusterRole" => self.cluster_roles.get(name).cloned(),
            "Role" => self.roles.get(&(namespace.to_owned(), name.to_owned())).cloned(),
            _ => None,
        }
    }

    fn grant(&self, kind: &str, binding: &Binding) -> Grant {
        let role = &binding.role_ref;
        let namespace = &binding.metadata.namespace;
        let display = if namespace.is_empty() {
            binding.metadata.name.clone()
        } else {
            format!("{}/{namespace}", binding.metadata.name)
        };
        let missing_role = match role.kind.as_str() {
            "ClusterRole" => format!("clusterrole.rbac.authorization.k8s.io {:?} not found", role.name),
            _ => format!("role.rbac.authorization.k8s.io {:?} not found", role.name),
        };
        Grant {
            rules: self.role_rules(&role.kind, namespace, &role.name),
            explanation: format!(
                "RBAC: allowed by {kind} {display:?} of {} {:?} to ",
                role.kind, role.name
            ),
            missing_role,
        }
    }

    pub fn authorize(&self, attributes: &Attributes<'_>) -> Decision {
        let mut missing: Vec<&str> = Vec::new();
        for (grant, subject) in self.grants_of(&attributes.user, &attributes.namespace) {
            match &grant.rules {
                Some(rules) if rules.iter().any(|rule| rule.allows(attributes)) => {
                    return Decision::Allow(format!("{}{subject}", grant.explanation));
                }
                Some(_) => {}
                None => missing.push(&grant.missing_role),
            }
        }
        if missing.is_empty() {
            return Decision::NoOpinion(String::new());
        }
        let missing = aggregate(missing.into_iter().map(str::to_owned).collect());
        Decision::NoOpinion(format!("RBAC: {}", missing.unwrap_or_default()))
    }

    /// Every rule that holds for a user in a namespace, cluster-wide ones included, and what is wrong with bindings to roles that
    /// aren't there.
    pub fn rules_of(&self, user: &User, namespace: &str) -> (Vec<PolicyRule>, Vec<String>) {
        let mut rules = Vec::new();
        let mut missing = Vec::new();
        for (grant, _) in self.grants_of(user, namespace) {
            match &grant.rules {
                Some(granted) => rules.extend(granted.iter().cloned()),
                None => missing.push(grant.missing_role.clone()),
            }
        }
        (rules, missing)
    }

    fn grants_of(&self, user: &User, namespace: &str) -> Vec<(&Grant, String)> {
        let mut found = Vec::new();
        let scopes = std::iter::once(&self.cluster)
            .chain(self.namespaces.get(namespace).filter(|_| !namespace.is_empty()));
        for scope in scopes {
            for grant in scope
                .get(&SubjectKey::User(user.name.clone()))
                .into_iter()
                .flatten()
            {
                let subject = match service_account(&user.name) {
                    Some((namespace, name)) => format!("ServiceAccount {:?}", format!("{name}/{namespace}")),
                    None => format!("User {:?}", user.name),
                };
                found.push((&**grant, subject));
            }
            for group in &user.groups {
                for grant in scope.get(&SubjectKey::Group(group.clone())).into_iter().flatten() {
                    found.push((&**grant, format!("Group {group:?}")));
                }
            }
        }
        found
    }
}

/// Errors as upstream joins them: each once, in brackets if there are several.
pub fn aggregate(mut errors: Vec<String>) -> Option<String> {
    let mut seen = AHashSet::new();
    errors.retain(|error| seen.insert(error.clone()));
    match errors.len() {
        0 => None,
        1 => errors.pop(),
        _ => Some(format!("[{}]", errors.join(", "))),
    }
}

/// Rules of a cluster role; an aggregated one also has those of the roles it selects.
fn effective_rules(role: &Role, all: &[Arc<Role>]) -> Arc<[PolicyRule]> {
    let mut rules = role.rules.clone().unwrap_or_default();
    if let Some(aggregation) = &role.aggregation_rule {
        let empty = BTreeMap::new();
        let selected = |other: &&Arc<Role>| {
            let labels = other.metadata.labels.as_ref().unwrap_or(&empty);
            other.metadata.name != role.metadata.name
                && aggregation
                    .cluster_role_selectors
                    .iter()
                    .flatten()
                    .any(|selector| selector.matches(labels))
        };
        for other in all.iter().filter(selected) {
            for rule in other.rules.iter().flatten() {
                if !rules.contains(rule) {
                    rules.push(rule.clone());
                }
            }
        }
    }
    rules.into()
}

fn add_grant(scope: &mut BySubject, binding: &Binding, grant: &Arc<Grant>) {
    for subject in binding.subjects.iter().flatten() {
        let key = match subject.kind.as_str() {
            "User" => SubjectKey::User(subject.name.clone()),
            "Group" => SubjectKey::Group(subject.name.clone()),
            "ServiceAccount" => {
                let namespace = if subject.namespace.is_empty() {
                    &binding.metadata.namespace
                } else {
                    &subject.namespace
                };
                if namespace.is_empty() {
                    continue;
                }
                SubjectKey::User(format!(
                    "{}{namespace}:{}",
                    crate::identity::SERVICE_ACCOUNT_PREFIX,
                    subject.name
                ))
            }
            _ => continue,
        };
        scope.entry(key).or_default().push(Arc::clone(grant));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> Arc<T> {
        Arc::new(serde_json::from_value(value).unwrap())
    }

    fn index() -> RbacIndex {
        let view = parse(
            json!({"metadata": {"name": "view", "labels": {"edit": "true"}}, "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]}),
        );
        let edit = parse(
            json!({"metadata": {"name": "edit"}, "rules": null, "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"edit": "true"}}]}}),
        );
        let local = parse(
            json!({"metadata": {"name": "local", "namespace": "a"}, "rules": [{"verbs": ["list"], "apiGroups": [""], "resources": ["pods"]}]}),
        );
        let everywhere = parse(
            json!({"metadata": {"name": "b"}, "subjects": [{"kind": "Group", "name": "team"}], "roleRef": {"kind": "ClusterRole", "name": "edit"}}),
        );
        let somewhere = parse(
            json!({"metadata": {"name": "b", "namespace": "a"}, "subjects": [{"kind": "ServiceAccount", "name": "sa"}], "roleRef": {"kind": "Role", "name": "local"}}),
        );
        let dangling = parse(
            json!({"metadata": {"name": "d"}, "subjects": [{"kind": "User", "name": "eve"}], "roleRef": {"kind": "ClusterRole", "name": "gone"}}),
        );
        RbacIndex::build(1, &[view, edit], &[local], &[everywhere, dangling], &[somewhere])
    }

    #[test]
    fn scopes_subjects_and_aggregation() {
        let index = index();
        let user = |name: &str, groups: &[&str]| User {
            name: name.into(),
            groups: groups.iter().map(|g| (*g).to_owned()).collect(),
            ..User::default()
        };
        let table = [
            (user("x", &["team"]), "get", "a", true),
            (user("x", &["team"]), "list", "a", false),
            (user("x", &[]), "get", "a", false),
            (user("system:serviceaccount:a:sa", &[]), "list", "a", true),
            (user("system:serviceaccount:a:sa", &[]), "list", "b", false),
            (user("system:serviceaccount:a:sa", &[]), "list", "", false),
        ];
        for (user, verb, namespace, expected) in table {
            let question = Attributes::resource(&user, verb, "", "pods").in_namespace(namespace);
            assert_eq!(index.authorize(&question).allowed(), expected, "{question:?}");
        }
    }

    #[test]
    fn errors_are_told_once() {
        let of = |errors: &[&str]| aggregate(errors.iter().map(|error| (*error).to_owned()).collect());
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["a", "a"]).as_deref(), Some("a"));
        assert_eq!(of(&["b", "a", "b"]).as_deref(), Some("[b, a]"));
    }

    #[test]
    fn a_binding_to_a_missing_role_says_so() {
        let eve = User {
            name: "eve".into(),
            ..User::default()
        };
        let decision = index().authorize(&Attributes::resource(&eve, "get", "", "pods"));
        assert_eq!(
            decision,
            Decision::NoOpinion("RBAC: clusterrole.rbac.authorization.k8s.io \"gone\" not found".into())
        );
        let (rules, missing) = index().rules_of(&eve, "a");
        assert!(rules.is_empty());
        assert_eq!(
            missing,
            ["clusterrole.rbac.authorization.k8s.io \"gone\" not found"]
        );
    }
}
