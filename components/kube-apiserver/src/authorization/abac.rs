//! The policy file of `--authorization-policy-file`: one JSON object a line, each a right of a user or group.

use super::Decision;
use super::attributes::Attributes;
use crate::identity::User;
use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;

const GROUP: &str = "abac.authorization.kubernetes.io/";
const AUTHENTICATED: &str = "system:authenticated";

/// A right. Empty user and group are nobody, `*` elsewhere is everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Policy {
    pub user: String,
    pub group: String,
    pub readonly: bool,
    pub api_group: String,
    pub resource: String,
    pub namespace: String,
    pub non_resource_path: String,
}

/// All lines of the file.
#[derive(Debug, Default)]
pub struct Policies(Vec<Policy>);

impl Policies {
    pub fn load(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        Self::parse(&text).with_context(|| file.display().to_string())
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
        let said = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        said.map(|(number, line)| read(line).with_context(|| format!("line {number}")))
            .collect::<anyhow::Result<_>>()
            .map(Self)
    }

    pub fn authorize(&self, attributes: &Attributes<'_>) -> Decision {
        if self.0.iter().any(|policy| policy.allows(attributes)) {
            return Decision::Allow(String::new());
        }
        Decision::NoOpinion("No policy matched.".to_owned())
    }

    /// What a user may do in a namespace.
    pub fn of<'a>(&'a self, user: &'a User, namespace: &'a str) -> impl Iterator<Item = &'a Policy> {
        self.0.iter().filter(move |policy| {
            policy.concerns(user) && (policy.namespace == "*" || policy.namespace == namespace)
        })
    }
}

/// A line in the form that has a version, or in the one from before there was one.
fn read(line: &str) -> anyhow::Result<Policy> {
    let value: Value = serde_json::from_str(line)?;
    let version = value["apiVersion"].as_str().unwrap_or("");
    if version.is_empty() && value["kind"].as_str().unwrap_or("").is_empty() {
        return Ok(unversioned(serde_json::from_value(value)?));
    }
    match version.strip_prefix(GROUP) {
        Some("v1beta1") if value["kind"] == "Policy" => {}
        _ => bail!("is {} {version}, must be Policy {GROUP}v1beta1", value["kind"]),
    }
    let mut policy: Policy = serde_json::from_value(value["spec"].clone())?;
    if policy.user == "*" || policy.group == "*" {
        policy.for_everybody();
    }
    Ok(policy)
}

/// In the old form what is left out is everything.
fn unversioned(mut policy: Policy) -> Policy {
    policy.api_group = "*".to_owned();
    policy.non_resource_path = String::new();
    if policy.namespace.is_empty() && policy.resource.is_empty() {
        policy.non_resource_path = "*".to_owned();
    }
    for field in [&mut policy.namespace, &mut policy.resource] {
        if field.is_empty() {
            "*".clone_into(field);
        }
    }
    if policy.user == "*" || policy.group == "*" || (policy.user.is_empty() && policy.group.is_empty()) {
        policy.for_everybody();
    }
    policy
}

fn fits(pattern: &str, text: &str) -> bool {
    pattern == "*" || pattern == text
}

impl Policy {
    fn for_everybody(&mut self) {
        self.user.clear();
        AUTHENTICATED.clone_into(&mut self.group);
    }

    fn concerns(&self, user: &User) -> bool {
        if self.user.is_empty() && self.group.is_empty() {
            return false;
        }
        (self.user.is_empty() || self.user == user.name)
            && (self.group.is_empty() || user.in_group(&self.group))
    }

    fn allows(&self, attributes: &Attributes<'_>) -> bool {
        if !self.concerns(&attributes.user) || (self.readonly && !attributes.is_read_only()) {
            return false;
        }
        if attributes.is_resource {
            return fits(&self.namespace, &attributes.namespace)
                && fits(&self.resource, &attributes.resource)
                && fits(&self.api_group, &attributes.group);
        }
        let path = &self.non_resource_path;
        *path == attributes.path
            || (path.ends_with('*') && attributes.path.starts_with(path.trim_end_matches('*')))
    }

    /// The verbs that it gives a right to.
    pub fn verbs(&self) -> &'static [&'static str] {
        if self.readonly {
            &["get", "list", "watch"]
        } else {
            &["*"]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;

    fn versioned(spec: &str) -> String {
        format!(
            r#"{{"apiVersion": "abac.authorization.kubernetes.io/v1beta1", "kind": "Policy", "spec": {spec}}}"#
        )
    }

    #[test]
    fn lines_give_rights() {
        let text = [
            "# comment".to_owned(),
            String::new(),
            versioned(r#"{"user": "alice", "namespace": "*", "resource": "*", "apiGroup": "*"}"#),
            versioned(r#"{"user": "bob", "namespace": "projects", "resource": "pods", "readonly": true}"#),
            versioned(r#"{"group": "*", "readonly": true, "nonResourcePath": "/version*"}"#),
            r#"{"user": "old", "namespace": "here"}"#.to_owned(),
        ]
        .join("\n");
        let policies = Policies::parse(&text).unwrap();
        let user = |name: &str| User {
            name: name.into(),
            groups: vec![AUTHENTICATED.into()],
            ..User::default()
        };
        for (who, verb, group, resource, namespace, expected) in [
            ("alice", "create", "apps", "deployments", "x", true),
            ("bob", "get", "", "pods", "projects", true),
            ("bob", "create", "", "pods", "projects", false),
            ("bob", "get", "", "pods", "other", false),
            ("bob", "get", "apps", "pods", "projects", false),
            ("old", "delete", "apps", "deployments", "here", true),
            ("old", "delete", "apps", "deployments", "there", false),
            ("carol", "get", "", "pods", "projects", false),
        ] {
            let user = user(who);
            let question = Attributes::resource(&user, verb, group, resource).in_namespace(namespace);
            let allowed = policies.authorize(&question).allowed();
            assert_eq!(allowed, expected, "{who} {verb} {group} {resource} {namespace}");
        }
        for (who, path, expected) in [
            (user("carol"), "/version/x", true),
            (user("carol"), "/metrics", false),
            (user("alice"), "/metrics", false),
            (User::default(), "/version", false),
        ] {
            let question = Attributes {
                is_resource: false,
                path: Cow::Borrowed(path),
                ..Attributes::resource(&who, "get", "", "")
            };
            assert_eq!(
                policies.authorize(&question).allowed(),
                expected,
                "{} {path}",
                who.name
            );
        }
        let bob = user("bob");
        assert_eq!(policies.of(&bob, "projects").count(), 1);
    }

    #[test]
    fn a_line_that_says_nothing_is_named() {
        for (line, said) in [
            ("{", "line 2"),
            (r#"{"apiVersion": "v1", "kind": "Policy"}"#, "line 2"),
            (&versioned(r#"{"user": 1}"#), "line 2"),
        ] {
            let error = format!("{:#}", Policies::parse(&format!("#\n{line}")).unwrap_err());
            assert!(error.contains(said), "{error}");
        }
    }
}
