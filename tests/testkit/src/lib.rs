//! What tests share: real etcd, throw-away PKI, API server on port 0, fakes.

pub mod api_server;
pub mod cluster_pki;
pub mod etcd;
pub mod etcd_pki;
mod eventually;
pub mod exchange;
pub mod grpc;
pub mod tls_front;
pub mod webhook;

pub use eventually::eventually;
