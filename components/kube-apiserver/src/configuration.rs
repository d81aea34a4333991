//! Flags checked and files read, before a port is bound or a task started.

pub mod audit;
pub mod authentication;
pub mod authorization;
mod emulation;
mod front_proxy;
pub mod observing;
pub mod reload;
mod runtime;
pub mod strict;

use crate::admission::Admission;
use crate::admission::configuration::AdmissionConfiguration;
use crate::admission::plugins;
use crate::aggregator::backend::ProxyIdentity;
use crate::audit::Audit;
use crate::authentication::front_proxy::FrontProxy;
use crate::authorization::Named;
use crate::connect::backend::Backends;
use crate::connect::egress::Egress;
use crate::peers;
use crate::serving::browsers::Browsers;
use crate::serving::certificates::{ClientAuthority, Listening, ServingCertificate};
use crate::serving::names::Certificates;
use crate::tokens::issue::TokenIssuer;
use crate::tokens::keys::{SigningKey, VerifyingKey, verifying_keys};
use crate::webhook::Clients;
use anyhow::{Context, bail};
use api::Features;
use component_config::kube_apiserver::ApiServerFlags;
use component_config::kube_apiserver::collector::Collector;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Bounds of what --service-account-max-token-expiration may say.
const SHORTEST_TOKEN: Duration = Duration::from_secs(3600);
const LONGEST_TOKEN: Duration = Duration::from_secs(1 << 32);

/// What the flags come to.
pub struct Configuration {
    pub flags: ApiServerFlags,
    pub advertise: IpAddr,
    pub listening: Listening,
    pub browsers: Browsers,
    /// The built-in kinds that are served.
    pub registry: api::Registry,
    pub client_authority: Option<Arc<ClientAuthority>>,
    pub front_proxy: Option<FrontProxy>,
    pub issuer: Arc<TokenIssuer>,
    pub chain: Vec<Named>,
    pub authentication: authentication::Authentication,
    pub audit: Audit,
    pub transformers: storage::Transformers,
    pub backends: Backends,
    pub egress: Egress,
    /// Who is told spans.
    pub collector: Option<Collector>,
    /// By which aggregated servers know this one.
    pub proxy_identity: ProxyIdentity,
    /// Who vouches for the other API servers.
    pub peer_authorities: Option<peers::Authorities>,
    pub admission: Admission,
    /// Which metrics are told.
    pub metrics: daemon::metrics::Selection,
}

impl Configuration {
    pub fn load(flags: ApiServerFlags) -> anyhow::Result<Self> {
        check(&flags)?;
        let (Some(certificate), Some(key)) = (&flags.tls_cert_file, &flags.tls_private_key_file) else {
            bail!("--tls-cert-file and --tls-private-key-file are required");
        };
        let usual = ServingCertificate::load(certificate, key)?;
        let certificates = Arc::new(Certificates::load(usual, &flags.serving.tls_sni_cert_key)?);
        let browsers = Browsers::load(&flags.serving)?;
        let features = Features::of(|name| crate::server::has_feature(&flags, name));
        let registry = runtime::registry(&flags, features)?;
        let client_authority = flags
            .client_ca_file
            .as_deref()
            .map(ClientAuthority::load)
            .transpose()
            .context("--client-ca-file")?
            .map(Arc::new);
        let front_proxy = front_proxy::load(&flags)?;
        let proxies = front_proxy.iter().map(|proxy| &proxy.authority);
        let listening = Listening::new(
            certificates,
            client_authority.iter().chain(proxies).cloned().collect(),
            (&flags.tls).into(),
            flags.serving.disable_http2_serving,
        )?;
        let issuer = Arc::new(issuer(&flags)?);
        let egress = match &flags.egress_selector_config_file {
            Some(file) => Egress::load(file).context("--egress-selector-config-file")?,
            None => Egress::default(),
        };
        let collector = flags
            .tracing_config_file
            .as_deref()
            .map(observing::collector)
            .transpose();
        let collector = collector.context("--tracing-config-file")?;
        let clients = Clients::new(None).of_server().by(&egress);
        let chain = authorization::load(&flags, &clients)?;
        let authentication = authentication::load(&flags, &clients, &egress)?;
        let audit = audit::load(&flags, &clients)?;
        let advertise = advertise_address(&flags)?;
        let transformers = crate::etcd::transformers(&flags)?;
        let backends = Backends::load(&flags)?;
        let proxy_identity = proxy_identity(&flags)?;
        let peer_authorities = peers::Authorities::load(&flags)?;
        let admission = admission(&flags, &clients)?;
        let metrics = observing::metrics(&flags.observing)?;
        Ok(Self {
            flags,
            advertise,
            listening,
            browsers,
            registry,
            client_authority,
            front_proxy,
            issuer,
            chain,
            authentication,
            audit,
            transformers,
            backends,
            egress,
            collector,
            proxy_identity,
            peer_authorities,
            admission,
            metrics,
        })
    }
}

