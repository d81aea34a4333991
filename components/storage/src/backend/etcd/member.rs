//! One member of etcd: a connection to it is made when one is needed, and anew when it has ended.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http::Uri;
use http::uri::Scheme;
use opentelemetry::KeyValue;
use prost::Message;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;
use tonic::Code;

use super::connection::{Address, Connection, EtcdDialer, Requests, Responses, Rpc};
use super::endpoints::EtcdTls;
use super::failure::CallError;
use crate::backend::BackendError;
use crate::local::PerRuntime;
use crate::spans::{self, SpanKind};

pub(super) struct Member {
    url: String,
    address: Address,
    /// None only for http URLs.
    tls: ArcSwapOption<TlsConnector>,
    dialer: Option<Arc<dyn EtcdDialer>>,
    connections: PerRuntime<Connection>,
    /// Held by who connects; the others wait for that one.
    connecting: PerRuntime<Arc<tokio::sync::Mutex<()>>>,
}

impl Member {
    pub(super) fn new(
        url: &str,
        tls: Option<&EtcdTls>,
        dialer: Option<Arc<dyn EtcdDialer>>,
    ) -> Result<Self, BackendError> {
        let address = address(url)?;
        let tls = match (address.scheme == Scheme::HTTPS, tls) {
            (true, Some(tls)) => Some(Arc::new(connector(tls)?)),
            (true, None) => return Err(refused(url, "https needs certificates")),
            (false, _) => None,
        };
        Ok(Self {
            url: url.to_owned(),
            address,
            tls: ArcSwapOption::from(tls),
            dialer,
            connections: PerRuntime::default(),
            connecting: PerRuntime::default(),
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The next connection is made with this; what is under way stays where it is.
    pub(super) fn use_from_now(&self, connector: TlsConnector) {
        if self.address.scheme == Scheme::HTTPS {
            self.tls.store(Some(Arc::new(connector)));
            self.connections.clear();
        }
    }

    /// The open connection; one that has ended says so before anything is sent on it.
    async fn open(&self) -> Option<Connection> {
        self.connections.get()?.ready().await.ok()
    }

    async fn connection(&self) -> Result<Connection, CallError> {
        if let Some(open) = self.open().await {
            return Ok(open);
        }
        let connecting = self.connecting.get_or_insert_with(Arc::default);
        let _one = connecting.lock().await;
        if let Some(open) = self.open().await {
            return Ok(open);
        }
        let tls = self.tls.load_full().map(|tls| TlsConnector::clone(&tls));
        let fresh = Connection::open(&self.address, tls, self.dialer.as_deref()).await?;
        self.connections.set(fresh.clone());
        fresh.ready().await
    }

    pub(super) async fn unary<A: Message + Default>(
        &self,
        rpc: Rpc,
        question: &impl Message,
    ) -> Result<A, CallError> {
        let attributes = || rpc_attributes(rpc, &self.address);
        let call = async {
            let outcome = self.connection().await?.unary(rpc, question).await;
            spans::note(|| {
                let code = outcome.as_ref().err().map_or(Code::Ok, CallError::code);
                KeyValue::new("rpc.grpc.status_code", i64::from(i32::from(code)))
            });
            outcome
        };
        spans::traced(rpc.name(), SpanKind::Client, attributes, call).await
    }

    pub(super) async fn stream(
        &self,
        rpc: Rpc,
        first: &impl Message,
    ) -> Result<(Requests, Responses), CallError> {
        self.connection().await?.stream(rpc, first).await
    }
}

/// As OpenTelemetry's conventions for RPCs name them.
fn rpc_attributes(rpc: Rpc, address: &Address) -> Vec<KeyValue> {
    let (service, method) = rpc.name().split_once('/').unwrap_or_default();
    vec![
        KeyValue::new("rpc.system", "grpc"),
        KeyValue::new("rpc.service", service),
        KeyValue::new("rpc.method", method),
        KeyValue::new("server.address", address.host.clone()),
        KeyValue::new("server.port", i64::from(address.port)),
    ]
}

fn refused(url: &str, why: impl std::fmt::Display) -> BackendError {
    BackendError::Unavailable {
        message: format!("etcd endpoint {url}: {why}"),
    }
}

/// `https://HOST:PORT`, or `http://HOST:PORT` for tests.
fn address(url: &str) -> Result<Address, BackendError> {
    let uri: Uri = url.parse().map_err(|error| refused(url, error))?;
    let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
        return Err(refused(url, "not of the form https://HOST:PORT"));
    };
    if *scheme != Scheme::HTTPS && *scheme != Scheme::HTTP {
        return Err(refused(url, "neither https nor http"));
    }
    Ok(Address {
        scheme: scheme.clone(),
        authority: authority.clone(),
        host: authority.host().trim_matches(['[', ']']).to_owned(),
        port: authority.port_u16().unwrap_or(2379),
    })
}

/// What secures connections with these certificates; they must be whole.
pub(super) fn connector(tls: &EtcdTls) -> Result<TlsConnector, BackendError> {
    let unusable = |what: &str, error: &dyn std::fmt::Display| BackendError::Unavailable {
        message: format!("etcd {what}: {error}"),
    };
    let certificates = |what: &str, pem: &[u8]| {
        CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| unusable(what, &error))
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates("certificate authority", &tls.ca)? {
        roots
            .add(certificate)
            .map_err(|error| unusable("certificate authority", &error))?;
    }
    let chain = certificates("client certificate", &tls.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(&tls.key).map_err(|error| unusable("client key", &error))?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable("TLS", &error))?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(|error| unusable("client certificate", &error))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (url, want) in [
            ("https://10.0.0.1:2379", Some(("10.0.0.1", 2379))),
            ("http://127.0.0.1:1", Some(("127.0.0.1", 1))),
            ("https://etcd-1.example", Some(("etcd-1.example", 2379))),
            ("https://[::1]:2379", Some(("::1", 2379))),
            ("ftp://10.0.0.1", None),
            ("10.0.0.1:2379", None),
            ("", None),
        ] {
            let found = address(url).ok();
            let found = found
                .as_ref()
                .map(|address| (address.host.as_str(), address.port));
            assert_eq!(found, want, "{url}");
        }
    }
}
