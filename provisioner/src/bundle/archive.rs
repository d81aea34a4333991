//! Reading a bundle: signature first, then each part against its hash.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use super::{Entry, Kind, MANIFEST, Manifest, PublicKey, SIGNATURE, packages};
use crate::state::{BadState, private_folder};

/// A manifest of thousands of packages is far smaller.
const LARGEST_MANIFEST: u64 = 16 << 20;
const CUT: &str = "ends before all that its manifest lists; copy it again";

/// Checks a whole bundle and writes nothing.
pub fn verify(path: &Path, key: &PublicKey) -> anyhow::Result<Manifest> {
    read(path, key, |_, _| Ok(Box::new(std::io::sink())))
}

/// Checks a bundle and unpacks it into `folder`, which appears only when everything was right.
pub fn unpack(path: &Path, key: &PublicKey, folder: &Path) -> anyhow::Result<Manifest> {
    let new = folder.with_added_extension(format!("{}.new", std::process::id()));
    let done = unpack_into(path, key, &new).and_then(|manifest| {
        std::fs::rename(&new, folder).with_context(|| format!("cannot write {}", folder.display()))?;
        Ok(manifest)
    });
    if done.is_err() {
        // What is not whole must not be taken for a bundle.
        let _ = std::fs::remove_dir_all(&new);
    }
    done
}

fn unpack_into(path: &Path, key: &PublicKey, new: &Path) -> anyhow::Result<Manifest> {
    use std::os::unix::fs::OpenOptionsExt as _;
    for kind in [Kind::Program, Kind::Image, Kind::Package] {
        private_folder(&new.join(kind.folder()))?;
    }
    let manifest = read(path, key, |entry, _| {
        let file = new.join(entry.kind.folder()).join(&entry.name);
        let mode = if entry.kind == Kind::Program { 0o755 } else { 0o644 };
        let file = std::fs::OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(mode)
            .open(&file)
            .with_context(|| format!("cannot write {}", file.display()))?;
        Ok(Box::new(file))
    })?;
    packages::write_index(&manifest, &new.join(Kind::Package.folder()))?;
    crate::state::write_file(&new.join(MANIFEST), &serde_json::to_vec_pretty(&manifest)?, 0o644)?;
    Ok(manifest)
}

type Sink<'s> = Box<dyn Write + 's>;

fn read<'s>(
    path: &Path,
    key: &PublicKey,
    mut sink: impl FnMut(&Entry, &Manifest) -> anyhow::Result<Sink<'s>>,
) -> anyhow::Result<Manifest> {
    let bad = |problem: String| anyhow::Error::from(BadState::new(path, problem));
    let file = File::open(path).map_err(|error| bad(format!("cannot be read: {error}")))?;
    let mut archive = tar::Archive::new(BufReader::with_capacity(1 << 20, file));
    let mut parts = archive
        .entries()
        .map_err(|error| bad(format!("is not a bundle: {error}")))?;
    let manifest_text = small(parts.next(), MANIFEST).map_err(bad)?;
    let signature = small(parts.next(), SIGNATURE).map_err(bad)?;
    key.check(&manifest_text, &String::from_utf8_lossy(&signature))
        .map_err(bad)?;
    let manifest = Manifest::parse(path, &manifest_text)?;
    for entry in &manifest.entries {
        let part = parts
            .next()
            .ok_or_else(|| bad(CUT.to_owned()))?
            .map_err(|error| bad(format!("{CUT} ({error})")))?;
        let named = part.path().ok().and_then(|name| name.to_str().map(str::to_owned));
        if named.as_deref() != Some(&super::write::blob(&entry.sha256)) {
            return Err(bad(format!(
                "holds {named:?} where its manifest lists {}",
                entry.name
            )));
        }
        let mut out = sink(entry, &manifest)?;
        copy(part, entry, &mut out).map_err(|problem| bad(format!("{}: {problem}", entry.name)))?;
    }
    // Unsigned parts would be nobody's.
    match parts.next() {
        None => Ok(manifest),
        Some(_) => Err(bad("holds more than its manifest lists".to_owned())),
    }
}

fn small(part: Option<std::io::Result<tar::Entry<'_, impl Read>>>, name: &str) -> Result<Vec<u8>, String> {
    let no_bundle = || format!("is not a bundle: {name} is not where it should be");
    let mut part = part
        .ok_or_else(no_bundle)?
        .map_err(|error| format!("is not a bundle: {error}"))?;
    if part.path().ok().as_deref() != Some(Path::new(name)) || part.size() > LARGEST_MANIFEST {
        return Err(no_bundle());
    }
    let mut text = Vec::new();
    part.read_to_end(&mut text)
        .map_err(|error| format!("cannot be read: {error}"))?;
    Ok(text)
}

fn copy(part: impl Read, entry: &Entry, out: &mut dyn Write) -> Result<(), String> {
    let cut = |error: std::io::Error| format!("is damaged or cut off ({error}); copy the bundle again");
    // No more is unpacked than was signed for.
    let mut content = zstd::Decoder::new(part)
        .map_err(cut)?
        .take(entry.size.saturating_add(1));
    let mut hasher = Sha256::new();
    let mut buffer = vec![0u8; 1 << 18];
    let mut size = 0;
    loop {
        let count = content.read(&mut buffer).map_err(cut)?;
        if count == 0 {
            break;
        }
        size += count as u64;
        hasher.update(&buffer[..count]);
        out.write_all(&buffer[..count])
            .map_err(|error| format!("cannot be written: {error}"))?;
    }
    if size != entry.size || hex::encode(hasher.finalize()) != entry.sha256 {
        return Err("is not what was signed; the bundle is damaged or was tampered with: copy it again from where it was made".to_owned());
    }
    out.flush().map_err(|error| format!("cannot be written: {error}"))
}
