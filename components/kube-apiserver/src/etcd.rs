//! The connection to etcd.

use anyhow::{Context, bail};
use component_config::kube_apiserver::ApiServerFlags;
use std::path::Path;
use std::sync::Arc;
use storage::{Backend, EtcdBackend, EtcdOptions, EtcdTls};

/// Connects as the flags say; https needs an authority and a client certificate.
pub async fn connect(flags: &ApiServerFlags) -> anyhow::Result<Arc<dyn Backend>> {
    let encrypted = flags.etcd_servers.iter().any(|url| url.starts_with("https://"));
    let tls = match (&flags.etcd_cafile, &flags.etcd_certfile, &flags.etcd_keyfile) {
        (Some(ca), Some(certificate), Some(key)) => Some(EtcdTls { ca: read(ca)?, certificate: read(certificate)?, key: read(key)? }),
        (None, None, None) if !encrypted => None,
        _ => bail!("--etcd-cafile, --etcd-certfile and --etcd-keyfile belong together, and are needed for https"),
    };
    let options = EtcdOptions { endpoints: flags.etcd_servers.clone(), tls };
    let backend = EtcdBackend::connect(options).await.with_context(|| format!("connecting to etcd at {}", flags.etcd_servers.join(", ")))?;
    Ok(Arc::new(backend))
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("reading {}", file.display()))
}
