//! One API server and the set of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use component_config::api_balancer::{Configuration, split_host_port};
use tokio::sync::{Notify, watch};

use crate::health::{Connections, Health, Outcome, Status};
use crate::selection::{Candidate, order};

/// One API server.
#[derive(Debug)]
pub struct Backend {
    /// As configured, host:port.
    pub address: String,
    /// Host without brackets; also the name that its certificate must carry.
    pub host: String,
    pub port: u16,
    active: AtomicUsize,
    health: Mutex<Health>,
    /// Counts up when all open connections have to be reset.
    cuts: watch::Sender<u64>,
    /// Wakes the probe before its time.
    pub probe_now: Notify,
}

impl Backend {
    /// None if the address is not host:port.
    pub fn new(address: &str) -> Option<Backend> {
        let (host, port) = split_host_port(address)?;
        Some(Backend {
            address: address.to_owned(),
            host: host.to_owned(),
            port,
            active: AtomicUsize::new(0),
            health: Mutex::default(),
            cuts: watch::Sender::new(0),
            probe_now: Notify::new(),
        })
    }

    pub fn health(&self) -> Health {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Open connections.
    pub fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    /// Takes in the outcome of a probe; returns the state before, the state after and what it means for connections.
    pub fn step(&self, outcome: Outcome) -> (Status, Status, Connections) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let before = health.status;
        let connections = health.step(outcome);
        (before, health.status, connections)
    }

    /// Resets all open connections.
    pub fn cut(&self) {
        self.cuts.send_modify(|count| *count += 1);
    }

    /// Counts a connection for as long as the guard lives.
    pub fn open(self: &Arc<Backend>) -> Connection {
        self.active.fetch_add(1, Ordering::Relaxed);
        Connection {
            backend: self.clone(),
            cuts: self.cuts.subscribe(),
        }
    }
}

/// One open connection to a backend.
pub struct Connection {
    backend: Arc<Backend>,
    cuts: watch::Receiver<u64>,
}

impl Connection {
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// Returns when the connection has to be reset.
    pub async fn cut(&mut self) {
        // The sender lives in the backend, which this holds, so it cannot be gone.
        let _ = self.cuts.changed().await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.backend.active.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All backends; replaced as a whole when the configuration changes.
#[derive(Clone, Debug, Default)]
pub struct Backends {
    pub list: Vec<Arc<Backend>>,
    pub prefer: Option<String>,
}

impl Backends {
    /// The backends of a configuration; those that were there before keep their state and connections.
    pub fn from_configuration(configuration: &Configuration, before: &Backends) -> Backends {
        let list = configuration
            .backends
            .iter()
            .filter_map(|address| {
                let known = before
                    .list
                    .iter()
                    .find(|backend| backend.address == *address)
                    .cloned();
                known.or_else(|| Backend::new(address).map(Arc::new))
            })
            .collect();
        Backends {
            list,
            prefer: configuration.prefer.clone(),
        }
    }

    /// All backends in the order in which a new connection tries them.
    pub fn in_order(&self, random: u64) -> Vec<Arc<Backend>> {
        let candidates: Vec<Candidate> = self
            .list
            .iter()
            .map(|backend| Candidate {
                status: backend.health().status,
                preferred: self.prefer.as_ref() == Some(&backend.address),
                active: backend.active(),
            })
            .collect();
        order(&candidates, random)
            .into_iter()
            .map(|index| self.list[index].clone())
            .collect()
    }

    pub fn any_healthy(&self) -> bool {
        self.list
            .iter()
            .any(|backend| backend.health().status == Status::Healthy)
    }
}
