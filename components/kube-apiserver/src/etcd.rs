//! The connection to etcd, or the store that is used instead.

use crate::beat;
use crate::connect::egress::{Proxy, Way};
use crate::metrics::access::Followed;
use crate::server::Server;
use anyhow::{Context, bail};
use apimachinery::GroupResource;
use async_trait::async_trait;
use component_config::kube_apiserver::{ApiServerFlags, ServersOverride};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use storage::{
    Backend, EmbeddedBackend, EtcdBackend, EtcdDialer, EtcdOptions, EtcdStream, EtcdTls, ReloadError,
    Transformers,
};

/// How often the encryption configuration is looked at for changes.
const RELOAD_PERIOD: Duration = Duration::from_secs(10);

/// The store that the flags name.
pub enum Store {
    Etcd {
        usual: Arc<EtcdBackend>,
        /// With the resources that each keeps.
        others: Vec<(Vec<String>, Arc<EtcdBackend>)>,
    },
    Embedded(Arc<EmbeddedBackend>),
}

impl Store {
    /// etcd is reached by this way.
    pub async fn open(flags: &ApiServerFlags, way: &Way) -> anyhow::Result<Self> {
        let Some(directory) = flags.storage_directory.clone() else {
            let usual = connect(flags, &flags.etcd_servers, way).await?;
            let mut others = Vec::new();
            for (servers, resources) in by_servers(&flags.etcd_servers_overrides) {
                let backend = connect(flags, servers, way)
                    .await
                    .context("--etcd-servers-overrides")?;
                others.push((resources, backend));
            }
            return Ok(Self::Etcd { usual, others });
        };
        let opened = tokio::task::spawn_blocking(move || EmbeddedBackend::open(&directory)).await?;
        Ok(Self::Embedded(Arc::new(opened.context("--storage-directory")?)))
    }

    pub fn backend(&self) -> Arc<dyn Backend> {
        match self {
            Self::Etcd { usual, .. } => Arc::clone(usual) as _,
            Self::Embedded(embedded) => Arc::clone(embedded) as _,
        }
    }

    /// Backends that keep single resources.
    pub fn others(&self) -> Vec<(Vec<String>, Arc<dyn Backend>)> {
        match self {
            Self::Etcd { others, .. } => others
                .iter()
                .map(|(resources, etcd)| (resources.clone(), Arc::clone(etcd) as _))
                .collect(),
            Self::Embedded(_) => Vec::new(),
        }
    }

    /// Does what it needs for as long as it is open: renewed certificates for etcd are taken up. Ends only when it is
    /// of no use any more.
    pub async fn keep(self, flags: ApiServerFlags) -> anyhow::Result<()> {
        match self {
            Self::Etcd { usual, others } => {
                let all = others
                    .into_iter()
                    .map(|(_, etcd)| etcd)
                    .chain(std::iter::once(usual));
                let following = all.map(|etcd| follow_credentials(etcd, flags.clone()));
                futures::future::try_join_all(following).await.map(drop)
            }
            Self::Embedded(embedded) => {
                embedded.ended().await;
                bail!("the thread that writes to --storage-directory has ended")
            }
        }
    }
}

/// The resources of each set of servers, whatever the order they are named in. The name of a resource is as
/// [`storage::ResourceSpec::name`] has it.
fn by_servers(overrides: &[ServersOverride]) -> Vec<(&[String], Vec<String>)> {
    let sorted = |servers: &[String]| {
        let mut servers = servers.to_vec();
        servers.sort();
        servers
    };
    let mut all: Vec<(&[String], Vec<String>)> = Vec::new();
    for one in overrides {
        let name = GroupResource::new(&*one.group, &*one.resource).to_string();
        match all
            .iter_mut()
            .find(|(servers, _)| sorted(servers) == sorted(&one.servers))
        {
            Some((_, resources)) => resources.push(name),
            None => all.push((&one.servers, vec![name])),
        }
    }
    all
}

/// Connections that a proxy makes.
struct Proxied(Arc<Proxy>);

#[async_trait]
impl EtcdDialer for Proxied {
    async fn dial(&self, authority: &str) -> io::Result<Box<dyn EtcdStream>> {
        let stream = self.0.dial(authority).await?;
        Ok(Box::new(stream))
    }
}

/// Connects as the flags say; https needs an authority and a client certificate.
async fn connect(flags: &ApiServerFlags, servers: &[String], way: &Way) -> anyhow::Result<Arc<EtcdBackend>> {
    let encrypted = servers.iter().any(|url| url.starts_with("https://"));
    let tls = match credentials(flags)? {
        Some(tls) => Some(tls),
        None if !encrypted && flags.etcd_cafile.is_none() && flags.etcd_certfile.is_none() => None,
        None => bail!(
            "--etcd-cafile, --etcd-certfile and --etcd-keyfile belong together, and are needed for https"
        ),
    };
    let options = EtcdOptions {
        endpoints: servers.to_vec(),
        tls,
        dialer: match way {
            Way::Direct => None,
            Way::Proxy(proxy) => Some(Arc::new(Proxied(Arc::clone(proxy))) as _),
        },
    };
    let backend = EtcdBackend::connect(options)
        .await
        .with_context(|| format!("connecting to etcd at {}", servers.join(", ")))?;
    Ok(Arc::new(backend))
}

