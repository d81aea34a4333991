//! What the `--oidc-*` flags say, as an AuthenticationConfiguration would.

use crate::tokens::jwk::ALGORITHMS;
use anyhow::{Context, bail};
use component_config::kube_apiserver::ApiServerFlags;
use component_config::kube_apiserver::authentication::{
    ClaimMappings, ClaimValidationRule, Issuer, JwtAuthenticator, PrefixedClaimOrExpression,
};
use std::collections::BTreeMap;

/// The issuer and the algorithms that its tokens may be signed with; `None` without such flags.
pub fn describe(flags: &ApiServerFlags) -> anyhow::Result<Option<(JwtAuthenticator, Vec<String>)>> {
    let given = &flags.authentication;
    if !given.describe_issuer() {
        return Ok(None);
    }
    let text = |flag: &Option<String>| flag.clone().unwrap_or_default();
    let (url, audience) = (text(&given.oidc_issuer_url), text(&given.oidc_client_id));
    if url.is_empty() || audience.is_empty() {
        bail!(
            "--oidc-issuer-url and --oidc-client-id must be specified together when any --oidc-* flags are set"
        );
    }
    let usual = || vec!["RS256".to_owned()];
    let algorithms = given.oidc_signing_algs.clone().unwrap_or_else(usual);
    for algorithm in &algorithms {
        if !ALGORITHMS.contains(&algorithm.as_str()) {
            bail!("--oidc-signing-algs: {algorithm:?} is not supported; supported are {ALGORITHMS:?}");
        }
    }
    let username = given.oidc_username_claim.as_deref().unwrap_or("sub");
    let prefix = match given.oidc_username_prefix.as_deref().unwrap_or("") {
        "-" => String::new(),
        "" if username == "email" => String::new(),
        "" => format!("{url}#"),
        prefix => prefix.to_owned(),
    };
    let claim = |claim: &str, prefix: String| PrefixedClaimOrExpression {
        claim: claim.to_owned(),
        prefix: Some(prefix),
        expression: String::new(),
    };
    let groups = match given.oidc_groups_claim.as_deref().unwrap_or("") {
        "" => PrefixedClaimOrExpression::default(),
        groups => claim(groups, text(&given.oidc_groups_prefix)),
    };
    let certificate_authority = match &given.oidc_ca_file {
        None => String::new(),
        Some(file) => {
            std::fs::read_to_string(file).with_context(|| format!("--oidc-ca-file {}", file.display()))?
        }
    };
    let described = JwtAuthenticator {
        issuer: Issuer {
            url,
            audiences: vec![audience],
            certificate_authority,
            ..Issuer::default()
        },
        claim_validation_rules: required(given.oidc_required_claim.as_deref().unwrap_or_default())?,
        claim_mappings: ClaimMappings {
            username: claim(username, prefix),
            groups,
            ..ClaimMappings::default()
        },
        user_validation_rules: Vec::new(),
    };
    Ok(Some((described, algorithms)))
}

/// Of a claim that is named twice the last value counts.
fn required(pairs: &[String]) -> anyhow::Result<Vec<ClaimValidationRule>> {
    let mut wanted = BTreeMap::new();
    for pair in pairs {
        let (claim, value) = pair
            .split_once('=')
            .with_context(|| format!("--oidc-required-claim: {pair:?} is not claim=value"))?;
        wanted.insert(claim.trim(), value.trim());
    }
    let rule = |(claim, value): (&str, &str)| ClaimValidationRule {
        claim: claim.to_owned(),
        required_value: value.to_owned(),
        ..ClaimValidationRule::default()
    };
    Ok(wanted.into_iter().map(rule).collect())
}
