//! The chain of an AuthorizationConfiguration.

use super::webhook;
use crate::authorization::abac::Policies;
use crate::authorization::{Link, Mode, Named};
use crate::configuration::strict;
use crate::nulls;
use crate::webhook::Clients;
use anyhow::bail;
use apimachinery::field::{Error, ErrorList, Path, aggregate};
use apimachinery::names;
use component_config::kube_apiserver::authorization::{AuthorizationConfiguration, AuthorizerConfiguration};
use std::collections::BTreeSet;
use std::sync::Arc;

const TYPES: [&str; 6] = ["ABAC", "AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook"];

/// Reads and checks; all mistakes are told at once. The policies are those of ABAC, which stand in a file of their own.
pub fn from_file(
    text: &str,
    policies: Option<Arc<Policies>>,
    clients: &Clients,
) -> anyhow::Result<Vec<Named>> {
    strict::once(text)?;
    let config: AuthorizationConfiguration = nulls::from_yaml(text)?;
    let known = ["v1", "v1beta1", "v1alpha1"]
        .iter()
        .any(|version| config.api_version == format!("apiserver.config.k8s.io/{version}"));
    if !known || config.kind != "AuthorizationConfiguration" {
        bail!("expected apiVersion apiserver.config.k8s.io/v1, kind AuthorizationConfiguration");
    }
    let mut reader = Reader {
        policies,
        clients,
        types: BTreeSet::new(),
        names: BTreeSet::new(),
        chain: Vec::new(),
        errors: ErrorList::new(),
    };
    let path = Path::new("authorizers");
    if config.authorizers.is_empty() {
        let detail = "at least one authorization mode must be defined";
        reader.errors.push(Error::required(&path, detail));
    }
    for (index, authorizer) in config.authorizers.iter().enumerate() {
        reader.read(authorizer, &path.index(index));
    }
    match reader.errors.is_empty() {
        true => Ok(reader.chain),
        false => bail!("{}", aggregate(&reader.errors)),
    }
}

struct Reader<'r> {
    policies: Option<Arc<Policies>>,
    clients: &'r Clients,
    types: BTreeSet<&'r str>,
    names: BTreeSet<&'r str>,
    chain: Vec<Named>,
    errors: ErrorList,
}

impl<'r> Reader<'r> {
    fn read(&mut self, authorizer: &'r AuthorizerConfiguration, path: &Path) {
        let kind = authorizer.kind.as_str();
        let at = path.child("type");
        if kind.is_empty() {
            return self.errors.push(Error::required(&at, ""));
        }
        if !TYPES.contains(&kind) {
            return self.errors.push(Error::not_supported(&at, kind, &TYPES));
        }
        if !self.types.insert(kind) && kind != "Webhook" {
            return self.errors.push(Error::duplicate(&at, kind));
        }
        self.check_name(&authorizer.name, &path.child("name"));
        let at = path.child("webhook");
        match (kind, &authorizer.webhook) {
            ("Webhook", Some(config)) => match webhook::link(&authorizer.name, config, path, self.clients) {
                Ok(link) => self.push(authorizer, link),
                Err(wrong) => self.errors.extend(wrong),
            },
            ("Webhook", None) => self
                .errors
                .push(Error::required(&at, "required when type=Webhook")),
            (_, Some(_)) => {
                let detail = "may only be specified when type=Webhook";
                self.errors.push(Error::invalid(&at, "non-null", detail));
            }
            ("ABAC", None) => match &self.policies {
                Some(policies) => self.push(authorizer, Link::Abac(Arc::clone(policies))),
                None => {
                    let detail = "ABAC needs --authorization-policy-file";
                    self.errors.push(Error::forbidden(&path.child("type"), detail));
                }
            },
            (kind, None) => {
                if let Ok(mode) = kind.parse::<Mode>() {
                    self.push(authorizer, Link::Mode(mode));
                }
            }
        }
    }

    fn push(&mut self, authorizer: &AuthorizerConfiguration, link: Link) {
        let name = authorizer.name.clone();
        self.chain.push(Named { name, link });
    }

