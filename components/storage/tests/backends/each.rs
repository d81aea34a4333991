//! Each kind of backend, new and empty.

use std::future::Future;
use std::sync::Arc;

use storage::{Backend, EmbeddedBackend, EtcdBackend, EtcdOptions, EtcdTls, MemoryBackend};
use testkit::etcd::{Etcd, EtcdSpec};

pub async fn on_memory<F: Future<Output = ()>>(contract: impl FnOnce(Arc<dyn Backend>) -> F) {
    contract(Arc::new(MemoryBackend::default())).await;
}

/// Opened anew with a log of a few entries, so that snapshots are made and read all the time.
pub async fn on_embedded<F: Future<Output = ()>>(contract: impl FnOnce(Arc<dyn Backend>) -> F) {
    let directory = tempfile::tempdir().unwrap();
    let backend = EmbeddedBackend::open_with(directory.path(), 100).unwrap();
    contract(Arc::new(backend)).await;
}

pub async fn on_etcd<F: Future<Output = ()>>(contract: impl FnOnce(Arc<dyn Backend>) -> F) {
    let etcd = Etcd::start_with(EtcdSpec {
        members: 1,
        tls: true,
    })
    .await
    .unwrap();
    let pki = etcd.pki().unwrap();
    let options = EtcdOptions {
        endpoints: etcd.endpoints(),
        tls: Some(EtcdTls {
            ca: pki.ca.clone().into(),
            certificate: pki.client_certificate.clone().into(),
            key: pki.client_key.clone().into(),
        }),
        dialer: None,
    };
    contract(Arc::new(EtcdBackend::connect(options).await.unwrap())).await;
}

/// Tests named like functions, which are given the backend; one for each kind.
macro_rules! contract {
    ($($name:ident),*) => {
        mod memory {
            $(#[tokio::test] async fn $name() { super::each::on_memory(super::$name).await })*
        }
        mod embedded {
            $(#[tokio::test] async fn $name() { super::each::on_embedded(super::$name).await })*
        }
        mod etcd {
            $(#[tokio::test] async fn $name() { super::each::on_etcd(super::$name).await })*
        }
    };
}

pub(crate) use contract;
