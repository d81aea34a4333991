//! Everything that a bootstrap needs in one signed file, for hosts and operators without a network: programs, images
//! and Debian packages.
//!
//! A bundle is a tar archive: `manifest.json`, its minisign signature, then `blobs/<sha256>.zst` in the manifest's
//! order. Nothing of it is used before the signature has been checked, and nothing before its own hash has.

mod archive;
mod key;
mod packages;
mod prepare;
mod write;

pub use archive::{unpack, verify};
pub use key::{PublicKey, SigningKey, make_key};
pub use packages::{Source, debian_mirror, install, wanted};
pub use prepare::{Prepared, prepare};
pub use write::write;

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::state::BadState;

const MANIFEST: &str = "manifest.json";
const SIGNATURE: &str = "manifest.json.minisig";
const FORMAT: u32 = 1;

/// What a bundle holds; this is what is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    /// Version of the hardway that made it.
    pub hardway: String,
    pub created: jiff::Timestamp,
    /// As the kernel calls it, for example `x86_64`.
    pub architecture: String,
    pub entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub kind: Kind,
    /// File name where it is unpacked.
    pub name: String,
    pub version: String,
    pub size: u64,
    pub sha256: String,
    /// A package's control file, or the reference of an image.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Program,
    Image,
    Package,
}

impl Kind {
    /// The folder of an unpacked bundle that holds these.
    pub fn folder(self) -> &'static str {
        match self {
            Kind::Program => "bin",
            Kind::Image => "images",
            Kind::Package => "packages",
        }
    }
}

impl Manifest {
    /// Reads what stands in a bundle; anything that this program would misunderstand is refused.
    fn parse(path: &Path, text: &[u8]) -> Result<Manifest, BadState> {
        let bad = |problem: String| BadState::new(path, problem);
        let manifest: Manifest = serde_json::from_slice(text)
            .map_err(|error| bad(format!("has a manifest that cannot be read ({error})")))?;
        if manifest.format != FORMAT {
            return Err(bad(format!(
                "has format {}, this hardway reads {FORMAT}; use the hardway that made it ({})",
                manifest.format, manifest.hardway
            )));
        }
        for entry in &manifest.entries {
            let plain = |letter: char| letter.is_ascii_alphanumeric() || "-._+~".contains(letter);
            let name_is_safe =
                !entry.name.is_empty() && !entry.name.starts_with('.') && entry.name.chars().all(plain);
            let is_hash =
                entry.sha256.len() == 64 && entry.sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !name_is_safe || !is_hash {
                return Err(bad(format!("lists {:?}, which is no name of a file", entry.name)));
            }
        }
        let mut names = BTreeSet::new();
        if let Some(twice) = manifest
            .entries
            .iter()
            .find(|entry| !names.insert((entry.kind, &entry.name)))
        {
            return Err(bad(format!("lists {:?} twice", twice.name)));
        }
        let mut sizes = manifest.entries.iter().map(|entry| entry.size);
        if sizes.try_fold(0, u64::checked_add).is_none() {
            return Err(bad("lists more bytes than there can be".to_owned()));
        }
        Ok(manifest)
    }

    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.kind == kind)
    }

    /// Size of what is in it, unpacked.
    pub fn size(&self) -> u64 {
        self.entries.iter().map(|entry| entry.size).sum()
    }
}

#[cfg(test)]
mod tests;
