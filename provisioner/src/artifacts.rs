//! The programs and images of a release, found on the operator's machine and hashed once.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::desired::{Artifact, RELEASE, sha256};
use crate::image::Image;
use crate::state::State;

/// Must be in the folder of any release: upstream's names.
const CONTROL_PLANE: &[&str] = &["kube-apiserver", "kube-controller-manager", "kube-scheduler"];
/// The same, and all of upstream's that a worker runs.
const NODE: &[&str] = &["kubelet", "kube-proxy"];
/// Ours in any release; taken from beside this program when the folder holds upstream's daemons only.
const OURS: &[&str] = &["api-balancer", "pod-network"];
/// This program, for hosts that take snapshots by themselves and for bundles.
const OWN: &str = "hardway";
/// Taken when the folder has it, else the host's package is used.
const OPTIONAL: &[&str] = &["etcd"];
/// Programs that run from an image of their own: (program, user).
const IMAGES: &[(&str, &str)] = &[("pause", "65535:65535"), ("cluster-dns", "65534:65534")];

/// What a bootstrap can put on hosts.
#[derive(Clone, Debug, Default)]
pub struct Release {
    pub artifacts: Vec<Artifact>,
}

impl Release {
    fn program(&self, name: &str) -> Option<&Artifact> {
        self.artifacts
            .iter()
            .find(|artifact| artifact.name == name && artifact.image.is_none())
    }

    pub fn sha256_of(&self, name: &str) -> Option<&str> {
        self.program(name).map(|artifact| artifact.sha256.as_str())
    }

    /// Where a program of the release is on a host.
    pub fn path_of(&self, name: &str) -> Option<String> {
        self.program(name)
            .map(|artifact| format!("{RELEASE}/bin/{}", artifact.name))
    }

    fn image(&self, program: &str) -> String {
        let found = self
            .artifacts
            .iter()
            .find(|artifact| artifact.name == format!("{program}.tar"));
        found
            .and_then(|artifact| artifact.image.clone())
            .unwrap_or_default()
    }

    pub fn pause_image(&self) -> String {
        self.image("pause")
    }

    pub fn dns_image(&self) -> String {
        self.image("cluster-dns")
    }
}

/// Collects the release from `binaries`, or from beside this program.
pub fn collect(binaries: Option<&Path>, state: &State) -> anyhow::Result<Release> {
    let remedy = "build it with make build, or set release.binaries to the folder that holds it";
    gather(binaries, state, &[CONTROL_PLANE, NODE].concat(), remedy)
}

/// What of it a worker runs, on that worker.
pub fn collect_for_worker(binaries: Option<&Path>, state: &State) -> anyhow::Result<Release> {
    let remedy =
        "put the release's programs beside hardway, or name their folder with --binaries or a --bundle";
    gather(binaries, state, NODE, remedy)
}

fn gather(
    binaries: Option<&Path>,
    state: &State,
    required: &[&str],
    remedy: &str,
) -> anyhow::Result<Release> {
    let beside = beside_this_program()?;
    let folder = binaries.unwrap_or(&beside);
    let mut hashes = Hashes::load(state);
    let mut release = Release::default();
    for name in required {
        let path = folder.join(name);
        anyhow::ensure!(path.is_file(), "release: {} is missing; {remedy}", path.display());
        release.artifacts.push(hashes.artifact(name, &path)?);
    }
    for name in OURS {
        release
            .artifacts
            .push(hashes.artifact(name, &own(folder, &beside, name)?)?);
    }
    for name in OPTIONAL {
        let path = folder.join(name);
        if path.is_file() {
            release.artifacts.push(hashes.artifact(name, &path)?);
        }
    }
    if let Some(path) = found(folder, &beside, OWN) {
        release.artifacts.push(hashes.artifact(OWN, &path)?);
    }
    for (program, user) in IMAGES {
        let path = own(folder, &beside, program)?;
        release
            .artifacts
            .push(image(&mut hashes, state, program, user, &path)?);
    }
    hashes.save(state)?;
    Ok(release)
}

/// The programs that images are made of; hosts get the images, a bundle both.
pub fn programs_of_images(binaries: Option<&Path>, state: &State) -> anyhow::Result<Vec<Artifact>> {
    let beside = beside_this_program()?;
    let folder = binaries.unwrap_or(&beside);
    let mut hashes = Hashes::load(state);
    let names = IMAGES.iter().map(|(program, _)| *program).chain(["smoke-probe"]);
    let programs = names
        .map(|name| hashes.artifact(name, &own(folder, &beside, name)?))
        .collect::<anyhow::Result<Vec<_>>>()?;
    hashes.save(state)?;
    Ok(programs)
}

/// The image of the program that `hardway smoke` runs in pods; not part of a release.
pub fn smoke_image(binaries: Option<&Path>, state: &State) -> anyhow::Result<Artifact> {
    let beside = beside_this_program()?;
    let program = own(binaries.unwrap_or(&beside), &beside, "smoke-probe")?;
    let mut hashes = Hashes::load(state);
    let image = image(&mut hashes, state, "smoke-probe", "65534:65534", &program)?;
    hashes.save(state)?;
    Ok(image)
}

fn beside_this_program() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("cannot find this program's own path")?;
    Ok(program.parent().unwrap_or(Path::new("/")).to_owned())
}

fn found(folder: &Path, beside: &Path, name: &str) -> Option<PathBuf> {
    [folder, beside]
        .map(|folder| folder.join(name))
        .into_iter()
        .find(|path| path.is_file())
}

