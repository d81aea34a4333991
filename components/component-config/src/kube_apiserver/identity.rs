//! Flags about who callers are and what they may do, beyond certificates and service accounts.

use crate::flags::parse_lifetime;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// Authentication by files, webhooks and other issuers.
#[derive(Args, Clone, Debug)]
pub struct AuthenticationFlags {
    /// File with an AuthenticationConfiguration; re-read when it changes.
    #[arg(long)]
    pub authentication_config: Option<PathBuf>,
    /// CSV file of tokens.
    #[arg(long)]
    pub token_auth_file: Option<PathBuf>,
    /// Kubeconfig of the webhook that reviews tokens.
    #[arg(long)]
    pub authentication_token_webhook_config_file: Option<PathBuf>,
    #[arg(long, default_value = "v1beta1")]
    pub authentication_token_webhook_version: String,
    #[arg(long, value_parser = parse_lifetime, default_value = "2m")]
    pub authentication_token_webhook_cache_ttl: Duration,
    #[arg(long)]
    pub oidc_issuer_url: Option<String>,
    #[arg(long)]
    pub oidc_client_id: Option<String>,
    #[arg(long)]
    pub oidc_ca_file: Option<PathBuf>,
    /// `sub` if not given.
    #[arg(long)]
    pub oidc_username_claim: Option<String>,
    /// `-` is no prefix; the issuer's URL and `#` if not given, unless the claim is `email`.
    #[arg(long)]
    pub oidc_username_prefix: Option<String>,
    #[arg(long)]
    pub oidc_groups_claim: Option<String>,
    #[arg(long)]
    pub oidc_groups_prefix: Option<String>,
    /// RS256 if not given.
    #[arg(long, value_delimiter = ',')]
    pub oidc_signing_algs: Option<Vec<String>>,
    /// `claim=value`, all of which a token must have. Values may have commas.
    #[arg(long)]
    pub oidc_required_claim: Option<Vec<String>>,
}

impl AuthenticationFlags {
    /// Whether any of the flags is given that describe one issuer.
    pub fn describe_issuer(&self) -> bool {
        self.oidc_issuer_url.is_some()
            || self.oidc_client_id.is_some()
            || self.oidc_ca_file.is_some()
            || self.oidc_username_claim.is_some()
            || self.oidc_username_prefix.is_some()
            || self.oidc_groups_claim.is_some()
            || self.oidc_groups_prefix.is_some()
            || self.oidc_signing_algs.is_some()
            || self.oidc_required_claim.is_some()
    }
}

/// Authorization by webhooks and by file.
#[derive(Args, Clone, Debug)]
pub struct AuthorizationFlags {
    /// File with an AuthorizationConfiguration; re-read when it changes.
    #[arg(long)]
    pub authorization_config: Option<PathBuf>,
    /// Policies of the mode ABAC, one JSON object a line.
    #[arg(long)]
    pub authorization_policy_file: Option<PathBuf>,
    #[arg(long)]
    pub authorization_webhook_config_file: Option<PathBuf>,
    #[arg(long, default_value = "v1beta1")]
    pub authorization_webhook_version: String,
    #[arg(long, value_parser = parse_lifetime, default_value = "5m")]
    pub authorization_webhook_cache_authorized_ttl: Duration,
    #[arg(long, value_parser = parse_lifetime, default_value = "30s")]
    pub authorization_webhook_cache_unauthorized_ttl: Duration,
}
