//! Keys and certificates of a cluster: kept in its directory, issued when missing or due.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context as _;
use base64::Engine;
use pki::{
    ApiNames, Authority, CertificateAuthority, HostNames, Issued, KeyMaterial, PROFILES, Profile, Scope,
    ServiceAccountKeys, renewal,
};

use crate::inventory::{Inventory, Role};
use crate::render::holds;
use crate::state::{State, write_file};

/// Everything secret, in memory.
pub struct Secrets {
    authorities: BTreeMap<Authority, CertificateAuthority>,
    pub service_account: ServiceAccountKeys,
    pub encryption: EncryptionKey,
    leaves: BTreeMap<(String, &'static str), Issued>,
    /// What was issued in this run: (host, profile, reason).
    pub issued: Vec<(String, &'static str, String)>,
    /// Every text that was made in this run and was not there before; another dry run makes others.
    pub fresh: BTreeSet<String>,
}

/// The key under which Secrets are stored in etcd.
#[derive(Clone)]
pub struct EncryptionKey {
    pub name: String,
    /// 32 bytes, base64.
    pub key: String,
}

/// Leaves of the operator are kept under this name.
pub const OPERATOR: &str = "operator";

impl Secrets {
    pub fn authority(&self, authority: Authority) -> &CertificateAuthority {
        &self.authorities[&authority]
    }

    /// Every certificate: (host, name, PEM). Authorities belong to the operator.
    pub fn certificates(&self) -> Vec<(&str, &str, &str)> {
        let authorities = self
            .authorities
            .iter()
            .map(|(which, authority)| (OPERATOR, which.name(), authority.certificate()));
        let leaves = self
            .leaves
            .iter()
            .map(|((host, profile), leaf)| (host.as_str(), *profile, leaf.certificate.as_str()));
        authorities.chain(leaves).collect()
    }

    pub fn leaf(&self, host: &str, profile: &'static str) -> Option<&Issued> {
        self.leaves.get(&(host.to_owned(), profile))
    }
}

/// Reads what exists, issues what is missing, and (unless `dry`) writes it.
pub fn prepare(inventory: &Inventory, state: &State, now: SystemTime, dry: bool) -> anyhow::Result<Secrets> {
    let folder = state.folder().join("pki");
    let mut authorities = BTreeMap::new();
    let mut fresh = BTreeSet::new();
    for authority in Authority::ALL {
        let value = self::authority(
            state,
            &folder,
            authority,
            &inventory.cluster.name,
            now,
            dry,
            &mut fresh,
        )?;
        authorities.insert(authority, value);
    }
    let mut secrets = Secrets {
        authorities,
        service_account: service_account(state, &folder, dry, &mut fresh)?,
        encryption: encryption(state, &state.folder().join("secrets"), dry, &mut fresh)?,
        leaves: BTreeMap::new(),
        issued: Vec::new(),
        fresh,
    };
    let api = api_names(inventory);
    for profile in PROFILES {
        let operator = profile.scope == Scope::Operator;
        let hosts = inventory
            .hosts
            .iter()
            .filter(|host| holds(inventory, host, profile.scope));
        let mut subjects: Vec<HostNames> = hosts
            .map(|host| HostNames {
                name: host.name.clone(),
                addresses: vec![host.address],
            })
            .collect();
        if operator {
            subjects.push(HostNames {
                name: OPERATOR.to_owned(),
                addresses: Vec::new(),
            });
        }
        for subject in subjects {
            leaf(&mut secrets, state, &folder, profile, &subject, &api, now, dry)?;
        }
    }
    Ok(secrets)
}

fn authority(
    state: &State,
    folder: &Path,
    authority: Authority,
    cluster: &str,
    now: SystemTime,
    dry: bool,
    fresh: &mut BTreeSet<String>,
) -> anyhow::Result<CertificateAuthority> {
    let (certificate, key) = paths(folder, authority.name());
    match (read(&certificate)?, state.read_secret(&key)?) {
        (Some(certificate), Some(key)) => {
            CertificateAuthority::load(&certificate, KeyMaterial::from_pem(key))
                .with_context(|| format!("{} cannot be used", folder.join(authority.name()).display()))
        }
        // The key is written first, so a certificate without one was damaged by hand.
        (Some(_), None) => anyhow::bail!(
            "{} is missing but its certificate exists; restore it from a backup: a new authority would lock out every \
             host",
            key.display()
        ),
        (None, _) => {
            let made = CertificateAuthority::generate(authority, cluster, now)?;
            fresh.insert(made.certificate().to_owned());
            fresh.insert(made.key().pem().to_owned());
            if !dry {
                state.write_secret(&key, made.key().pem())?;
                write_file(&certificate, made.certificate().as_bytes(), 0o644)?;
            }
            Ok(made)
        }
    }
}

fn service_account(
    state: &State,
    folder: &Path,
    dry: bool,
    fresh: &mut BTreeSet<String>,
) -> anyhow::Result<ServiceAccountKeys> {
    let path = folder.join("service-account.key");
    if let Some(key) = state.read_secret(&path)? {
        return ServiceAccountKeys::from_private(KeyMaterial::from_pem(key))
            .with_context(|| format!("{} cannot be used", path.display()));
    }
    let keys = ServiceAccountKeys::generate()?;
    fresh.insert(keys.public.clone());
    fresh.insert(keys.private.pem().to_owned());
    if !dry {
        state.write_secret(&path, keys.private.pem())?;
    }
    Ok(keys)
}

fn encryption(
    state: &State,
    folder: &Path,
    dry: bool,
    fresh: &mut BTreeSet<String>,
) -> anyhow::Result<EncryptionKey> {
    let path = folder.join("encryption-key1");
    let key = match state.read_secret(&path)? {
        Some(key) => key.trim().to_owned(),
        None => {
            let mut bytes = [0u8; 32];
            rand::fill(&mut bytes);
            let key = base64::engine::general_purpose::STANDARD.encode(bytes);
            fresh.insert(key.clone());
            if !dry {
                state.write_secret(&path, &key)?;
            }
            key
        }
    };
    Ok(EncryptionKey {
        name: "key1".to_owned(),
        key,
    })
}

fn leaf(
    secrets: &mut Secrets,
    state: &State,
    folder: &Path,
    profile: &'static Profile,
    subject: &HostNames,
    api: &ApiNames,
    now: SystemTime,
    dry: bool,
) -> anyhow::Result<()> {
    let (certificate, key) = paths(&folder.join("leaves").join(&subject.name), profile.name);
    let request = profile.request(subject, api);
    let authority = &secrets.authorities[&profile.authority];
    let held = match (read(&certificate)?, state.read_secret(&key)?) {
        (Some(certificate), Some(key)) => Some(Issued {
            certificate,
            key: KeyMaterial::from_pem(key),
        }),
        _ => None,
    };
    let reason = match &held {
        None => Some("new".to_owned()),
        Some(held) => {
            renewal(held, &request, authority.certificate(), now).map(|reason| format!("{reason:?}"))
        }
    };
    let issued = match (held, reason) {
        (Some(held), None) => held,
        (_, reason) => {
            let issued = authority.issue(&request, now)?;
            if !dry {
                state.write_secret(&key, issued.key.pem())?;
                write_file(&certificate, issued.certificate.as_bytes(), 0o644)?;
            }
            secrets.fresh.insert(issued.certificate.clone());
            secrets.fresh.insert(issued.key.pem().to_owned());
            let reason = reason.unwrap_or_default();
            secrets.issued.push((subject.name.clone(), profile.name, reason));
            issued
        }
    };
    secrets
        .leaves
        .insert((subject.name.clone(), profile.name), issued);
    Ok(())
}

/// Every name and address under which the API is reached.
fn api_names(inventory: &Inventory) -> ApiNames {
    let mut dns_names = Vec::new();
    let mut addresses = Vec::new();
    for host in &inventory.hosts {
        if host.has(Role::ControlPlane) || host.has(Role::LoadBalancer) {
            dns_names.push(host.name.clone());
            addresses.push(host.address);
        }
    }
    if let Some(endpoint) = &inventory.cluster.api_endpoint {
        let host = endpoint
            .rsplit_once(':')
            .map_or(endpoint.as_str(), |(host, _)| host);
        match host.parse() {
            Ok(address) => addresses.push(address),
            Err(_) => dns_names.push(host.to_owned()),
        }
    }
    ApiNames {
        cluster_domain: inventory.cluster.cluster_domain.clone(),
        service_address: inventory.kubernetes_service().into(),
        dns_names,
        addresses,
    }
}

fn paths(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    (
        folder.join(format!("{name}.crt")),
        folder.join(format!("{name}.key")),
    )
}

fn read(path: &Path) -> anyhow::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}
