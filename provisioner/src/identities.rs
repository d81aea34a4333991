//! Keys and certificates of a cluster: kept in its directory, issued when missing or due.

mod files;
mod slots;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use pki::{
    ApiNames, Authority, CertificateAuthority, HostNames, Issued, KeyMaterial, PROFILES, Profile, Scope,
    ServiceAccountKeys, renewal,
};

use crate::inventory::{Inventory, Role};
use crate::render::holds;
use crate::rotation::{Rotation, Subject, holding};
use crate::state::{State, write_file};

pub use slots::{clean, promote, withdraw};

/// Everything secret, in memory.
pub struct Secrets {
    /// Empty on a worker that has taken itself in.
    authorities: BTreeMap<Authority, Held>,
    /// PEM certificates by authority.
    trusted: BTreeMap<Authority, String>,
    /// Signs service-account tokens.
    pub service_account: ServiceAccountKeys,
    /// PEM `PUBLIC KEY`s that verify them.
    pub token_verifiers: String,
    /// The first one encrypts, all decrypt.
    pub encryption: Vec<EncryptionKey>,
    leaves: BTreeMap<(String, &'static str), Issued>,
    /// What was issued in this run: (host, profile, reason).
    pub issued: Vec<(String, &'static str, String)>,
    /// Every text that was made in this run and was not there before; another dry run makes others.
    pub fresh: BTreeSet<String>,
}

/// One authority: outside of a rotation all three are the same.
struct Held {
    issues: CertificateAuthority,
    signs: CertificateAuthority,
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
    /// What a worker holds that has taken itself in: no authority's key.
    pub fn of_worker(
        trusted: BTreeMap<Authority, String>,
        leaves: BTreeMap<(String, &'static str), Issued>,
    ) -> anyhow::Result<Secrets> {
        Ok(Secrets {
            authorities: BTreeMap::new(),
            trusted,
            // Signs nothing: no worker holds this key.
            service_account: ServiceAccountKeys::generate()?,
            token_verifiers: String::new(),
            encryption: Vec::new(),
            leaves,
            issued: Vec::new(),
            fresh: BTreeSet::new(),
        })
    }

    /// The authority that issues leaves.
    pub fn authority(&self, authority: Authority) -> &CertificateAuthority {
        &self.authorities[&authority].issues
    }

    /// The authority that signs certificate requests in the cluster.
    pub fn signer(&self) -> &CertificateAuthority {
        &self.authorities[&Authority::Kubernetes].signs
    }

    /// PEM certificates of all that are trusted, one after the other.
    pub fn trusted(&self, authority: Authority) -> &str {
        self.trusted.get(&authority).map_or("", String::as_str)
    }

    /// Every certificate: (host, name, PEM). Authorities belong to the operator.
    pub fn certificates(&self) -> Vec<(&str, &str, &str)> {
        let authorities = self
            .authorities
            .iter()
            .map(|(which, held)| (OPERATOR, which.name(), held.issues.certificate()));
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

/// Reads what exists, issues what is missing, and (unless `dry`) writes it. A rotation that is under way decides
/// which authority issues and what is trusted.
pub fn prepare(inventory: &Inventory, state: &State, now: SystemTime, dry: bool) -> anyhow::Result<Secrets> {
    let rotation = state.record()?.rotation;
    let rotation = rotation.as_ref();
    let mut slots = slots::Slots {
        state,
        cluster: &inventory.cluster.name,
        now,
        dry,
        fresh: BTreeSet::new(),
    };
    let (mut authorities, mut trusted) = (BTreeMap::new(), BTreeMap::new());
    for authority in Authority::ALL {
        let (held, certificates) = slots.authority(authority, holding(rotation, Subject::of(authority)))?;
        authorities.insert(authority, held);
        trusted.insert(authority, certificates);
    }
    let (service_account, token_verifiers) =
        slots.service_account(holding(rotation, Subject::ServiceAccountKey))?;
    let encryption = slots.encryption(holding(rotation, Subject::EncryptionKey))?;
    let mut secrets = Secrets {
        authorities,
        trusted,
        service_account,
        token_verifiers,
        encryption,
        leaves: BTreeMap::new(),
        issued: Vec::new(),
        fresh: slots.fresh,
    };
    let issue = Issue {
        state,
        api: api_names(inventory),
        not_before: renew_before(rotation),
        lifetime: rotation
            .and_then(|rotation| rotation.lifetime)
            .map(Duration::from_secs),
        now,
        dry,
    };
    for profile in PROFILES {
        for subject in subjects(inventory, profile) {
            issue.leaf(&mut secrets, profile, &subject)?;
        }
    }
    Ok(secrets)
}

/// Replaces authorities that have expired; the old certificates are kept for reference. Returns their names.
pub fn replace_expired(
    inventory: &Inventory,
    state: &State,
    now: SystemTime,
) -> anyhow::Result<Vec<&'static str>> {
    let mut replaced = Vec::new();
    for authority in Authority::ALL {
        if slots::replace_if_expired(state, authority, &inventory.cluster.name, now)? {
            replaced.push(authority.name());
        }
    }
    Ok(replaced)
}

fn subjects(inventory: &Inventory, profile: &Profile) -> Vec<HostNames> {
    if profile.scope == Scope::Operator {
        return vec![HostNames {
            name: OPERATOR.to_owned(),
            addresses: Vec::new(),
        }];
    }
    inventory
        .hosts
        .iter()
        .filter(|host| holds(inventory, host, profile.scope))
        .map(|host| HostNames {
            name: host.name.clone(),
            addresses: vec![host.address],
        })
        .collect()
}

/// Leaves from before this moment are issued anew.
fn renew_before(rotation: Option<&Rotation>) -> Option<SystemTime> {
    rotation
        .filter(|rotation| rotation.subjects.contains(&Subject::Leaves))
        .map(|rotation| SystemTime::UNIX_EPOCH + Duration::from_secs(rotation.started))
}

/// How leaves are issued in this run.
struct Issue<'a> {
    state: &'a State,
    api: ApiNames,
    not_before: Option<SystemTime>,
    lifetime: Option<Duration>,
    now: SystemTime,
    dry: bool,
}

impl Issue<'_> {
    fn leaf(
        &self,
        secrets: &mut Secrets,
        profile: &'static Profile,
        subject: &HostNames,
    ) -> anyhow::Result<()> {
        let leaves = self.state.folder().join("pki/leaves");
        let (certificate, key) = files::paths(&leaves.join(&subject.name), profile.name);
        let mut request = profile.request(subject, &self.api);
        if let Some(lifetime) = self.lifetime {
            request.lifetime = lifetime;
        }
        let authority = secrets.authority(profile.authority);
        let held = match (files::read(&certificate)?, self.state.read_secret(&key)?) {
            (Some(certificate), Some(key)) => Some(Issued {
                certificate,
                key: KeyMaterial::from_pem(key),
            }),
            _ => None,
        };
        let reason = match &held {
            None => Some("new".to_owned()),
            Some(held) => renewal(held, &request, authority.certificate(), self.now)
                .map(|reason| format!("{reason:?}"))
                .or_else(|| self.is_due(held).then(|| "rotated".to_owned())),
        };
        let issued = match (held, reason) {
            (Some(held), None) => held,
            (_, reason) => {
                let issued = authority.issue(&request, self.now)?;
                if !self.dry {
                    self.state.write_secret(&key, issued.key.pem())?;
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

    /// True for a leaf from before the rotation of leaves began.
    fn is_due(&self, held: &Issued) -> bool {
        let Some(begun) = self.not_before else {
            return false;
        };
        pki::inspect(&held.certificate).map_or(true, |found| found.not_before + pki::BACKDATED < begun)
    }
}

/// Every name and address under which the API is reached.
pub fn api_names(inventory: &Inventory) -> ApiNames {
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