fn check(flags: &ApiServerFlags) -> anyhow::Result<()> {
    if flags.service_cluster_ip_range.is_empty() || flags.service_cluster_ip_range.len() > 2 {
        bail!("--service-cluster-ip-range must be one range, or two of different families");
    }
    if let [first, second] = flags.service_cluster_ip_range.as_slice()
        && first.addr().is_ipv4() == second.addr().is_ipv4()
    {
        bail!(
            "--service-cluster-ip-range: {first} and {second} are of one family; a second range must be of the other"
        );
    }
    if !matches!(
        flags.endpoint_reconciler_type.as_str(),
        "lease" | "master-count" | "none"
    ) {
        bail!(
            "--endpoint-reconciler-type: {:?} is not supported; use lease, master-count or none",
            flags.endpoint_reconciler_type
        );
    }
    if flags.apiserver_count == 0 {
        bail!("--apiserver-count: 0 must be a positive number");
    }
    if flags.kubelet_client_certificate.is_some() != flags.kubelet_client_key.is_some() {
        bail!("--kubelet-client-certificate and --kubelet-client-key belong together");
    }
    if !(0.0..=0.02).contains(&flags.goaway_chance) {
        bail!("--goaway-chance must be between 0 and 0.02");
    }
    if flags.enable_priority_and_fairness
        && flags.max_requests_inflight + flags.max_mutating_requests_inflight == 0
    {
        bail!(
            "--max-requests-inflight and --max-mutating-requests-inflight must add up to something positive: they are what --enable-priority-and-fairness shares out"
        );
    }
    let longest = flags.service_account_max_token_expiration;
    if !longest.is_zero() && !(SHORTEST_TOKEN..=LONGEST_TOKEN).contains(&longest) {
        bail!("--service-account-max-token-expiration must be between 1h and 2^32 seconds");
    }
    if flags.encryption_provider_config_automatic_reload && flags.encryption_provider_config.is_none() {
        bail!("--encryption-provider-config-automatic-reload needs --encryption-provider-config");
    }
    Ok(())
}

/// The feature by which servers that stand for users tell each other their uids.
const UIDS: &str = "RemoteRequestHeaderUID";

