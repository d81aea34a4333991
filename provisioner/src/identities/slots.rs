//! The old and the new one of each authority and key. The new one is kept in `next/` until it is promoted.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context as _;
use base64::Engine as _;
use pki::{Authority, CertificateAuthority, KeyMaterial, ServiceAccountKeys};

use super::files::{paths, read, remove, rename};
use super::{EncryptionKey, Held};
use crate::rotation::{Holding, Rotation, Subject, Which};
use crate::state::{State, write_file};

pub const NEXT: &str = "next";
const TOKEN_KEY: &str = "service-account";
const ENCRYPTION_KEY: &str = "encryption-key";

/// Reads the slots, and fills those that are needed and empty.
pub struct Slots<'a> {
    pub state: &'a State,
    pub cluster: &'a str,
    pub now: SystemTime,
    pub dry: bool,
    /// Every text that was made by this and was not there before.
    pub fresh: BTreeSet<String>,
}

impl Slots<'_> {
    fn pki(&self) -> PathBuf {
        self.state.folder().join("pki")
    }

    /// True when the new one has taken the old one's place already.
    fn promoted(&self, name: &str) -> anyhow::Result<bool> {
        Ok(read(&marker(&self.pki(), name))?.is_some())
    }

    /// One authority, and the certificates (PEM) that are trusted in its stead.
    pub fn authority(&mut self, authority: Authority, holding: Holding) -> anyhow::Result<(Held, String)> {
        let (cluster, now) = (self.cluster, self.now);
        let folder = self.pki();
        let old = self.load_or(&folder, authority, || {
            CertificateAuthority::generate(authority, cluster, now)
        })?;
        let new = match holding.trusted.contains(&Which::New) && !self.promoted(authority.name())? {
            true => Some(self.load_or(&folder.join(NEXT), authority, || {
                old.successor(authority, cluster, now)
            })?),
            false => None,
        };
        let of = |which| match which {
            Which::Old => &old,
            Which::New => new.as_ref().unwrap_or(&old),
        };
        let copy = |which| {
            let authority = of(which);
            CertificateAuthority::load(authority.certificate(), authority.key().clone())
        };
        let held = Held {
            issues: copy(holding.issues)?,
            signs: copy(holding.signs)?,
        };
        let trusted = holding.trusted.iter();
        Ok((held, trusted.map(|which| of(*which).certificate()).collect()))
    }

    fn load_or(
        &mut self,
        folder: &Path,
        authority: Authority,
        make: impl FnOnce() -> Result<CertificateAuthority, pki::PkiError>,
    ) -> anyhow::Result<CertificateAuthority> {
        let name = authority.name();
        let (certificate, key) = paths(folder, name);
        match (read(&certificate)?, self.state.read_secret(&key)?) {
            (Some(certificate), Some(key)) => {
                CertificateAuthority::load(&certificate, KeyMaterial::from_pem(key))
                    .with_context(|| format!("{} cannot be used", folder.join(name).display()))
            }
            // The key is written first, so a certificate without one was damaged by hand.
            (Some(_), None) => anyhow::bail!(
                "{} is missing but its certificate exists; restore it from a backup: a new authority would lock out \
                 every host",
                key.display()
            ),
            (None, _) => {
                let made = make()?;
                self.fresh.insert(made.certificate().to_owned());
                self.fresh.insert(made.key().pem().to_owned());
                if !self.dry {
                    self.state.write_secret(&key, made.key().pem())?;
                    write_file(&certificate, made.certificate().as_bytes(), 0o644)?;
                }
                Ok(made)
            }
        }
    }

    /// The pair that signs tokens, and the public keys that verify them.
    pub fn service_account(&mut self, holding: Holding) -> anyhow::Result<(ServiceAccountKeys, String)> {
        let folder = self.pki();
        let file = format!("{TOKEN_KEY}.key");
        let old = self.token_key(&folder.join(&file))?;
        let new = match holding.trusted.contains(&Which::New) && !self.promoted(TOKEN_KEY)? {
            true => self.token_key(&folder.join(NEXT).join(&file))?,
            false => old.clone(),
        };
        let of = |which| match which {
            Which::Old => &old,
            Which::New => &new,
        };
        let verifiers = holding
            .trusted
            .iter()
            .map(|which| of(*which).public.as_str())
            .collect();
        Ok((of(holding.signs).clone(), verifiers))
    }

    fn token_key(&mut self, path: &Path) -> anyhow::Result<ServiceAccountKeys> {
        if let Some(key) = self.state.read_secret(path)? {
            return ServiceAccountKeys::from_private(KeyMaterial::from_pem(key))
                .with_context(|| format!("{} cannot be used", path.display()));
        }
        let keys = ServiceAccountKeys::generate()?;
        self.fresh.insert(keys.public.clone());
        self.fresh.insert(keys.private.pem().to_owned());
        if !self.dry {
            self.state.write_secret(path, keys.private.pem())?;
        }
        Ok(keys)
    }

    /// Keys in the order of `holding`. They are numbered: the highest is the new one while there are two.
    pub fn encryption(&mut self, holding: Holding) -> anyhow::Result<Vec<EncryptionKey>> {
        let folder = self.state.folder().join("secrets");
        let numbers = encryption_numbers(&folder)?;
        let old = numbers.first().copied().unwrap_or(1);
        let new = match numbers.last() {
            Some(last) if *last > old => *last,
            // The old one is gone when the rotation was about to end.
            _ if holding.trusted == [Which::New] => old,
            _ => old.saturating_add(1),
        };
        let mut keys = Vec::new();
        for which in holding.trusted {
            let number = if *which == Which::Old { old } else { new };
            keys.push(EncryptionKey {
                name: format!("key{number}"),
                key: self.encryption_key(&folder.join(format!("{ENCRYPTION_KEY}{number}")))?,
            });
        }
        Ok(keys)
    }

    fn encryption_key(&mut self, path: &Path) -> anyhow::Result<String> {
        if let Some(key) = self.state.read_secret(path)? {
            return Ok(key.trim().to_owned());
        }
        let mut bytes = [0u8; 32];
        rand::fill(&mut bytes);
        let key = base64::engine::general_purpose::STANDARD.encode(bytes);
        self.fresh.insert(key.clone());
        if !self.dry {
            self.state.write_secret(path, &key)?;
        }
        Ok(key)
    }
}

