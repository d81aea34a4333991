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
    let etcd = Etcd::start().await?;
    // The service account admission would refuse pods in a cluster without controllers that make accounts.
    let api = ApiServer::start(&binary()?, &etcd, &["--disable-admission-plugins=ServiceAccount"]).await?;
    Ok(Running { api, _etcd: etcd })
}