fn proxy_identity(flags: &ApiServerFlags) -> anyhow::Result<ProxyIdentity> {
    let files = match (&flags.proxy_client_cert_file, &flags.proxy_client_key_file) {
        (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
        (None, None) => None,
        _ => bail!("--proxy-client-cert-file and --proxy-client-key-file belong together"),
    };
    let mut identity = ProxyIdentity::load(files).context("--proxy-client-cert-file")?;
    identity.hides_uids = !crate::server::has_feature(flags, UIDS);
    Ok(identity)
}

fn admission(flags: &ApiServerFlags, clients: &Clients) -> anyhow::Result<Admission> {
    let (enable, disable) = (&flags.enable_admission_plugins, &flags.disable_admission_plugins);
    let plugins = match &flags.admission_control {
        Some(_) if !enable.is_empty() || !disable.is_empty() => bail!(
            "admission-control and enable-admission-plugins/disable-admission-plugins flags are mutually exclusive"
        ),
        Some(names) => {
            tracing::warn!(
                "Flag --admission-control has been deprecated, Use --enable-admission-plugins or --disable-admission-plugins instead. Will be removed in a future version."
            );
            // An empty list is one of an empty text to the parser of flags.
            plugins::only(
                names
                    .strip_prefix(&[String::new()])
                    .filter(|rest| rest.is_empty())
                    .unwrap_or(names),
            )?
        }
        None => plugins::chain(enable, disable)?,
    };
    let configuration = match &flags.admission_control_config_file {
        Some(file) => AdmissionConfiguration::load(file, clients, &plugins)
            .context("--admission-control-config-file")?,
        None => AdmissionConfiguration::default(),
    };
    configuration.check(&plugins)?;
    Ok(Admission::new(plugins, configuration))
}

fn issuer(flags: &ApiServerFlags) -> anyhow::Result<TokenIssuer> {
    let read = |file: &Path| std::fs::read(file).with_context(|| format!("reading {}", file.display()));
    let mut keys: Vec<VerifyingKey> = Vec::new();
    for file in &flags.service_account_key_file {
        keys.extend(
            verifying_keys(&read(file)?)
                .with_context(|| format!("--service-account-key-file {}", file.display()))?,
        );
    }
    let signing = match &flags.service_account_signing_key_file {
        Some(file) => Some(
            SigningKey::from_pem(&read(file)?)
                .with_context(|| format!("--service-account-signing-key-file {}", file.display()))?,
        ),
        None => None,
    };
    if let Some(signing) = &signing {
        if keys.is_empty() {
            keys.push(signing.public.clone());
        } else if !keys.contains(&signing.public) {
            bail!(
                "--service-account-key-file does not have the public key of --service-account-signing-key-file: tokens signed by this server would not verify"
            );
        }
    }
    if keys.is_empty() && flags.service_account_signing_endpoint.is_none() {
        bail!(
            "--service-account-key-file, --service-account-signing-key-file or --service-account-signing-endpoint is required"
        );
    }
    for (index, issuer) in flags.service_account_issuer.iter().enumerate() {
        if issuer.is_empty() {
            bail!("--service-account-issuer must not be empty");
        }
        if flags.service_account_issuer[..index].contains(issuer) {
            bail!("--service-account-issuer {issuer:?} is already specified");
        }
        // A name that looks like a URL has to be one, since others look up its keys there.
        if issuer.contains(':') && url::Url::parse(issuer).is_err() {
            bail!("--service-account-issuer: {issuer:?} has a colon, but is not a valid URL");
        }
    }
    if let Some(uri) = flags
        .service_account_jwks_uri
        .as_deref()
        .filter(|uri| !uri.is_empty())
    {
        let parsed = url::Url::parse(uri).context("--service-account-jwks-uri must be a valid URL")?;
        if parsed.scheme() != "https" {
            bail!("--service-account-jwks-uri requires https scheme, parsed as: {parsed}");
        }
    }
    let audiences = audiences(flags);
    Ok(TokenIssuer {
        issuers: flags.service_account_issuer.clone(),
        audiences,
        signing,
        keys,
        jwks_uri: flags.service_account_jwks_uri.clone(),
        max_expiration: i64::try_from(flags.service_account_max_token_expiration.as_secs())
            .unwrap_or(i64::MAX),
        external: std::sync::OnceLock::new(),
        extend_expiration: flags.service_account_extend_token_expiration,
    })
}

/// Audiences that the API server's own tokens are for.
fn audiences(flags: &ApiServerFlags) -> Vec<String> {
    if flags.api_audiences.is_empty() {
        flags.service_account_issuer.clone()
    } else {
        flags.api_audiences.clone()
    }
}

fn advertise_address(flags: &ApiServerFlags) -> anyhow::Result<IpAddr> {
    if let Some(address) = flags.advertise_address {
        return Ok(address);
    }
    if !flags.bind_address.is_unspecified() {
        return Ok(flags.bind_address);
    }
    // The address that traffic to elsewhere would come from; nothing is sent.
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").context("finding the host's address")?;
    socket
        .connect("192.0.2.1:9")
        .context("finding the host's address; set --advertise-address")?;
    Ok(socket.local_addr()?.ip())
}
