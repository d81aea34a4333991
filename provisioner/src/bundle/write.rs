use std::fs::File;
use std::io::{BufWriter, Read as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::packages::Package;
use super::{Entry, FORMAT, Kind, MANIFEST, Manifest, SIGNATURE, SigningKey};
use crate::artifacts::Release;
use crate::desired::sha256;
use crate::upgrade::Version;

/// Where a blob stands in the archive.
pub fn blob(sha256: &str) -> String {
    format!("blobs/{sha256}.zst")
}

/// Packs a release and packages into `out`, signed; the file appears only when it is whole.
pub fn write(
    out: &Path,
    release: &Release,
    packages: &[Package],
    key: &SigningKey,
) -> anyhow::Result<Manifest> {
    let mut parts: Vec<(Entry, PathBuf)> = Vec::new();
    for artifact in &release.artifacts {
        let (kind, version) = match &artifact.image {
            Some(reference) => (
                Kind::Image,
                reference.rsplit_once(':').map_or("", |(_, tag)| tag).to_owned(),
            ),
            None => (Kind::Program, version_of(&artifact.name, &artifact.source)),
        };
        let entry = Entry {
            kind,
            name: artifact.name.clone(),
            version,
            size: artifact.size,
            sha256: artifact.sha256.clone(),
            about: artifact.image.clone().unwrap_or_default(),
        };
        parts.push((entry, artifact.source.clone()));
    }
    for package in packages {
        parts.push((package.entry.clone(), package.path.clone()));
    }
    let manifest = Manifest {
        format: FORMAT,
        hardway: env!("CARGO_PKG_VERSION").to_owned(),
        created: jiff::Timestamp::now(),
        architecture: std::env::consts::ARCH.to_owned(),
        entries: parts.iter().map(|(entry, _)| entry.clone()).collect(),
    };
    let text = serde_json::to_vec_pretty(&manifest)?;
    let signature = key.sign(&text, &format!("hardway bundle of {}", manifest.created))?;
    let new = out.with_added_extension("new");
    let written = pack(&new, &text, &signature, &parts)
        .and_then(|()| std::fs::rename(&new, out).with_context(|| format!("cannot write {}", out.display())));
    if written.is_err() {
        // What is not whole must not be taken for a bundle.
        let _ = std::fs::remove_file(&new);
    }
    written.map(|()| manifest)
}

fn pack(out: &Path, manifest: &[u8], signature: &str, parts: &[(Entry, PathBuf)]) -> anyhow::Result<()> {
    let context = || format!("cannot write {}", out.display());
    let file = File::create(out).with_context(context)?;
    let mut archive = tar::Builder::new(BufWriter::with_capacity(1 << 20, file));
    let mut add = |name: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        archive
            .append_data(&mut header, name, content)
            .with_context(context)
    };
    add(MANIFEST, manifest)?;
    add(SIGNATURE, signature.as_bytes())?;
    for (entry, source) in parts {
        let mut content = Vec::new();
        File::open(source)
            .and_then(|mut file| file.read_to_end(&mut content))
            .with_context(|| format!("cannot read {}", source.display()))?;
        anyhow::ensure!(
            sha256(&content) == entry.sha256,
            "{} changed while it was being read; run the command again",
            source.display()
        );
        let packed = zstd::encode_all(content.as_slice(), 3).with_context(context)?;
        add(&blob(&entry.sha256), &packed)?;
    }
    let file = archive
        .into_inner()
        .with_context(context)?
        .into_inner()
        .map_err(|error| error.into_error())
        .with_context(context)?;
    file.sync_all().with_context(context)
}

/// What a program says of itself; ours that say nothing have hardway's version.
fn version_of(name: &str, path: &Path) -> String {
    let silent = ["pause", "smoke-probe"].contains(&name);
    let said = (!silent)
        .then(|| std::process::Command::new(path).arg("--version").output().ok())
        .flatten()
        .and_then(|output| Version::find(&String::from_utf8_lossy(&output.stdout)));
    said.map_or_else(
        || env!("CARGO_PKG_VERSION").to_owned(),
        |version| version.to_string(),
    )
}