fn marker(pki: &Path, name: &str) -> PathBuf {
    pki.join("retired").join(format!("{name}.promoted"))
}

fn encryption_numbers(folder: &Path) -> anyhow::Result<BTreeSet<u32>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", folder.display())),
    };
    let mut numbers = BTreeSet::new();
    for entry in entries {
        let name = entry
            .with_context(|| format!("cannot read {}", folder.display()))?
            .file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(ENCRYPTION_KEY));
        numbers.extend(number.and_then(|number| number.parse::<u32>().ok()));
    }
    Ok(numbers)
}

/// Authorities' names among the subjects, and that of the token key.
fn names(rotation: &Rotation) -> Vec<(&'static str, bool)> {
    let mut names: Vec<(&'static str, bool)> = Authority::ALL
        .into_iter()
        .filter(|authority| rotation.subjects.contains(&Subject::of(*authority)))
        .map(|authority| (authority.name(), true))
        .collect();
    if rotation.subjects.contains(&Subject::ServiceAccountKey) {
        names.push((TOKEN_KEY, false));
    }
    names
}

/// The new ones take the old ones' place; old certificates and encryption keys are kept, other old keys are not.
/// A cut anywhere is finished by calling it again.
pub fn promote(state: &State, rotation: &Rotation) -> anyhow::Result<()> {
    let folder = state.folder().join("pki");
    let next = folder.join(NEXT);
    for (name, has_certificate) in names(rotation) {
        let ((certificate, key), (new_certificate, new_key)) = (paths(&folder, name), paths(&next, name));
        let marker = marker(&folder, name);
        if read(&marker)?.is_some() {
            continue;
        }
        if has_certificate
            && let (Some(old), Some(new)) = (read(&certificate)?, read(&new_certificate)?)
            && old != new
        {
            let serial = pki::inspect(&old)?.serial;
            let retired = folder.join("retired").join(format!("{name}-{serial}.crt"));
            write_file(&retired, old.as_bytes(), 0o644)?;
            write_file(&certificate, new.as_bytes(), 0o644)?;
        }
        // Copied, and removed from `next/` only when the rotation has ended: until then the pair there counts.
        if let Some(new) = state.read_secret(&new_key)? {
            state.write_secret(&key, &new)?;
        }
        write_file(&marker, b"", 0o600)?;
    }
    if rotation.subjects.contains(&Subject::EncryptionKey) {
        let folder = state.folder().join("secrets");
        let numbers = encryption_numbers(&folder)?;
        // Kept under another name: snapshots of etcd from before need it.
        for old in numbers.iter().take(numbers.len().saturating_sub(1)) {
            put_away(&folder, *old, "retired")?;
        }
    }
    Ok(())
}

/// A new authority in the place of one that has expired: nobody can be told to trust both any more.
pub fn replace_if_expired(
    state: &State,
    authority: Authority,
    cluster: &str,
    now: SystemTime,
) -> anyhow::Result<bool> {
    let folder = state.folder().join("pki");
    let (certificate, key) = paths(&folder, authority.name());
    let (Some(old), Some(old_key)) = (read(&certificate)?, state.read_secret(&key)?) else {
        return Ok(false);
    };
    if !pki::inspect(&old)?.remaining(now).is_zero() {
        return Ok(false);
    }
    let successor = CertificateAuthority::load(&old, KeyMaterial::from_pem(old_key))?
        .successor(authority, cluster, now)?;
    let serial = pki::inspect(&old)?.serial;
    let retired = folder
        .join("retired")
        .join(format!("{}-{serial}.crt", authority.name()));
    write_file(&retired, old.as_bytes(), 0o644)?;
    // The certificate goes first: a cut leaves an expired one's key with a new certificate nowhere.
    remove(&certificate)?;
    state.write_secret(&key, successor.key().pem())?;
    write_file(&certificate, successor.certificate().as_bytes(), 0o644)?;
    Ok(true)
}

fn put_away(folder: &Path, number: u32, why: &str) -> anyhow::Result<()> {
    rename(
        &folder.join(format!("{ENCRYPTION_KEY}{number}")),
        &folder.join(format!("{why}-key{number}")),
    )
}

/// Takes back what a rotation made and nothing uses any more.
pub fn withdraw(state: &State, rotation: &Rotation) -> anyhow::Result<()> {
    if rotation.subjects.contains(&Subject::EncryptionKey) {
        let folder = state.folder().join("secrets");
        for new in encryption_numbers(&folder)?.iter().skip(1) {
            put_away(&folder, *new, "withdrawn")?;
        }
    }
    clean(state)
}

/// Removes what rotations that have ended leave behind: the slots in `next/` and the marks of promotion.
pub fn clean(state: &State) -> anyhow::Result<()> {
    let folder = state.folder().join("pki");
    for name in Authority::ALL.map(Authority::name).into_iter().chain([TOKEN_KEY]) {
        let (certificate, key) = paths(&folder.join(NEXT), name);
        for path in [certificate, key, marker(&folder, name)] {
            remove(&path)?;
        }
    }
    Ok(())
}
