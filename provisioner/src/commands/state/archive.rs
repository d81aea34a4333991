use std::io::{Read, Write};
use std::path::{Component, Path, PathBuf};

use anyhow::Context as _;

use crate::state::vault::{Lockers, Vault};
use crate::state::{BadState, OpenOptions, State, private_folder, read_file, write_file};

/// What an export holds beside single files at the top.
const FOLDERS: &[&str] = &["pki", "secrets"];
const NOT_EXPORTED: &[&str] = &["lock", "cache"];
/// More than any cluster's keys need.
const LARGEST: u64 = 64 << 20;
const LARGEST_FILE: u64 = 16 << 20;

/// Every file below a folder but the lock and the cache, sorted.
pub fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                walk(&entry.path(), found)?;
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
        Ok(())
    }
    let mut found = Vec::new();
    walk(folder, &mut found).with_context(|| format!("cannot read {}", folder.display()))?;
    found.retain(|path| {
        let first = path
            .strip_prefix(folder)
            .ok()
            .and_then(|path| path.components().next());
        !first.is_some_and(|first| NOT_EXPORTED.iter().any(|name| first.as_os_str() == *name))
    });
    found.sort();
    Ok(found)
}

/// Writes the directory as a compressed tar archive, encrypted to `lockers` when given. Snapshots are no part of it: they
/// are large, and the hosts' own ones do not lie here either.
pub fn export(state: &State, file: &Path, lockers: Option<&Lockers>) -> anyhow::Result<()> {
    let context = || format!("cannot pack {}", state.folder().display());
    let mut builder = tar::Builder::new(zstd::Encoder::new(Vec::new(), 3).with_context(context)?);
    for path in files(state.folder())? {
        let name = path.strip_prefix(state.folder()).unwrap_or(&path);
        if !belongs(name) {
            continue;
        }
        let content = read_file(&path)?.unwrap_or_default();
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(0);
        builder
            .append_data(&mut header, name, content.as_slice())
            .with_context(context)?;
    }
    let packed = builder
        .into_inner()
        .and_then(zstd::Encoder::finish)
        .with_context(context)?;
    let packed = match lockers {
        None => packed,
        Some(lockers) => seal(&packed, lockers)?,
    };
    write_file(file, &packed, 0o600)
}

fn seal(packed: &[u8], lockers: &Lockers) -> anyhow::Result<Vec<u8>> {
    let encryptor = match lockers {
        Lockers::Passphrase(passphrase) => age::Encryptor::with_user_passphrase(passphrase.clone()),
        Lockers::Recipients(recipients) => age::Encryptor::with_recipients(
            recipients
                .iter()
                .map(|recipient| recipient as &dyn age::Recipient),
        )
        .context("these recipients cannot be used")?,
    };
    let mut sealed = Vec::new();
    let mut writer = encryptor.wrap_output(&mut sealed).context("cannot encrypt")?;
    writer.write_all(packed).context("cannot encrypt")?;
    writer.finish().context("cannot encrypt")?;
    Ok(sealed)
}

