//! What tests share: real etcd, throw-away PKI, API server on port 0, fakes.

pub mod api_server;
pub mod cluster;
pub mod cluster_pki;
pub mod etcd;
pub mod etcd_pki;
mod eventually;
pub mod exchange;
pub mod grpc;
pub mod tls_front;
pub mod webhook;

pub use eventually::eventually;

/// The folder of the package whose test runs. Asked for now: it may have been compiled for another clone or on another
/// machine, with a target folder that was kept and taken for fresh.
pub fn own_folder() -> std::path::PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR")
        .map(Into::into)
        .expect("cargo tells tests where their package is")
}
