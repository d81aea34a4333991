//! What is known of a connection's other end.

use rustls::pki_types::CertificateDer;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use tokio::sync::Notify;

use crate::authentication::x509::CertificateIdentity;

/// One connection's peer, shared by its requests.
#[derive(Debug)]
pub struct Peer {
    pub address: SocketAddr,
    pub local: SocketAddr,
    /// Told when the client should go on with another connection.
    pub retire: Notify,
    /// Certificates that the client presented, its own first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Who the certificate says it is; read once per connection, checked against the authorities per request
    /// only when these have changed.
    identity: OnceLock<Option<Arc<CertificateIdentity>>>,
}

impl Peer {
    pub fn new(address: SocketAddr, local: SocketAddr, chain: Vec<CertificateDer<'static>>) -> Self {
        Self {
            address,
            local,
            retire: Notify::new(),
            chain,
            identity: OnceLock::new(),
        }
    }

    /// The identity in the certificate, if there is a readable one.
    pub fn certificate(&self) -> Option<Arc<CertificateIdentity>> {
        self.identity
            .get_or_init(|| {
                self.chain
                    .first()
                    .and_then(|leaf| CertificateIdentity::read(leaf))
                    .map(Arc::new)
            })
            .clone()
    }
}