fn own(folder: &Path, beside: &Path, name: &str) -> anyhow::Result<PathBuf> {
    found(folder, beside, name).with_context(|| {
        format!(
            "release: {name} is neither in {} nor beside hardway; build it with make build",
            folder.display()
        )
    })
}

fn image(
    hashes: &mut Hashes,
    state: &State,
    program: &str,
    user: &str,
    path: &Path,
) -> anyhow::Result<Artifact> {
    let binary = hashes.artifact(program, path)?;
    let reference = format!("hardway.local/{program}:{}", &binary.sha256[..12]);
    let archive = state
        .cache()
        .join(format!("{program}-{}.tar", &binary.sha256[..12]));
    if !archive.is_file() {
        let content = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let image = Image::of_binary(&reference, &format!("/{program}"), content, user);
        let bytes = image
            .archive()
            .with_context(|| format!("cannot build the image of {program}"))?;
        crate::state::write_file(&archive, &bytes, 0o644)?;
    }
    let mut artifact = hashes.artifact(&format!("{program}.tar"), &archive)?;
    artifact.image = Some(reference);
    Ok(artifact)
}

/// Hashes of files by path, size and time of change, so that an unchanged release is not read again.
#[derive(Default, Serialize, Deserialize)]
struct Hashes {
    files: BTreeMap<PathBuf, Known>,
    #[serde(skip)]
    changed: bool,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    size: u64,
    modified_nanos: u128,
    sha256: String,
}

impl Hashes {
    fn load(state: &State) -> Hashes {
        // A cache: unreadable is empty.
        std::fs::read(state.cache().join("hashes.json"))
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default()
    }

    fn save(&self, state: &State) -> anyhow::Result<()> {
        if !self.changed {
            return Ok(());
        }
        crate::state::write_file(
            &state.cache().join("hashes.json"),
            &serde_json::to_vec(self)?,
            0o644,
        )
    }

    fn artifact(&mut self, name: &str, path: &Path) -> anyhow::Result<Artifact> {
        let context = || format!("cannot read {}", path.display());
        let path = path.canonicalize().with_context(context)?;
        let metadata = path.metadata().with_context(context)?;
        let modified = metadata.modified().with_context(context)?;
        let modified_nanos = modified.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let size = metadata.len();
        let known = self
            .files
            .get(&path)
            .filter(|known| known.size == size && known.modified_nanos == modified_nanos);
        let sha256 = match known {
            Some(known) => known.sha256.clone(),
            None => {
                let sha256 = hash_file(&path).with_context(context)?;
                self.files.insert(
                    path.clone(),
                    Known {
                        size,
                        modified_nanos,
                        sha256: sha256.clone(),
                    },
                );
                self.changed = true;
                sha256
            }
        };
        Ok(Artifact {
            name: name.to_owned(),
            sha256,
            size,
            source: path,
            image: None,
        })
    }
}

fn hash_file(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0u8; 1 << 20];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(hex::encode(hasher.finalize()));
        }
        hasher.update(&buffer[..count]);
    }
}

/// The compressed form of an artifact, made once and kept.
pub fn compressed(state: &State, artifact: &Artifact, codec: Codec) -> anyhow::Result<PathBuf> {
    let path = state
        .cache()
        .join(format!("{}.{}", artifact.sha256, codec.extension()));
    if path.is_file() {
        return Ok(path);
    }
    let context = || format!("cannot compress {}", artifact.source.display());
    let content = std::fs::read(&artifact.source).with_context(context)?;
    anyhow::ensure!(
        sha256(&content) == artifact.sha256,
        "{} changed while it was being read; run the command again when the build is done",
        artifact.source.display()
    );
    let bytes = match codec {
        Codec::Zstd => zstd::encode_all(content.as_slice(), 3).with_context(context)?,
        Codec::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut encoder, &content).with_context(context)?;
            encoder.finish().with_context(context)?
        }
    };
    crate::state::write_file(&path, &bytes, 0o644)?;
    Ok(path)
}

/// How files travel; minimal hosts have gzip only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Codec {
    Zstd,
    Gzip,
}

impl Codec {
    pub fn extension(self) -> &'static str {
        match self {
            Codec::Zstd => "zst",
            Codec::Gzip => "gz",
        }
    }

    /// The command that unpacks from standard input to standard output.
    pub fn unpack(self) -> &'static str {
        match self {
            Codec::Zstd => "zstd -dcq",
            Codec::Gzip => "gzip -dc",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_takes_itself_in_needs_no_programs_of_a_control_plane() {
        let folder = tempfile::tempdir().unwrap();
        for name in NODE.iter().chain(OURS).chain(IMAGES.iter().map(|(name, _)| name)) {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        let state = State::peek(&folder.path().join("hosts.toml"), &Default::default());
        std::fs::create_dir_all(state.cache()).unwrap();
        let release = collect_for_worker(Some(folder.path()), &state).unwrap();
        assert!(release.sha256_of("kubelet").is_some());
        let refused = collect(Some(folder.path()), &state).unwrap_err().to_string();
        assert!(
            refused.contains("kube-apiserver is missing; build it with make build, or set release.binaries"),
            "{refused}"
        );
        std::fs::remove_file(folder.path().join("kubelet")).unwrap();
        let refused = collect_for_worker(Some(folder.path()), &state)
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("kubelet is missing; put the release's programs beside hardway"),
            "{refused}"
        );
    }
}
