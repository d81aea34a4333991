//! From flags and AuthorizationConfiguration to the chain of authorizers.

mod file;
mod webhook;

pub use file::from_file;

use super::authentication::endpoint;
use crate::authorization::abac::Policies;
use crate::authorization::webhook::{MatchConditions, Settings, WebhookAuthorizer};
use crate::authorization::{Link, Mode, Named};
use crate::webhook::Clients;
use anyhow::{Context, bail};
use component_config::kube_apiserver::ApiServerFlags;
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for a webhook's answer.
const LONGEST: Duration = Duration::from_secs(30);

/// The chain that the flags describe.
pub fn load(flags: &ApiServerFlags, clients: &Clients) -> anyhow::Result<Vec<Named>> {
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
    if given.authorization_webhook_config_file.is_some() && !modes.iter().any(|mode| *mode == "Webhook") {
        bail!("cannot specify --authorization-webhook-config-file without mode Webhook");
    }
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
                    Ok(Link::Webhook(Arc::new(webhook)).into())
                }
                ("ABAC", _) => match &policies {
                    Some(policies) => Ok(Link::Abac(Arc::clone(policies)).into()),
                    None => bail!("--authorization-mode=ABAC needs --authorization-policy-file"),
                },
                ("Webhook", None) => {
                    bail!("--authorization-mode=Webhook needs --authorization-webhook-config-file")
                }
                _ => match mode.parse::<Mode>() {
                    Ok(mode) => Ok(Link::Mode(mode).into()),
                    Err(why) => bail!(why),
                },
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

fn check_version(version: &str) -> anyhow::Result<()> {
    if matches!(version, "v1" | "v1beta1") {
        return Ok(());
    }
    bail!("--authorization-webhook-version: {version:?} is not supported; use v1 or v1beta1")
}
