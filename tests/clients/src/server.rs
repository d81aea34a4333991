use anyhow::Result;
use testkit::api_server::{ApiServer, binary};
use testkit::etcd::Etcd;

/// An API server over an etcd of its own; both end with it.
pub struct Running {
    pub api: ApiServer,
    _etcd: Etcd,
}

/// Starts both and waits until the server is ready.
pub async fn start() -> Result<Running> {
    start_with(&[]).await
}

/// The same with more flags.
pub async fn start_with(flags: &[&str]) -> Result<Running> {
    let etcd = Etcd::start().await?;
    // The service account admission would refuse pods in a cluster without controllers that make accounts.
    let flags = [&["--disable-admission-plugins=ServiceAccount"], flags].concat();
    let api = ApiServer::start(&binary()?, &etcd, &flags).await?;
    Ok(Running { api, _etcd: etcd })
}
