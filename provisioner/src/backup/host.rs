//! What the service on a host does.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use pki::{Issued, KeyMaterial};
use serde::{Deserialize, Serialize};

use super::{prefix, send};
use crate::desired::GENERATION;
use crate::etcd::snapshot::{self, Snapshot};
use crate::etcd::{Member, Source};
use crate::inventory::{Credentials, S3};
use crate::s3::Store;

/// `config/backup.json` on a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub cluster: String,
    pub member: String,
    /// Where this host's etcd listens.
    pub etcd: SocketAddr,
    pub directory: PathBuf,
    pub keep: usize,
    pub encryption_keys: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<Destination>,
}

/// Where snapshots are sent; the credentials stand in a file of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destination {
    pub endpoint: String,
    pub bucket: String,
    pub prefix: String,
    pub region: String,
    pub credentials: PathBuf,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<PathBuf>,
}

/// Takes a snapshot of this host's member, checks it, drops the oldest and sends it. One that could not be sent is
/// kept, and the error ends the service, so that systemd shows it.
pub fn run(settings: &Path) -> anyhow::Result<(Snapshot, Option<String>)> {
    let read = |path: &Path| {
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
    };
    let pki = Path::new(GENERATION).join("pki");
    let identity = Issued {
        certificate: read(&pki.join("etcd-health.crt"))?,
        key: KeyMaterial::from_pem(read(&pki.join("etcd-health.key"))?),
    };
    let authority = read(&pki.join("etcd-ca.crt"))?;
    let settings: Settings = serde_json::from_str(&read(settings)?)
        .with_context(|| format!("{} is damaged", settings.display()))?;
    let member = Member::at(&settings.member, settings.etcd, &authority, &identity)?;
    anyhow::ensure!(
        member.is_healthy()?,
        "etcd of this host is not healthy; what it holds may be old"
    );
    let source = Source {
        cluster: settings.cluster.clone(),
        encryption_keys: settings.encryption_keys.clone(),
    };
    let snapshot = snapshot::take(&settings.directory, &member, source, settings.keep)?;
    let Some(destination) = &settings.s3 else {
        return Ok((snapshot, None));
    };
    let s3 = destination.load()?;
    let prefix = prefix(&s3, &settings.cluster, &settings.member);
    let key = send(
        &Store::open(&s3)?,
        &prefix,
        &settings.directory,
        &snapshot,
        settings.keep,
    )
    .with_context(|| format!("{} was taken and is kept here, but not sent", snapshot.file))?;
    Ok((snapshot, Some(format!("s3://{}/{key}", s3.bucket))))
}

impl Destination {
    fn load(&self) -> anyhow::Result<S3> {
        let credentials = Credentials::load(&self.credentials)
            .map_err(|(problem, _)| anyhow::anyhow!("{} {problem}", self.credentials.display()))?;
        let authority = self
            .authority
            .as_ref()
            .map(|path| {
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
            })
            .transpose()?;
        Ok(S3 {
            endpoint: self.endpoint.clone(),
            bucket: self.bucket.clone(),
            prefix: self.prefix.clone(),
            region: self.region.clone(),
            credentials,
            authority,
        })
    }
}
