//! Node-local TCP pass-through balancer for the Kubernetes API.
//!
//! Every node-local client connects to one loopback address; the balancer passes the bytes on to a healthy
//! API server and never looks into TLS. What is healthy is found out by probes of `/readyz` and by failed
//! connects. Connections to a backend that fell out are reset, so that clients reconnect at once. A
//! restart hands listener and connections over to the next process through systemd.

pub mod backend;
pub mod configuration;
pub mod handover;
pub mod health;
pub mod probe;
pub mod prober;
pub mod proxy;
pub mod run;
pub mod selection;
pub mod status;
