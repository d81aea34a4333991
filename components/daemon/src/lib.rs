//! The frame of every daemon.
//!
//! - [`logging`] - flags and format of the log
//! - [`tasks`] - the runtime, supervised tasks, signals, two-stage shutdown
//! - [`notify`] - telling systemd that the daemon is ready
//! - [`tls`] - serving certificates that follow their files, and the TLS server
//! - [`identity`] - who a client certificate says the peer is
//! - [`delegation`] - authentication and authorization asked of the API server
//! - [`joined`] - two connections joined into one
//! - [`health`] - `/healthz`, `/livez`, `/readyz`
//! - [`metrics`] - `/metrics`

pub mod cluster_authority;
pub mod delegation;
pub mod health;
pub mod identity;
pub mod joined;
pub mod logging;
pub mod metrics;
pub mod notify;
pub mod tasks;
pub mod tls;

pub use tasks::{Tasks, runtime, runtime_on_this_thread};
