//! From flags and AuthenticationConfiguration to issuers, anonymous access and token webhooks.

mod issuer;
mod oidc_flags;

use crate::authentication::anonymous::Anonymous;
use crate::authentication::oidc::{Issuer, Issuers};
use crate::authentication::static_tokens::StaticTokens;
use crate::authentication::webhook::WebhookTokens;
use crate::configuration::strict;
use crate::connect::egress::Egress;
use crate::nulls;
use crate::tokens::jwk::ALGORITHMS;
use crate::webhook::{Clients, Kubeconfig, Place};
use anyhow::{Context, bail};
use apimachinery::field::{Error, ErrorList, Path as FieldPath, aggregate};
use component_config::kube_apiserver::ApiServerFlags;
use component_config::kube_apiserver::authentication::{AnonymousAuthConfig, AuthenticationConfiguration};
use issuer::Surroundings;
use std::collections::BTreeSet;
use std::path::Path;

/// Most issuers of one file.
const MOST_ISSUERS: usize = 64;

/// How callers are found out, beyond certificates and the cluster's own tokens.
pub struct Authentication {
    pub issuers: Issuers,
    pub anonymous: Anonymous,
    pub static_tokens: Option<StaticTokens>,
    pub webhook: Option<WebhookTokens>,
}

/// Reads everything that the flags name.
pub fn load(flags: &ApiServerFlags, clients: &Clients, egress: &Egress) -> anyhow::Result<Authentication> {
    let given = &flags.authentication;
    let (issuers, anonymous) = match &given.authentication_config {
        Some(_) if given.describe_issuer() => {
            bail!("authentication-config file and oidc-* flags are mutually exclusive")
        }
        Some(file) => {
            let text =
                std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
            let found = from_file(flags, &text, egress)
                .with_context(|| format!("--authentication-config {}", file.display()))?;
            (found.issuers, found.anonymous)
        }
        None => (by_flags(flags, egress)?, None),
    };
    let anonymous = anonymous_access(flags, anonymous)?;
    let static_tokens = given
        .token_auth_file
        .as_deref()
        .map(StaticTokens::load)
        .transpose()
        .context("--token-auth-file")?;
    let webhook = given
        .authentication_token_webhook_config_file
        .as_deref()
        .map(|file| webhook(file, flags, clients))
        .transpose()
        .context("--authentication-token-webhook-config-file")?;
    Ok(Authentication {
        issuers: Issuers::new(issuers),
        anonymous,
        static_tokens,
        webhook,
    })
}

fn webhook(file: &Path, flags: &ApiServerFlags, clients: &Clients) -> anyhow::Result<WebhookTokens> {
    let version = &flags.authentication.authentication_token_webhook_version;
    if !matches!(version.as_str(), "v1" | "v1beta1") {
        bail!("--authentication-token-webhook-version: {version:?} is not supported; use v1 or v1beta1");
    }
    let endpoint = endpoint(file, clients)?;
    Ok(WebhookTokens::new(endpoint, version, super::audiences(flags)))
}

/// A webhook that a kubeconfig describes.
pub(super) fn endpoint(file: &Path, clients: &Clients) -> anyhow::Result<crate::webhook::Endpoint> {
    let config = Kubeconfig::load(file)?;
    Ok(clients.endpoint(Place::at(&config.server)?, &config.bundle, config.credentials)?)
}

/// What an AuthenticationConfiguration says.
pub struct FromFile {
    pub issuers: Vec<Issuer>,
    /// Who may come without credentials; `None` leaves that to the flags.
    pub anonymous: Option<AnonymousAuthConfig>,
}

