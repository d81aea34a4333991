//! Container images out of static binaries, without a registry or a builder: an OCI image layout in a tar
//! archive, as `ctr images import` and containerd's API take it. The same input gives the same bytes.
//!
//! Source: OCI Image Format Specification 1.1 (image layout, manifest, config).

use sha2::{Digest as _, Sha256};

/// One file of the image's only layer.
#[derive(Clone, Debug)]
pub struct ImageFile {
    /// Absolute path inside the image.
    pub path: String,
    pub mode: u32,
    pub content: Vec<u8>,
}

/// What an image holds and how it starts.
#[derive(Clone, Debug)]
pub struct Image {
    /// Full name with a tag, for example `hardway.local/pause:1`.
    pub name: String,
    pub files: Vec<ImageFile>,
    pub entrypoint: Vec<String>,
    /// What the entry point is called with when nobody says otherwise.
    pub arguments: Vec<String>,
    /// `uid:gid`; root when empty.
    pub user: String,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot make the image {name}")]
pub struct ImageError {
    name: String,
    source: std::io::Error,
}

impl Image {
    /// An image that holds one program and runs it.
    pub fn of_binary(name: &str, path: &str, content: Vec<u8>, user: &str) -> Self {
        Self {
            name: name.to_owned(),
            files: vec![ImageFile {
                path: path.to_owned(),
                mode: 0o755,
                content,
            }],
            entrypoint: vec![path.to_owned()],
            arguments: Vec::new(),
            user: user.to_owned(),
        }
    }

    /// The archive's bytes.
    pub fn archive(&self) -> Result<Vec<u8>, ImageError> {
        self.write().map_err(|source| ImageError {
            name: self.name.clone(),
            source,
        })
    }

    fn write(&self) -> std::io::Result<Vec<u8>> {
        let layer = tar(&self.layer_entries())?;
        let layer_digest = digest(&layer);
        let config = to_json(&serde_json::json!({
            "architecture": architecture(),
            "os": "linux",
            "config": {
                "Entrypoint": self.entrypoint,
                "Cmd": self.arguments,
                "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
                "User": self.user,
                "WorkingDir": "/",
            },
            "rootfs": { "type": "layers", "diff_ids": [layer_digest] },
        }))?;
        let manifest = to_json(&serde_json::json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
        }))?;
        let mut listed = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
        let tag = self.name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
        listed["annotations"] = serde_json::json!({
            "io.containerd.image.name": self.name,
            "org.opencontainers.image.ref.name": tag,
        });
        let index = to_json(&serde_json::json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [listed],
        }))?;
        let blob = |content: &[u8]| format!("blobs/sha256/{}", hex::encode(Sha256::digest(content)));
        tar(&[
            Entry {
                path: "blobs".to_owned(),
                mode: 0o755,
                content: None,
            },
            Entry {
                path: "blobs/sha256".to_owned(),
                mode: 0o755,
                content: None,
            },
            Entry {
                path: blob(&config),
                mode: 0o644,
                content: Some(&config),
            },
            Entry {
                path: blob(&manifest),
                mode: 0o644,
                content: Some(&manifest),
            },
            Entry {
                path: blob(&layer),
                mode: 0o644,
                content: Some(&layer),
            },
            Entry {
                path: "index.json".to_owned(),
                mode: 0o644,
                content: Some(&index),
            },
            Entry {
                path: "oci-layout".to_owned(),
                mode: 0o644,
                content: Some(br#"{"imageLayoutVersion":"1.0.0"}"#),
            },
        ])
    }

    /// The files with their parent folders, and the folders that programs expect to be there.
    fn layer_entries(&self) -> Vec<Entry<'_>> {
        let mut entries: std::collections::BTreeMap<String, Entry<'_>> = std::collections::BTreeMap::new();
        let mut folder = |path: &str, mode| {
            let entry = Entry {
                path: path.to_owned(),
                mode,
                content: None,
            };
            entries.entry(path.to_owned()).or_insert(entry);
        };
        for (path, mode) in [
            ("tmp", 0o1777),
            ("etc", 0o755),
            ("dev", 0o755),
            ("proc", 0o755),
            ("sys", 0o755),
        ] {
            folder(path, mode);
        }
        for file in &self.files {
            let path = file.path.trim_start_matches('/');
            for (at, _) in path.match_indices('/') {
                folder(&path[..at], 0o755);
            }
        }
        for file in &self.files {
            let path = file.path.trim_start_matches('/').to_owned();
            entries.insert(
                path.clone(),
                Entry {
                    path,
                    mode: file.mode,
                    content: Some(&file.content),
                },
            );
        }
        entries.into_values().collect()
    }
}

/// A file, or a folder when there is no content.
struct Entry<'a> {
    path: String,
    mode: u32,
    content: Option<&'a [u8]>,
}

fn tar(entries: &[Entry<'_>]) -> std::io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mode(entry.mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        let content = entry.content.unwrap_or_default();
        header.set_size(content.len() as u64);
        if entry.content.is_none() {
            header.set_entry_type(tar::EntryType::Directory);
            builder.append_data(&mut header, format!("{}/", entry.path), content)?;
        } else {
            header.set_entry_type(tar::EntryType::Regular);
            builder.append_data(&mut header, &entry.path, content)?;
        }
    }
    builder.into_inner()
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}

fn descriptor(media_type: &str, content: &[u8]) -> serde_json::Value {
    serde_json::json!({ "mediaType": media_type, "digest": digest(content), "size": content.len() })
}

fn to_json(value: &serde_json::Value) -> std::io::Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(std::io::Error::other)
}

/// Go's name for this machine's architecture, which is what images carry.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;

    use super::*;

    fn read(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        for entry in tar::Archive::new(archive).entries().expect("an archive") {
            let mut entry = entry.expect("an entry");
            let path = entry.path().expect("a path").to_string_lossy().into_owned();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).expect("content");
            found.insert(path, content);
        }
        found
    }

    #[test]
    fn every_digest_leads_to_its_blob() {
        let image = Image::of_binary(
            "hardway.local/x:1",
            "/usr/bin/x",
            b"program".to_vec(),
            "65532:65532",
        );
        let archive = image.archive().expect("made");
        assert_eq!(
            archive,
            image.archive().expect("made again"),
            "the same input gives the same bytes"
        );
        let files = read(&archive);
        let blob = |descriptor: &serde_json::Value| {
            let digest = descriptor["digest"]
                .as_str()
                .expect("digest")
                .replace("sha256:", "blobs/sha256/");
            let content = files[&digest].clone();
            assert_eq!(descriptor["size"], content.len());
            content
        };
        let json = |content: &[u8]| serde_json::from_slice::<serde_json::Value>(content).expect("JSON");
        let index = json(&files["index.json"]);
        assert_eq!(
            index["manifests"][0]["annotations"]["io.containerd.image.name"],
            "hardway.local/x:1"
        );
        let manifest = json(&blob(&index["manifests"][0]));
        let config = json(&blob(&manifest["config"]));
        assert_eq!(config["config"]["Entrypoint"], serde_json::json!(["/usr/bin/x"]));
        let layer = blob(&manifest["layers"][0]);
        assert_eq!(config["rootfs"]["diff_ids"][0], digest(&layer));
        let layer = read(&layer);
        assert_eq!(layer["usr/bin/x"], b"program");
        assert!(layer.contains_key("usr/bin/") && layer.contains_key("tmp/"));
    }
}
