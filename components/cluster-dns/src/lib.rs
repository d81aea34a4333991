//! Cluster DNS: Kubernetes DNS-Based Service Discovery 1.1.0 out of informers, forwarding for the rest.
//!
//! [`zone`] decides what a name means, purely; [`catalog`] is what it decides from; [`forward`] asks other
//! resolvers; [`handler`] joins them behind the DNS server.

pub mod cache;
pub mod catalog;
pub mod forward;
pub mod handler;
pub mod run;
pub mod upstreams;
pub mod zone;