    fn check_name(&mut self, name: &'r str, path: &Path) {
        if name.is_empty() {
            return self.errors.push(Error::required(path, ""));
        }
        if !self.names.insert(name) {
            return self.errors.push(Error::duplicate(path, name));
        }
        let wrong = names::dns1123_subdomain(name);
        if !wrong.is_empty() {
            let detail = format!("authorizer name is invalid: {}", wrong.join(", "));
            self.errors.push(Error::invalid(path, name, detail));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authorization::node::NodeAuthorizer;
    use crate::authorization::{Authorizer, rbac::Rbac};

    /// What is wrong with a list of authorizers; nothing in one that is good.
    fn told(authorizers: &str) -> String {
        let text = format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers: {authorizers}"
        );
        let outcome = from_file(&text, None, &Clients::new(None));
        outcome
            .err()
            .map(|error| format!("{error:#}"))
            .unwrap_or_default()
    }

    #[test]
    fn chains_and_their_mistakes() {
        for (authorizers, expected) in [
            ("[{type: Node, name: n}, {type: RBAC, name: r}]", ""),
            (
                "[]",
                "authorizers: Required value: at least one authorization mode must be defined",
            ),
            (
                "[{type: RBAC, name: r}, {type: RBAC, name: s}]",
                "authorizers[1].type: Duplicate value: \"RBAC\"",
            ),
            (
                "[{type: RBAC, name: r}, {type: Node, name: r}]",
                "authorizers[1].name: Duplicate value: \"r\"",
            ),
            (
                "[{type: RBAC, name: Bad Name}]",
                "authorizers[0].name: Invalid value: \"Bad Name\": authorizer name is invalid: a lowercase RFC 1123",
            ),
            ("[{type: RBAC}]", "authorizers[0].name: Required value"),
            ("[{name: r}]", "authorizers[0].type: Required value"),
            (
                "[{type: Webhook, name: r}]",
                "authorizers[0].webhook: Required value: required when type=Webhook",
            ),
            ("[{type: ABAC, name: r}]", "needs --authorization-policy-file"),
            (
                "[{type: Magic, name: r}]",
                "authorizers[0].type: Unsupported value: \"Magic\": supported values: \"ABAC\", \"AlwaysAllow\"",
            ),
            ("[{type: Magic, name: r}, {type: RBAC}]", "[authorizers[0].type: "),
        ] {
            let told = told(authorizers);
            assert!(told.contains(expected), "{authorizers}: {told}");
            assert_eq!(told.is_empty(), expected.is_empty(), "{authorizers}: {told}");
        }
    }

    #[test]
    fn authorizers_keep_the_names_that_they_are_given() {
        let text = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers: [{type: Node, name: kubelets}, {type: RBAC, name: roles}]";
        let chain = from_file(text, None, &Clients::new(None)).unwrap();
        let authorizer = Authorizer::new(chain, Rbac::default(), NodeAuthorizer::default());
        let mut registry = prometheus_client::registry::Registry::default();
        authorizer.decisions.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for labels in [
            r#"type="Node",name="kubelets",decision="allowed""#,
            r#"type="RBAC",name="roles",decision="allowed""#,
        ] {
            assert!(text.contains(labels), "{text}");
        }
    }

    #[test]
    fn webhooks_and_their_mistakes() {
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        let config = r#"{"clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}], "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}], "current-context": "x"}"#;
        std::fs::write(&kubeconfig, config.replace("http://", "https://")).unwrap();
        let usual = serde_json::json!({
            "timeout": "3s", "subjectAccessReviewVersion": "v1", "failurePolicy": "Deny",
            "matchConditionSubjectAccessReviewVersion": "v1", "matchConditions": [{"expression": "request.user != 'a'"}],
            "connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": kubeconfig},
        });
        for (field, value, expected) in [
            ("timeout", "30s".into(), ""),
            ("timeout", "0s".into(), "authorizers[0].timeout: Required value"),
            (
                "timeout",
                "31s".into(),
                "authorizers[0].timeout: Invalid value: \"31s\": must be > 0s and <= 30s",
            ),
            ("timeoot", "3s".into(), "unknown field"),
            ("authorizedTTL", "0s".into(), ""),
            (
                "failurePolicy",
                "".into(),
                "authorizers[0].failurePolicy: Required value",
            ),
            (
                "failurePolicy",
                "No".into(),
                "authorizers[0].failurePolicy: Unsupported value: \"No\"",
            ),
            (
                "subjectAccessReviewVersion",
                "v2".into(),
                "supported values: \"v1\", \"v1beta1\"",
            ),
            (
                "matchConditionSubjectAccessReviewVersion",
                "".into(),
                "authorizers[0].matchConditionSubjectAccessReviewVersion: Required value: required if match conditions",
            ),
            (
                "matchConditionSubjectAccessReviewVersion",
                "v1beta1".into(),
                "Unsupported value: \"v1beta1\": supported values: \"v1\"",
            ),
            (
                "matchConditions",
                serde_json::json!([{"expression": "true"}, {"expression": "true"}]),
                "authorizers[0].matchConditions[1].expression: Duplicate value",
            ),
            (
                "matchConditions",
                serde_json::json!([{"expression": "request.foo == 'x'"}]),
                "undefined field 'foo'",
            ),
            (
                "connectionInfo",
                serde_json::json!({"type": "KubeConfigFile", "kubeConfigFile": "hook.kubeconfig"}),
                "authorizers[0].connectionInfo.kubeConfigFile: Invalid value: \"hook.kubeconfig\": must be an absolute path",
            ),
            (
                "connectionInfo",
                serde_json::json!({"type": "KubeConfigFile", "kubeConfigFile": "/none"}),
                "error loading file",
            ),
            (
                "connectionInfo",
                serde_json::json!({"type": "KubeConfigFile", "kubeConfigFile": folder.path()}),
                "must be a regular file",
            ),
            (
                "connectionInfo",
                serde_json::json!({"type": "InClusterConfig"}),
                "not allowed for kube-apiserver",
            ),
            (
                "connectionInfo",
                serde_json::json!({"type": "Else"}),
                "Unsupported value: \"Else\"",
            ),
        ] {
            let mut webhook = usual.clone();
            webhook[field] = value;
            let told =
                told(&serde_json::json!([{"type": "Webhook", "name": "w", "webhook": webhook}]).to_string());
            assert!(told.contains(expected), "{field}: {told}");
            assert_eq!(told.is_empty(), expected.is_empty(), "{field}: {told}");
        }
    }
}