/// Makes the cluster's directory from an export: checked whole beside its place, then renamed into it.
pub fn import(
    inventory: &Path,
    options: &OpenOptions,
    file: &Path,
    replace: bool,
) -> anyhow::Result<PathBuf> {
    let folder = State::folder_of(inventory);
    let text = read_file(file)?.with_context(|| format!("{} does not exist", file.display()))?;
    let text = Vault::of(&folder, options.unlock.clone()).unseal(file, text)?;
    let entries = unpack(file, &text)?;
    // Nobody works on the directory that is there.
    let held = folder
        .exists()
        .then(|| State::open(inventory, "state import", options))
        .transpose()?;
    if held.is_some() && !files(&folder)?.is_empty() && !replace {
        anyhow::bail!(
            "{} holds a cluster already; --replace puts it aside",
            folder.display()
        );
    }
    let new = folder.with_extension("hardway-new");
    if new.exists() {
        std::fs::remove_dir_all(&new).with_context(|| format!("cannot remove {}", new.display()))?;
    }
    private_folder(&new)?;
    for (name, content) in &entries {
        let public = name.extension().is_some_and(|extension| extension == "crt");
        write_file(&new.join(name), content, if public { 0o644 } else { 0o600 })?;
    }
    if held.is_some() {
        let aside = folder.with_extension(format!("hardway-before-{}", jiff::Timestamp::now().as_second()));
        std::fs::rename(&folder, &aside).with_context(|| format!("cannot move {}", folder.display()))?;
    }
    std::fs::rename(&new, &folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// The files of an export; an error unless every one of them belongs into a cluster's directory and can be read.
fn unpack(file: &Path, text: &[u8]) -> anyhow::Result<Vec<(PathBuf, Vec<u8>)>> {
    let damaged = |reason: String| BadState::new(file, format!("is not a whole export: {reason}"));
    let decoder = zstd::Decoder::new(text).map_err(|error| damaged(error.to_string()))?;
    let mut archive = tar::Archive::new(decoder.take(LARGEST));
    let mut entries = Vec::new();
    for entry in archive.entries().map_err(|error| damaged(error.to_string()))? {
        let mut entry = entry.map_err(|error| damaged(error.to_string()))?;
        let name = entry
            .path()
            .map_err(|error| damaged(error.to_string()))?
            .into_owned();
        if !entry.header().entry_type().is_file() || !belongs(&name) {
            return Err(damaged(format!("{:?} does not belong into it", name.display())).into());
        }
        let mut content = Vec::new();
        (&mut entry)
            .take(LARGEST_FILE)
            .read_to_end(&mut content)
            .map_err(|error| damaged(error.to_string()))?;
        if entry.header().size().ok() != Some(content.len() as u64) {
            return Err(damaged(format!("{} is cut off", name.display())).into());
        }
        entries.push((name, content));
    }
    check(file, &entries)?;
    Ok(entries)
}

fn belongs(name: &Path) -> bool {
    let mut components = name.components();
    let plain = components.all(|component| matches!(component, Component::Normal(_)));
    let first = name.components().next();
    let top = name.components().count() == 1;
    let known = first.is_some_and(|first| FOLDERS.iter().any(|folder| first.as_os_str() == *folder));
    let excluded = first.is_some_and(|first| NOT_EXPORTED.iter().any(|name| first.as_os_str() == *name));
    plain && !excluded && (top || known)
}

fn check(file: &Path, entries: &[(PathBuf, Vec<u8>)]) -> anyhow::Result<()> {
    let damaged = |reason: String| BadState::new(file, format!("is not a whole export: {reason}"));
    for (name, content) in entries {
        if name == Path::new("state.json") {
            serde_json::from_slice::<crate::state::Record>(content)
                .map_err(|error| damaged(format!("state.json: {error}")))?;
        }
        if name == Path::new("journal.jsonl") {
            crate::state::journal::parse(content)
                .map_err(|line| damaged(format!("journal.jsonl: line {line} is damaged")))?;
        }
        if name.extension().is_some_and(|extension| extension == "crt") {
            pki::inspect(&String::from_utf8_lossy(content))
                .map_err(|error| damaged(format!("{}: {error}", name.display())))?;
        }
    }
    for authority in pki::Authority::ALL {
        for suffix in ["crt", "key"] {
            let name = PathBuf::from(format!("pki/{}.{suffix}", authority.name()));
            let any = entries.iter().any(|(found, _)| found.starts_with("pki"));
            if any && !entries.iter().any(|(found, _)| *found == name) {
                return Err(damaged(format!("{} is missing", name.display())).into());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    fn cluster(folder: &Path) -> (PathBuf, State) {
        let inventory = folder.join("hosts.toml");
        let state = State::open(&inventory, "test", &OpenOptions::default()).unwrap();
        let text = "[cluster]\nname = \"lab\"\n[[hosts]]\nname = \"a\"\naddress = \"10.77.0.1\"\nroles = [\"control-plane\"]\n";
        let parsed = crate::inventory::Inventory::parse(&inventory, text).unwrap();
        crate::identities::prepare(&parsed, &state, SystemTime::now(), false).unwrap();
        state.save(&Default::default()).unwrap();
        (inventory, state)
    }

    #[test]
    fn an_export_is_imported_whole_or_not_at_all() {
        let from = tempfile::tempdir().unwrap();
        let (_, state) = cluster(from.path());
        let file = from.path().join("export");
        export(&state, &file, None).unwrap();
        let to = tempfile::tempdir().unwrap();
        let inventory = to.path().join("hosts.toml");
        let options = OpenOptions::default();
        let whole = std::fs::read(&file).unwrap();
        let broken = to.path().join("broken");
        for position in (0..whole.len()).step_by(whole.len() / 60) {
            std::fs::write(&broken, &whole[..position]).unwrap();
            let error = import(&inventory, &options, &broken, false).unwrap_err();
            assert!(error.is::<BadState>(), "cut at {position}: {error:#}");
            assert!(!State::folder_of(&inventory).exists());
        }
        let folder = import(&inventory, &options, &file, false).unwrap();
        let names = |folder: &Path| -> Vec<PathBuf> {
            let all = files(folder).unwrap();
            all.iter()
                .map(|path| path.strip_prefix(folder).unwrap().to_owned())
                .collect()
        };
        assert_eq!(names(state.folder()), names(&folder));
        assert!(import(&inventory, &options, &file, false).is_err());
        import(&inventory, &options, &file, true).unwrap();
    }

    #[test]
    fn nothing_is_unpacked_elsewhere() {
        for (name, expected) in [
            ("pki/a.key", true),
            ("state.json", true),
            ("known_hosts", true),
            ("../x", false),
            ("/etc/x", false),
            ("pki/../../x", false),
            ("lock", false),
            ("cache/x", false),
            ("other/x", false),
        ] {
            assert_eq!(belongs(Path::new(name)), expected, "{name}");
        }
    }
}
