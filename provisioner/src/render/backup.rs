use std::net::{Ipv4Addr, SocketAddr};

use serde_json::Value;

use super::Cluster;
use crate::backup::{Destination, Settings};
use crate::desired::{Desired, File, GENERATION};
use crate::inventory::Host;
use crate::templates::TemplateError;

const SERVICE: &str = "hardway-backup.service";

/// What a member of etcd needs to take snapshots by itself. The timer is a unit; its service is only ever started by it.
pub fn add(
    cluster: &Cluster<'_>,
    host: &Host,
    values: &Value,
    desired: &mut Desired,
) -> Result<(), TemplateError> {
    let inventory = cluster.inventory;
    let Some(backup) = inventory.backup.as_ref().filter(|_| inventory.runs_etcd(host)) else {
        return Ok(());
    };
    let at = |path: &str| format!("{GENERATION}/{path}").into();
    let mut settings = Settings {
        cluster: inventory.cluster.name.clone(),
        member: host.name.clone(),
        etcd: SocketAddr::from((Ipv4Addr::LOCALHOST, 2379)),
        directory: backup.directory.clone(),
        keep: backup.keep.into(),
        encryption_keys: cluster
            .secrets
            .encryption
            .iter()
            .map(|key| key.name.clone())
            .collect(),
        s3: None,
    };
    if let Some(s3) = &backup.s3 {
        desired.files.push(File::secret(
            "config/backup-s3.toml",
            "etcd",
            s3.credentials.to_toml(),
        ));
        if let Some(authority) = &s3.authority {
            desired
                .files
                .push(File::public("config/backup-authority.crt", authority.as_str()));
        }
        settings.s3 = Some(Destination {
            endpoint: s3.endpoint.clone(),
            bucket: s3.bucket.clone(),
            prefix: s3.prefix.clone(),
            region: s3.region.clone(),
            credentials: at("config/backup-s3.toml"),
            authority: s3.authority.as_ref().map(|_| at("config/backup-authority.crt")),
        });
    }
    // Settings always have a JSON form.
    let text = serde_json::to_string_pretty(&settings).unwrap_or_default() + "\n";
    desired.files.push(File::public("config/backup.json", text));
    let unit = format!("units/{SERVICE}");
    desired.links.push((
        format!("/etc/systemd/system/{SERVICE}"),
        format!("{GENERATION}/{unit}"),
    ));
    desired
        .files
        .push(File::public(unit, cluster.templates.render(SERVICE, values)?));
    Ok(())
}
