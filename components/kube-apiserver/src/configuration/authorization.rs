//! From flags and AuthorizationConfiguration to the chain of authorizers.

use super::authentication::endpoint;
use crate::authorization::abac::Policies;
use crate::authorization::webhook::{MatchConditions, Settings, WebhookAuthorizer};
use crate::authorization::{Link, Mode};
use crate::webhook::Clients;
use anyhow::{Context, bail};
use component_config::kube_apiserver::ApiServerFlags;
use component_config::kube_apiserver::authorization::{AuthorizationConfiguration, WebhookConfiguration};
use std::sync::Arc;
use std::time::Duration;

const LONGEST: Duration = Duration::from_secs(30);

/// The chain that the flags describe.
pub fn load(flags: &ApiServerFlags, clients: &Clients) -> anyhow::Result<Vec<Link>> {
    let given = &flags.authorization;
    let modes: Vec<&String> = flags
        .authorization_mode
        .iter()
        .filter(|mode| !mode.is_empty())
        .collect();
    if let Some(file) = &given.authorization_config {
        if !modes.is_empty() || given.authorization_webhook_config_file.is_some() {
            bail!(
                "--authorization-config can't be used together with --authorization-mode or --authorization-webhook-*"
            );
        }
        let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        return from_file(&text, policies(flags)?, clients)
            .with_context(|| format!("--authorization-config {}", file.display()));
    }
    if modes.is_empty() {
        bail!("--authorization-mode is required; use Node,RBAC");
    }
    if let Some(twice) = modes
        .iter()
        .enumerate()
        .find(|(at, mode)| modes[..*at].contains(mode))
    {
        bail!("--authorization-mode: {:?} is named more than once", twice.1);
    }
    let policies = policies(flags)?;
    if policies.is_some() && !modes.iter().any(|mode| *mode == "ABAC") {
        bail!("--authorization-policy-file is for --authorization-mode=ABAC, which is not given");
    }
    modes
        .into_iter()
        .map(
            |mode| match (mode.as_str(), &given.authorization_webhook_config_file) {
                ("Webhook", Some(file)) => {
                    let settings = Settings {
                        name: "default".to_owned(),
                        version: given.authorization_webhook_version.clone(),
                        authorized: given.authorization_webhook_cache_authorized_ttl,
                        unauthorized: given.authorization_webhook_cache_unauthorized_ttl,
                        timeout: LONGEST,
                        deny_on_failure: false,
                    };
                    check_version(&settings.version)?;
                    let endpoint = endpoint(file, clients).context("--authorization-webhook-config-file")?;
                    let webhook = WebhookAuthorizer::new(settings, endpoint, MatchConditions::default());
                    Ok(Link::Webhook(Arc::new(webhook)))
                }
                ("ABAC", _) => match &policies {
                    Some(policies) => Ok(Link::Abac(Arc::clone(policies))),
                    None => bail!("--authorization-mode=ABAC needs --authorization-policy-file"),
                },
                ("Webhook", None) => {
                    bail!("--authorization-mode=Webhook needs --authorization-webhook-config-file")
                }
                _ => mode.parse::<Mode>().map(Link::Mode).map_err(anyhow::Error::msg),
            },
        )
        .collect()
}

/// What `--authorization-policy-file` says; it is read once, at the start.
fn policies(flags: &ApiServerFlags) -> anyhow::Result<Option<Arc<Policies>>> {
    let file = flags.authorization.authorization_policy_file.as_deref();
    let policies = file.map(Policies::load).transpose();
    Ok(policies.context("--authorization-policy-file")?.map(Arc::new))
}

/// The chain of an AuthorizationConfiguration. The policies are those of ABAC, which stand in a file of their own.
pub fn from_file(
    text: &str,
    policies: Option<Arc<Policies>>,
    clients: &Clients,
) -> anyhow::Result<Vec<Link>> {
    let config: AuthorizationConfiguration = serde_yaml_ng::from_str(text)?;
    let known = ["v1", "v1beta1", "v1alpha1"]
        .iter()
        .any(|version| config.api_version == format!("apiserver.config.k8s.io/{version}"));
    if !known || config.kind != "AuthorizationConfiguration" {
        bail!("expected apiVersion apiserver.config.k8s.io/v1, kind AuthorizationConfiguration");
    }
    if config.authorizers.is_empty() {
        bail!("authorizers: Required value: at least one authorization mode must be defined");
    }
    let mut names: Vec<&str> = Vec::new();
    let mut chain = Vec::new();
    for (index, authorizer) in config.authorizers.iter().enumerate() {
        let field = format!("authorizers[{index}]");
        if authorizer.name.is_empty() {
            bail!("{field}.name: Required value");
        }
        if names.contains(&authorizer.name.as_str()) {
            bail!("{field}.name: Duplicate value: {:?}", authorizer.name);
        }
        names.push(&authorizer.name);
        let once = |mode: Mode| {
            !chain
                .iter()
                .any(|link| matches!(link, Link::Mode(known) if *known == mode))
        };
        match (authorizer.kind.as_str(), &authorizer.webhook) {
            ("Webhook", Some(webhook)) => {
                let link = webhook_link(&authorizer.name, webhook, &format!("{field}.webhook"), clients)?;
                chain.push(link);
            }
            ("Webhook", None) => bail!("{field}.webhook: Required value: required when type=Webhook"),
            (_, Some(_)) => bail!("{field}.webhook: Invalid value: may only be specified when type=Webhook"),
            ("ABAC", None) => {
                if chain.iter().any(|link| matches!(link, Link::Abac(_))) {
                    bail!("{field}.type: Duplicate value: \"ABAC\"");
                }
                match &policies {
                    Some(policies) => chain.push(Link::Abac(Arc::clone(policies))),
                    None => bail!("{field}.type: ABAC needs --authorization-policy-file"),
                }
            }
            (kind, None) => {
                let mode: Mode = kind
                    .parse()
                    .map_err(|_| anyhow::anyhow!("{field}.type: Unsupported value: {kind:?}"))?;
                if !once(mode) {
                    bail!("{field}.type: Duplicate value: {kind:?}");
                }
                chain.push(Link::Mode(mode));
            }
        }
    }
    Ok(chain)
}

