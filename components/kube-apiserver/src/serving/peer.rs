//! What is known of a connection's other end.

use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
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
    /// Told with the first request.
    pub asked: Notify,
    has_asked: AtomicBool,
    /// Certificates that the client presented, its own first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Who the certificate says it is; read once per connection.
    identity: OnceLock<Option<Arc<CertificateIdentity>>>,
    /// The last check against authorities that succeeded.
    verified: Mutex<Option<Verified>>,
}

/// A check of a chain need not be repeated until a certificate in it expires, or the authorities change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Number of what it was checked against.
    pub authorities: u64,
    /// Seconds since 1970.
    pub until: i64,
}

impl Peer {
    pub fn new(address: SocketAddr, local: SocketAddr, chain: Vec<CertificateDer<'static>>) -> Self {
        Self {
            address,
            local,
            retire: Notify::new(),
            asked: Notify::new(),
            has_asked: AtomicBool::new(false),
            chain,
            identity: OnceLock::new(),
            verified: Mutex::default(),
        }
    }

    /// Whether the chain was found to be good by these authorities.
    pub fn is_verified(&self, authorities: u64, now: i64) -> bool {
        self.verified
            .lock()
            .is_some_and(|check| check.authorities == authorities && now < check.until)
    }

    pub fn note_verified(&self, check: Verified) {
        *self.verified.lock() = Some(check);
    }

    /// A request has come.
    pub fn note_request(&self) {
        if !self.has_asked.swap(true, Ordering::Relaxed) {
            self.asked.notify_one();
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
