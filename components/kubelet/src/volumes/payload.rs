//! What the files of config map, secret, projected and downward-API volumes contain: pure.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Container, DownwardAPIVolumeFile, KeyToPath, Pod};

use crate::pod::environment::{FieldContext, pod_field, resource_field};
use crate::pod::members::PodView;

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    pub bytes: Vec<u8>,
    pub mode: u32,
    /// Owner other than root, for tokens of pods that run as one user.
    pub owner: Option<u32>,
}

/// Files by their path inside the volume.
pub(super) type Payload = BTreeMap<String, File>;

/// The mode of files for which none is given.
pub(super) const DEFAULT_MODE: i32 = 0o644;

pub(super) fn mode_bits(mode: i32) -> u32 {
    mode.unsigned_abs() & 0o777
}

/// Which keys of an object become which files.
pub(super) struct Selection<'a> {
    /// `configmap` or `secret`.
    pub kind: &'static str,
    pub items: Option<&'a [KeyToPath]>,
    pub optional: bool,
    pub default_mode: i32,
}

impl Selection<'_> {
    pub(super) fn files(&self, keys: &BTreeMap<String, Vec<u8>>) -> Result<Payload, String> {
        let file = |bytes: &[u8], mode: i32| File {
            bytes: bytes.to_vec(),
            mode: mode_bits(mode),
            owner: None,
        };
        let items = self.items.unwrap_or_default();
        if items.is_empty() {
            return Ok(keys
                .iter()
                .map(|(key, bytes)| (key.clone(), file(bytes, self.default_mode)))
                .collect());
        }
        let mut payload = Payload::new();
        for item in items {
            match keys.get(&item.key) {
                Some(bytes) => {
                    check_path(&item.path)?;
                    payload.insert(
                        item.path.clone(),
                        file(bytes, item.mode.unwrap_or(self.default_mode)),
                    );
                }
                None if self.optional => {}
                None => return Err(format!("{} references non-existent key: {}", self.kind, item.key)),
            }
        }
        Ok(payload)
    }
}

pub(super) fn config_map_keys(
    data: Option<&BTreeMap<String, String>>,
    binary: Option<&BTreeMap<String, ByteString>>,
) -> BTreeMap<String, Vec<u8>> {
    let text = data
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), value.clone().into_bytes()));
    text.chain(secret_keys(binary)).collect()
}

pub(super) fn secret_keys(data: Option<&BTreeMap<String, ByteString>>) -> BTreeMap<String, Vec<u8>> {
    data.into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), value.0.clone()))
        .collect()
}

pub(super) fn downward(
    pod: &Pod,
    items: Option<&[DownwardAPIVolumeFile]>,
    default_mode: i32,
    context: &FieldContext<'_>,
) -> Result<Payload, String> {
    let mut payload = Payload::new();
    let nobody = Container::default();
    for item in items.unwrap_or_default() {
        check_path(&item.path)?;
        let text = match (&item.field_ref, &item.resource_field_ref) {
            (Some(field), _) => pod_field(pod, &field.field_path, context)?,
            (None, Some(reference)) => resource_field(
                pod,
                pod.containers().first().unwrap_or(&nobody),
                reference,
                context,
            )?,
            (None, None) => return Err(format!("downward API file {} has no source", item.path)),
        };
        let file = File {
            bytes: text.into_bytes(),
            mode: mode_bits(item.mode.unwrap_or(default_mode)),
            owner: None,
        };
        payload.insert(item.path.clone(), file);
    }
    Ok(payload)
}

/// Paths must stay inside the volume. The API server checks this too; a static pod was checked by nobody.
pub(super) fn check_path(path: &str) -> Result<(), String> {
    let bad = path.starts_with("..") || path.split('/').any(|part| part == ".." || part.is_empty());
    if bad {
        Err(format!(
            "invalid path {path:?}: must be relative and must not contain '..'"
        ))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_become_files() {
        let keys: BTreeMap<_, _> = [("a".to_owned(), b"1".to_vec()), ("b".to_owned(), b"2".to_vec())].into();
        let item = |key: &str, path: &str| {
            vec![KeyToPath {
                key: key.to_owned(),
                path: path.to_owned(),
                mode: Some(0o400),
            }]
        };
        let files = |items: Vec<KeyToPath>, optional| {
            Selection {
                kind: "configmap",
                items: Some(&items),
                optional,
                default_mode: 0o644,
            }
            .files(&keys)
        };
        assert_eq!(files(Vec::new(), false).unwrap().len(), 2);
        assert_eq!(
            files(item("a", "x/y"), false).unwrap()["x/y"],
            File {
                bytes: b"1".to_vec(),
                mode: 0o400,
                owner: None
            }
        );
        assert!(
            files(item("c", "c"), false)
                .unwrap_err()
                .contains("non-existent key: c")
        );
        assert_eq!(files(item("c", "c"), true).unwrap().len(), 0);
        for path in ["", "/a", "../a", "a/../b", "..data", "a//b"] {
            assert!(files(item("a", path), false).is_err(), "{path}");
        }
    }
}
