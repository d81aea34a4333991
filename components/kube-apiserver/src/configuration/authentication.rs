//! From flags and AuthenticationConfiguration to issuers, anonymous access and token webhooks.

use crate::authentication::anonymous::Anonymous;
use crate::authentication::oidc::compile;
use crate::authentication::oidc::fetch::Fetcher;
use crate::authentication::oidc::keys::KeySet;
use crate::authentication::oidc::{Issuer, Issuers};
use crate::authentication::static_tokens::StaticTokens;
use crate::authentication::webhook::WebhookTokens;
use crate::connect::egress::{Egress, Way};
use crate::tokens::jwk::ALGORITHMS;
use crate::webhook::{Clients, Kubeconfig, Place};
use anyhow::{Context, bail};
use component_config::kube_apiserver::ApiServerFlags;
use component_config::kube_apiserver::authentication::{
    AuthenticationConfiguration, ClaimMappings, ClaimValidationRule, Issuer as IssuerConfig,
    JwtAuthenticator, PrefixedClaimOrExpression,
};
use std::path::Path;
use std::sync::Arc;

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
    let (issuers, anonymous) = match (&given.authentication_config, &given.oidc_issuer_url) {
        (Some(_), Some(_)) => bail!("--authentication-config and --oidc-* can't be used together"),
        (Some(file), None) => {
            let text =
                std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
            from_file(flags, &text, egress)
                .with_context(|| format!("--authentication-config {}", file.display()))?
        }
        (None, Some(url)) => {
            let issuer = issuer(
                &by_flags(flags, url)?,
                "oidc",
                given.oidc_signing_algs.clone(),
                flags,
                egress,
            )?;
            (vec![issuer], Anonymous::everywhere(flags.anonymous_auth))
        }
        (None, None) if !given.oidc_client_id.is_empty() || given.oidc_ca_file.is_some() => {
            bail!(
                "--oidc-issuer-url and --oidc-client-id must be specified together when any --oidc-* flag is"
            )
        }
        (None, None) => (Vec::new(), Anonymous::everywhere(flags.anonymous_auth)),
    };
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

/// Issuers and anonymous access of an AuthenticationConfiguration.
pub fn from_file(
    flags: &ApiServerFlags,
    text: &str,
    egress: &Egress,
) -> anyhow::Result<(Vec<Issuer>, Anonymous)> {
    let config: AuthenticationConfiguration = serde_yaml_ng::from_str(text)?;
    let known = ["v1", "v1beta1", "v1alpha1"]
        .iter()
        .any(|version| config.api_version == format!("apiserver.config.k8s.io/{version}"));
    if !known || config.kind != "AuthenticationConfiguration" {
        bail!("expected apiVersion apiserver.config.k8s.io/v1, kind AuthenticationConfiguration");
    }
    let algorithms: Vec<String> = ALGORITHMS.iter().map(|name| (*name).to_owned()).collect();
    let mut issuers: Vec<Issuer> = Vec::new();
    for (index, jwt) in config.jwt.iter().enumerate() {
        let field = format!("jwt[{index}]");
        if issuers.iter().any(|known| known.url == jwt.issuer.url) {
            bail!("{field}.issuer.url: Duplicate value: {:?}", jwt.issuer.url);
        }
        issuers.push(issuer(jwt, &field, algorithms.clone(), flags, egress)?);
    }
    let anonymous = match &config.anonymous {
        None => Anonymous::everywhere(flags.anonymous_auth),
        Some(_) if !flags.anonymous_auth => {
            bail!("anonymous: can't be set when --anonymous-auth=false is given")
        }
        Some(anonymous) if !anonymous.enabled && !anonymous.conditions.is_empty() => {
            bail!(
                "anonymous.conditions: Invalid value: enabled should be set to true when conditions are defined"
            )
        }
        Some(anonymous) => Anonymous::from_config(anonymous),
    };
    Ok((issuers, anonymous))
}

fn issuer(
    config: &JwtAuthenticator,
    field: &str,
    algorithms: Vec<String>,
    flags: &ApiServerFlags,
    egress: &Egress,
) -> anyhow::Result<Issuer> {
    check(&config.issuer, field, &flags.service_account_issuer)?;
    let mapping = compile::mapping(config, field)?;
    let way = match config.issuer.egress_selector_type.as_str() {
        "" => Way::Direct,
        "controlplane" => egress.control_plane.clone(),
        "cluster" => egress.cluster.clone(),
        other => {
            bail!("{field}.issuer.egressSelectorType: Invalid value: {other:?}: use controlplane or cluster")
        }
    };
    let fetcher = Fetcher::new(config.issuer.certificate_authority.as_bytes(), way)
        .with_context(|| format!("{field}.issuer.certificateAuthority"))?;
    Ok(Issuer {
        keys: Arc::new(KeySet::new(
            &config.issuer.url,
            &config.issuer.discovery_url,
            fetcher,
        )),
        url: config.issuer.url.clone(),
        audiences: config.issuer.audiences.clone(),
        algorithms,
        mapping,
    })
}

