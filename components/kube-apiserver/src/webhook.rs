//! The client for webhooks, by HTTPS unless an operator says otherwise: pooled connections, HTTP/2 where offered, services resolved in here.
//!
//! An [`Endpoint`] is made once from a configuration and called often. Connections are shared by all endpoints
//! that believe the same authorities and show the same credentials.

mod answer;
mod asked;
mod client;
mod connection;
mod credentials;
mod kubeconfig;
mod opening;
mod place;
mod redirect;
mod resolver;
mod trust;
mod weakness;

pub use answer::{CallError, Reply};
pub use asked::Asked;
pub use client::{Clients, Connector, Endpoint, PAUSE, root_cause};
pub use connection::{Dialed, Dialer, go_text};
pub use credentials::Credentials;
pub use kubeconfig::{Identities, Kubeconfig};
pub use place::{BadPlace, Place, Service};
pub use resolver::{ResolveError, Resolver, ServicePort, port_name, ready_endpoints};
pub use trust::{TrustError, client_config, explain};
pub use weakness::{Callee, Weakness, register as register_weaknesses};
