//! Static pods: manifests in a directory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use k8s_openapi::api::core::v1::{Pod, Toleration};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use super::Change;
use crate::pod::members::PodView;
use crate::runtime::annotation;

/// Looking at a few files' times is cheap, and people expect a manifest to take effect at once.
const LOOK: Duration = Duration::from_secs(1);

/// A manifest that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("cannot read the manifest")]
    Read(#[from] std::io::Error),
    #[error("not a pod: {0}")]
    Syntax(#[from] apimachinery::yaml::YamlError),
    #[error("not a pod: {0}")]
    Fields(#[from] serde_json::Error),
    #[error("{0}")]
    Invalid(String),
}

/// Makes a pod of a manifest's text: named after the node, identified by the text.
pub fn static_pod(text: &str, origin: &Path, node_name: &str) -> Result<Pod, ManifestError> {
    let mut pod: Pod = serde_json::from_value(apimachinery::yaml::parse(text.as_bytes())?)?;
    let name = pod
        .metadata
        .name
        .clone()
        .filter(|name| !name.is_empty())
        .ok_or_else(|| ManifestError::Invalid("metadata.name is missing".to_owned()))?;
    if pod.view().containers.is_empty() {
        return Err(ManifestError::Invalid("spec.containers is empty".to_owned()));
    }
    let mut hash = Sha256::new();
    for part in [text, node_name, &origin.to_string_lossy()] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let uid = hex::encode(&hash.finalize()[..16]);
    let given = pod.metadata.uid.clone().filter(|uid| !uid.is_empty());
    pod.metadata.name = Some(format!("{name}-{}", node_name.to_lowercase()));
    pod.metadata.namespace.get_or_insert_with(|| "default".to_owned());
    pod.metadata.uid = Some(given.unwrap_or_else(|| uid.clone()));
    pod.metadata.generation.get_or_insert(1);
    let annotations = pod.metadata.annotations.get_or_insert_default();
    annotations.insert(annotation::CONFIG_HASH.to_owned(), uid);
    annotations.insert(annotation::CONFIG_SOURCE.to_owned(), "file".to_owned());
    annotations.insert(
        annotation::CONFIG_SEEN.to_owned(),
        jiff::Timestamp::now().to_string(),
    );
    let Some(spec) = &mut pod.spec else {
        return Err(ManifestError::Invalid("spec is missing".to_owned()));
    };
    spec.node_name = Some(node_name.to_owned());
    spec.restart_policy.get_or_insert_with(|| "Always".to_owned());
    spec.dns_policy.get_or_insert_with(|| "ClusterFirst".to_owned());
    spec.termination_grace_period_seconds.get_or_insert(30);
    spec.security_context.get_or_insert_default();
    // Static pods stay whatever becomes of the node's taints.
    spec.tolerations.get_or_insert_default().push(Toleration {
        operator: Some("Exists".to_owned()),
        effect: Some("NoExecute".to_owned()),
        ..Toleration::default()
    });
    pod.status = None;
    Ok(pod)
}

struct Known {
    modified: Option<SystemTime>,
    length: u64,
    pod: Option<Arc<Pod>>,
}

/// Follows the directory (or single file) until `shutdown`.
pub async fn follow_files(
    path: PathBuf,
    node_name: String,
    changes: UnboundedSender<Change>,
    shutdown: CancellationToken,
) {
    let mut known: BTreeMap<PathBuf, Known> = BTreeMap::new();
    let mut synced = false;
    loop {
        scan(&path, &node_name, &mut known, &changes);
        if !synced {
            synced = true;
            let _ = changes.send(Change::FilesSynced);
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn manifests(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let Ok(entries) = std::fs::read_dir(path) else {
        return Vec::new();
    };
    let visible = |file: &PathBuf| {
        file.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| !name.starts_with('.'))
    };
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|file| file.is_file())
        .filter(visible)
        .collect();
    files.sort();
    files
}

fn scan(
    path: &Path,
    node_name: &str,
    known: &mut BTreeMap<PathBuf, Known>,
    changes: &UnboundedSender<Change>,
) {
    let files = manifests(path);
    known.retain(|file, entry| {
        let keep = files.contains(file);
        if let (false, Some(pod)) = (keep, &entry.pod) {
            let _ = changes.send(Change::Remove(pod.clone()));
        }
        keep
    });
    for file in files {
        let Ok(metadata) = std::fs::metadata(&file) else {
            continue;
        };
        let (modified, length) = (metadata.modified().ok(), metadata.len());
        if known
            .get(&file)
            .is_some_and(|entry| entry.modified == modified && entry.length == length)
        {
            continue;
        }
        let read = std::fs::read_to_string(&file)
            .map_err(ManifestError::from)
            .and_then(|text| static_pod(&text, &file, node_name));
        let before = known.remove(&file).and_then(|entry| entry.pod);
        let pod = match read {
            Ok(pod) => Some(Arc::new(pod)),
            Err(error) => {
                tracing::error!(file = %file.display(), %error, "manifest cannot be used");
                // A manifest that is broken while it is being edited does not stop its pod.
                before.clone()
            }
        };
        if let (Some(old), Some(new)) = (&before, &pod)
            && old.uid() != new.uid()
        {
            let _ = changes.send(Change::Remove(old.clone()));
        }
        if let Some(pod) = &pod {
            let _ = changes.send(Change::Apply(pod.clone()));
        }
        known.insert(
            file,
            Known {
                modified,
                length,
                pod,
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str =
        "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: c, image: i}]}\n";

    #[test]
    fn a_manifest_becomes_a_pod_of_this_node() {
        let pod = static_pod(MANIFEST, Path::new("/m/web.yaml"), "Node1").unwrap();
        assert_eq!((pod.name(), pod.namespace()), ("web-node1", "default"));
        assert_eq!(pod.annotation(annotation::CONFIG_SOURCE), Some("file"));
        assert_eq!(pod.annotation(annotation::CONFIG_HASH), Some(pod.uid()));
        let other = static_pod(
            &MANIFEST.replace("image: i", "image: j"),
            Path::new("/m/web.yaml"),
            "Node1",
        )
        .unwrap();
        assert_ne!(pod.uid(), other.uid());
        for text in [
            "",
            "a: [",
            "metadata: {}\nspec: {containers: []}",
            "metadata: {name: x}\nspec: {containers: []}",
        ] {
            assert!(static_pod(text, Path::new("/m"), "n").is_err(), "{text}");
        }
    }

    #[test]
    fn changed_files_are_told_once() {
        let directory = tempfile::tempdir().unwrap();
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        let mut known = BTreeMap::new();
        let file = directory.path().join("web.yaml");
        std::fs::write(&file, MANIFEST).unwrap();
        let mut scan = || scan(directory.path(), "n", &mut known, &sender);
        scan();
        scan();
        assert!(matches!(receiver.try_recv(), Ok(Change::Apply(_))));
        assert!(receiver.try_recv().is_err());
        std::fs::write(&file, "broken: [").unwrap();
        scan();
        assert!(matches!(receiver.try_recv(), Ok(Change::Apply(_))));
        std::fs::remove_file(&file).unwrap();
        scan();
        assert!(matches!(receiver.try_recv(), Ok(Change::Remove(_))));
    }
}
