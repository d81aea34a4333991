//! API servers that are known by an endpoint and not by a host of the inventory.

use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pki::Issued;

use super::{Api, ders};

impl Api {
    /// Believes whoever answers, and tells it nothing: only for what is checked by other means.
    pub fn unverified(endpoint: &str) -> anyhow::Result<Api> {
        Api::of(endpoint, |config| config.accept_invalid_certs = true)
    }

    /// Whoever answers must be signed for by `authority` (PEM).
    pub fn anonymous(endpoint: &str, authority: &str) -> anyhow::Result<Api> {
        let roots = ders(authority).context("the authority's certificate cannot be read")?;
        Api::of(endpoint, |config| config.root_cert = Some(roots))
    }

    pub fn with_token(endpoint: &str, authority: &str, token: String) -> anyhow::Result<Api> {
        let roots = ders(authority).context("the authority's certificate cannot be read")?;
        Api::of(endpoint, |config| {
            config.root_cert = Some(roots);
            config.auth_info.token = Some(token.into());
        })
    }

    pub fn with_certificate(endpoint: &str, authority: &str, identity: &Issued) -> anyhow::Result<Api> {
        let roots = ders(authority).context("the authority's certificate cannot be read")?;
        Api::of(endpoint, |config| {
            config.root_cert = Some(roots);
            config.auth_info.client_certificate_data = Some(STANDARD.encode(&identity.certificate));
            config.auth_info.client_key_data = Some(STANDARD.encode(identity.key.pem()).into());
        })
    }

    fn of(endpoint: &str, change: impl FnOnce(&mut kube::Config)) -> anyhow::Result<Api> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let uri = format!("https://{endpoint}")
            .parse()
            .with_context(|| format!("{endpoint} is not HOST:PORT"))?;
        let mut config = kube::Config::new(uri);
        config.connect_timeout = Some(Duration::from_secs(5));
        config.read_timeout = Some(Duration::from_secs(30));
        // Every API server answers to this name; an address in front of them need not be in their certificates.
        config.tls_server_name = Some("kubernetes".to_owned());
        change(&mut config);
        let client = {
            let _entered = runtime.enter();
            kube::Client::try_from(config).context("cannot set up the API client")?
        };
        Ok(Api {
            runtime,
            client,
            endpoint: endpoint.to_owned(),
            forward: None,
        })
    }
}