fn check_version(version: &str) -> anyhow::Result<()> {
    if matches!(version, "v1" | "v1beta1") {
        return Ok(());
    }
    bail!("subjectAccessReviewVersion: Unsupported value: {version:?}; use v1 or v1beta1")
}

fn webhook_link(
    name: &str,
    config: &WebhookConfiguration,
    field: &str,
    clients: &Clients,
) -> anyhow::Result<Link> {
    if config.timeout.is_zero() {
        bail!("{field}.timeout: Required value");
    }
    if config.timeout > LONGEST {
        bail!("{field}.timeout: Invalid value: must be <= 30s");
    }
    check_version(&config.subject_access_review_version).with_context(|| field.to_owned())?;
    let deny_on_failure = match config.failure_policy.as_str() {
        "NoOpinion" => false,
        "Deny" => true,
        other => bail!("{field}.failurePolicy: Unsupported value: {other:?}; use NoOpinion or Deny"),
    };
    if !config.match_conditions.is_empty() && config.match_condition_subject_access_review_version != "v1" {
        bail!("{field}.matchConditionSubjectAccessReviewVersion: must be v1 when matchConditions are set");
    }
    let file = match (
        config.connection_info.kind.as_str(),
        &config.connection_info.kube_config_file,
    ) {
        ("KubeConfigFile", Some(file)) => file,
        ("KubeConfigFile", None) => bail!("{field}.connectionInfo.kubeConfigFile: Required value"),
        ("InClusterConfig", _) => {
            bail!(
                "{field}.connectionInfo.type: InClusterConfig needs a server that runs as a pod; use KubeConfigFile"
            )
        }
        (other, _) => bail!("{field}.connectionInfo.type: Unsupported value: {other:?}; use KubeConfigFile"),
    };
    let endpoint =
        endpoint(file, clients).with_context(|| format!("{field}.connectionInfo.kubeConfigFile"))?;
    let texts = config
        .match_conditions
        .iter()
        .map(|condition| condition.expression.as_str());
    let conditions =
        MatchConditions::compile(texts).map_err(|why| anyhow::anyhow!("{field}.matchConditions{why}"))?;
    let kept = |keep: bool, time: Duration| if keep { time } else { Duration::ZERO };
    let settings = Settings {
        name: name.to_owned(),
        version: config.subject_access_review_version.clone(),
        authorized: kept(config.cache_authorized_requests, config.authorized_ttl),
        unauthorized: kept(config.cache_unauthorized_requests, config.unauthorized_ttl),
        timeout: config.timeout,
        deny_on_failure,
    };
    Ok(Link::Webhook(Arc::new(WebhookAuthorizer::new(
        settings, endpoint, conditions,
    ))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_and_their_mistakes() {
        let head = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\n";
        let webhook = |extra: &str| {
            format!(
                "authorizers: [{{type: Webhook, name: w, webhook: {{timeout: 3s, subjectAccessReviewVersion: v1, failurePolicy: Deny, connectionInfo: {{type: KubeConfigFile, kubeConfigFile: /none}}{extra}}}}}]"
            )
        };
        for (text, expected) in [
            (
                "authorizers: [{type: Node, name: n}, {type: RBAC, name: r}]".to_owned(),
                None,
            ),
            ("authorizers: []".to_owned(), Some("at least one")),
            (
                "authorizers: [{type: RBAC, name: r}, {type: RBAC, name: s}]".to_owned(),
                Some("Duplicate"),
            ),
            (
                "authorizers: [{type: RBAC, name: r}, {type: Node, name: r}]".to_owned(),
                Some("Duplicate"),
            ),
            (
                "authorizers: [{type: Webhook, name: r}]".to_owned(),
                Some("required when type=Webhook"),
            ),
            (
                "authorizers: [{type: ABAC, name: r}]".to_owned(),
                Some("needs --authorization-policy-file"),
            ),
            (
                "authorizers: [{type: Magic, name: r}]".to_owned(),
                Some("Unsupported value"),
            ),
            (webhook(""), Some("/none")),
            (webhook(", timeoot: 3s"), Some("unknown field")),
            (
                webhook(", matchConditions: [{expression: a}]"),
                Some("matchConditionSubjectAccessReviewVersion"),
            ),
        ] {
            let outcome = from_file(&format!("{head}{text}"), None, &Clients::new(None));
            match expected {
                None => assert!(outcome.is_ok(), "{text}"),
                Some(part) => {
                    let error = format!("{:#}", outcome.err().unwrap());
                    assert!(error.contains(part), "{text}: {error}");
                }
            }
        }
    }
}