fn check(issuer: &IssuerConfig, field: &str, own: &[String]) -> anyhow::Result<()> {
    let https = |name: &str, text: &str| -> anyhow::Result<()> {
        let parsed = url::Url::parse(text)
            .with_context(|| format!("{field}.issuer.{name}: Invalid value: {text:?}"))?;
        if parsed.scheme() != "https" {
            bail!("{field}.issuer.{name}: Invalid value: {text:?}: URL scheme must be https");
        }
        if !parsed.username().is_empty() || parsed.query().is_some() || parsed.fragment().is_some() {
            bail!(
                "{field}.issuer.{name}: Invalid value: {text:?}: URL must not contain a username, a query or a fragment"
            );
        }
        Ok(())
    };
    if issuer.url.is_empty() {
        bail!("{field}.issuer.url: Required value: URL is required");
    }
    https("url", &issuer.url)?;
    if own.contains(&issuer.url) {
        bail!(
            "{field}.issuer.url: Invalid value: {:?}: URL must not overlap with disallowed issuers",
            issuer.url
        );
    }
    if !issuer.discovery_url.is_empty() {
        https("discoveryURL", &issuer.discovery_url)?;
        if issuer.discovery_url.trim_end_matches('/') == issuer.url.trim_end_matches('/') {
            bail!("{field}.issuer.discoveryURL: Invalid value: discoveryURL must be different from URL");
        }
    }
    if issuer.audiences.is_empty() || issuer.audiences.iter().any(String::is_empty) {
        bail!("{field}.issuer.audiences: Required value: at least one {field}.issuer.audiences is required");
    }
    match (issuer.audiences.len(), issuer.audience_match_policy.as_str()) {
        (1, "" | "MatchAny") | (_, "MatchAny") => {}
        _ => bail!(
            "{field}.issuer.audienceMatchPolicy: Invalid value: {:?}: audienceMatchPolicy must be MatchAny for multiple audiences",
            issuer.audience_match_policy
        ),
    }
    Ok(())
}

/// What the `--oidc-*` flags say, as the file would.
fn by_flags(flags: &ApiServerFlags, url: &str) -> anyhow::Result<JwtAuthenticator> {
    let given = &flags.authentication;
    if given.oidc_client_id.is_empty() {
        bail!("--oidc-issuer-url and --oidc-client-id must be specified together");
    }
    for algorithm in &given.oidc_signing_algs {
        if !ALGORITHMS.contains(&algorithm.as_str()) {
            bail!("--oidc-signing-algs: {algorithm:?} is not supported; supported are {ALGORITHMS:?}");
        }
    }
    let prefix = match given.oidc_username_prefix.as_str() {
        "-" => String::new(),
        "" if given.oidc_username_claim == "email" => String::new(),
        "" => format!("{url}#"),
        text => text.to_owned(),
    };
    let claim = |claim: &str, prefix: String| PrefixedClaimOrExpression {
        claim: claim.to_owned(),
        prefix: Some(prefix),
        expression: String::new(),
    };
    let groups = if given.oidc_groups_claim.is_empty() {
        PrefixedClaimOrExpression::default()
    } else {
        claim(&given.oidc_groups_claim, given.oidc_groups_prefix.clone())
    };
    let required = given.oidc_required_claim.iter().map(|pair| {
        let (claim, value) = pair
            .split_once('=')
            .with_context(|| format!("--oidc-required-claim: {pair:?} is not claim=value"))?;
        Ok(ClaimValidationRule {
            claim: claim.to_owned(),
            required_value: value.to_owned(),
            ..ClaimValidationRule::default()
        })
    });
    let certificate_authority = match &given.oidc_ca_file {
        None => String::new(),
        Some(file) => {
            std::fs::read_to_string(file).with_context(|| format!("--oidc-ca-file {}", file.display()))?
        }
    };
    Ok(JwtAuthenticator {
        issuer: IssuerConfig {
            url: url.to_owned(),
            audiences: vec![given.oidc_client_id.clone()],
            certificate_authority,
            ..IssuerConfig::default()
        },
        claim_validation_rules: required.collect::<anyhow::Result<_>>()?,
        claim_mappings: ClaimMappings {
            username: claim(&given.oidc_username_claim, prefix),
            groups,
            ..ClaimMappings::default()
        },
        user_validation_rules: Vec::new(),
    })
}