/// The three files of the client's side, when all are given.
fn credentials(flags: &ApiServerFlags) -> anyhow::Result<Option<EtcdTls>> {
    match (&flags.etcd_cafile, &flags.etcd_certfile, &flags.etcd_keyfile) {
        (Some(ca), Some(certificate), Some(key)) => Ok(Some(EtcdTls {
            ca: read(ca)?,
            certificate: read(certificate)?,
            key: read(key)?,
        })),
        _ => Ok(None),
    }
}

/// Takes up renewed certificates for etcd; ends only with the process.
async fn follow_credentials(backend: Arc<EtcdBackend>, flags: ApiServerFlags) -> anyhow::Result<()> {
    let mut seen = credentials(&flags).unwrap_or_default();
    loop {
        beat::next(RELOAD_PERIOD).await;
        let fresh = match credentials(&flags) {
            Ok(Some(fresh)) if seen.as_ref() != Some(&fresh) => fresh,
            Ok(_) => continue,
            Err(error) => {
                tracing::error!(
                    error = format!("{error:#}"),
                    "the certificates for etcd can't be read, keeping the old ones"
                );
                continue;
            }
        };
        match backend.set_tls(fresh.clone()).await {
            Ok(()) => {
                tracing::info!("the certificates for etcd were reloaded");
                seen = Some(fresh);
            }
            // Half-written files don't fit together; the next look finds them whole.
            Err(error) => tracing::warn!(%error, "the new certificates for etcd can't be used yet"),
        }
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("reading {}", file.display()))
}

/// The encryption at rest that the flags name; none stores plain text.
pub fn transformers(flags: &ApiServerFlags) -> anyhow::Result<Transformers> {
    let Some(file) = &flags.encryption_provider_config else {
        return Ok(Transformers::default());
    };
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    Transformers::from_config(&text)
        .with_context(|| format!("--encryption-provider-config={}", file.display()))
}

/// Takes up changes of the encryption configuration; ends only with the process.
pub async fn reload_transformers(
    server: Arc<Server>,
    transformers: Transformers,
    file: PathBuf,
) -> anyhow::Result<()> {
    let mut seen = tokio::fs::read_to_string(&file).await.unwrap_or_default();
    loop {
        beat::next(RELOAD_PERIOD).await;
        let text = match tokio::fs::read_to_string(&file).await {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(%error, file = %file.display(), "the encryption configuration can't be read, keeping the old one");
                continue;
            }
        };
        if text == seen {
            continue;
        }
        let outcome = {
            let (transformers, text) = (transformers.clone(), text.clone());
            tokio::task::spawn_blocking(move || transformers.reload(&text)).await?
        };
        server
            .metrics
            .access
            .reloaded(Followed::Encryption, outcome.is_ok());
        match outcome {
            Ok(()) => tracing::info!(file = %file.display(), "reloaded the encryption configuration"),
            Err(error) => {
                tracing::error!(%error, "the new encryption configuration is refused, keeping the old one");
                if let ReloadError::Service(_) = error {
                    // The service may just be starting: tried again.
                    continue;
                }
            }
        }
        seen = text;
    }
}

/// Follows the keys of the key management services; ends only with the process.
pub async fn follow_services(transformers: Transformers) -> anyhow::Result<()> {
    loop {
        let asked = transformers.clone();
        // How often each service is really asked is the provider's business; failures are logged there.
        if asked.has_services() {
            tokio::task::spawn_blocking(move || asked.follow()).await?;
        }
        beat::next(RELOAD_PERIOD).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_set_of_servers_is_one_backend() {
        let kept = |resource: &str, servers: &[&str]| ServersOverride {
            group: "apps".to_owned(),
            resource: resource.to_owned(),
            servers: servers.iter().map(|one| (*one).to_owned()).collect(),
        };
        let overrides = [
            kept("deployments", &["http://b", "http://a"]),
            kept("replicasets", &["http://c"]),
            kept("daemonsets", &["http://a", "http://b"]),
        ];
        let sets: Vec<Vec<String>> = by_servers(&overrides).into_iter().map(|(_, kept)| kept).collect();
        assert_eq!(
            sets,
            [
                vec!["deployments.apps", "daemonsets.apps"],
                vec!["replicasets.apps"]
            ]
        );
    }
}