/// Reads an AuthenticationConfiguration. All mistakes are told at once.
pub fn from_file(flags: &ApiServerFlags, text: &str, egress: &Egress) -> anyhow::Result<FromFile> {
    strict::once(text)?;
    let config: AuthenticationConfiguration = nulls::from_yaml(text)?;
    let known = ["v1", "v1beta1", "v1alpha1"]
        .iter()
        .any(|version| config.api_version == format!("apiserver.config.k8s.io/{version}"));
    if !known || config.kind != "AuthenticationConfiguration" {
        bail!("expected apiVersion apiserver.config.k8s.io/v1, kind AuthenticationConfiguration");
    }
    let algorithms: Vec<String> = ALGORITHMS.iter().map(|name| (*name).to_owned()).collect();
    let mut errors = ErrorList::new();
    let issuers = issuers(&config, &algorithms, &Surroundings { flags, egress }, &mut errors);
    if let Some(anonymous) = &config.anonymous
        && !anonymous.enabled
        && !anonymous.conditions.is_empty()
    {
        let shown = anonymous
            .conditions
            .iter()
            .map(|condition| serde_json::json!({ "Path": condition.path }));
        errors.push(Error::invalid(
            &FieldPath::new("anonymous.conditions"),
            serde_json::Value::from_iter(shown),
            "enabled should be set to true when conditions are defined",
        ));
    }
    refuse(&errors)?;
    Ok(FromFile {
        issuers,
        anonymous: config.anonymous,
    })
}

fn refuse(errors: &[Error]) -> anyhow::Result<()> {
    if errors.is_empty() {
        return Ok(());
    }
    bail!("invalid authentication configuration: {}", aggregate(errors))
}

fn issuers(
    config: &AuthenticationConfiguration,
    algorithms: &[String],
    surroundings: &Surroundings<'_>,
    errors: &mut ErrorList,
) -> Vec<Issuer> {
    let path = FieldPath::new("jwt");
    if config.jwt.len() > MOST_ISSUERS {
        errors.push(Error::too_many(&path, config.jwt.len(), MOST_ISSUERS));
        return Vec::new();
    }
    let mut issuers = Vec::new();
    let (mut urls, mut discoveries) = (BTreeSet::new(), BTreeSet::new());
    for (index, jwt) in config.jwt.iter().enumerate() {
        let path = path.index(index);
        match issuer::load(jwt, &path, algorithms.to_vec(), surroundings) {
            Ok(issuer) => issuers.push(issuer),
            Err(wrong) => errors.extend(wrong),
        }
        if !urls.insert(jwt.issuer.url.as_str()) {
            let url = jwt.issuer.url.as_str();
            errors.push(Error::duplicate(&path.child("issuer.url"), url));
        }
        let discovery = jwt.issuer.discovery_url.as_str();
        if !discovery.is_empty() && !discoveries.insert(discovery) {
            errors.push(Error::duplicate(&path.child("issuer.discoveryURL"), discovery));
        }
    }
    issuers
}

/// The issuer that the `--oidc-*` flags describe, if they do.
fn by_flags(flags: &ApiServerFlags, egress: &Egress) -> anyhow::Result<Vec<Issuer>> {
    let Some((described, algorithms)) = oidc_flags::describe(flags)? else {
        return Ok(Vec::new());
    };
    let config = AuthenticationConfiguration {
        jwt: vec![described],
        ..AuthenticationConfiguration::default()
    };
    let mut errors = ErrorList::new();
    let issuers = issuers(&config, &algorithms, &Surroundings { flags, egress }, &mut errors);
    refuse(&errors)?;
    Ok(issuers)
}

/// Who may come without credentials: as the file says, else as the flag says.
fn anonymous_access(flags: &ApiServerFlags, file: Option<AnonymousAuthConfig>) -> anyhow::Result<Anonymous> {
    if file.is_some() && flags.anonymous_auth.is_some() {
        bail!(
            "anonymous: Forbidden: --anonymous-auth flag cannot be set when anonymous field is configured in authentication configuration file"
        );
    }
    let mut by_flag = flags.anonymous_auth.unwrap_or(true);
    if flags.authorization_mode.iter().any(|mode| mode == "AlwaysAllow") {
        if file.as_ref().is_some_and(|file| file.enabled) {
            bail!("anonymous: Forbidden: --authorization-mode=AlwaysAllow would allow everybody everything");
        }
        if by_flag && file.is_none() {
            tracing::warn!(
                "--anonymous-auth is off, since --authorization-mode=AlwaysAllow would allow everybody everything"
            );
        }
        by_flag = false;
    }
    Ok(Anonymous::new(file, by_flag))
}

#[cfg(test)]
mod tests;
