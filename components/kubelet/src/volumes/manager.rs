//! Prepares the volumes of a pod and keeps their content current.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Volume};

use super::payload::{self, DEFAULT_MODE, Payload, Selection};
use super::{PodDirectories, Tokens, atomic_writer, claim, empty_dir, host_path, ownership};
use crate::objects::ObjectCache;
use crate::pod::environment::FieldContext;
use crate::pod::members::PodView;

/// A volume that cannot be prepared (yet); goes into a FailedMount event.
#[derive(Debug, thiserror::Error)]
#[error("MountVolume.SetUp failed for volume \"{volume}\" : {reason}")]
pub struct VolumeError {
    pub volume: String,
    pub reason: String,
}

/// Prepared volumes: path on the host by name, and when content has to be renewed.
#[derive(Clone, Debug, Default)]
pub struct PreparedVolumes {
    pub paths: BTreeMap<String, PathBuf>,
    /// Volumes that no container may write to, whatever its mount says.
    pub read_only: BTreeSet<String>,
    pub renew_at: Option<Timestamp>,
}

/// What all volumes are made with; clones share it.
#[derive(Clone)]
pub struct Volumes {
    pub root: PathBuf,
    pub objects: ObjectCache,
    pub tokens: Tokens,
}

impl Volumes {
    /// Makes or refreshes every volume of the pod.
    pub async fn prepare(
        &self,
        pod: &Arc<Pod>,
        context: &FieldContext<'_>,
    ) -> Result<PreparedVolumes, VolumeError> {
        let mounted = mounted_volumes(pod);
        let mut prepared = PreparedVolumes::default();
        for volume in pod
            .view()
            .volumes
            .iter()
            .flatten()
            .filter(|volume| mounted.contains(&volume.name))
        {
            let failed = |reason: String| VolumeError {
                volume: volume.name.clone(),
                reason,
            };
            let path = self
                .prepare_one(pod, volume, context, &mut prepared)
                .await
                .map_err(failed)?;
            prepared.paths.insert(volume.name.clone(), path);
        }
        Ok(prepared)
    }

    async fn prepare_one(
        &self,
        pod: &Arc<Pod>,
        volume: &Volume,
        context: &FieldContext<'_>,
        prepared: &mut PreparedVolumes,
    ) -> Result<PathBuf, String> {
        let directories = PodDirectories::new(&self.root, pod.uid());
        let name = &volume.name;
        let group = pod
            .view()
            .security_context
            .as_ref()
            .and_then(|context| context.fs_group)
            .and_then(|group| u32::try_from(group).ok());
        if let Some((claim, ephemeral, read_only)) = claim::claim_of(pod, volume) {
            let client = self
                .objects
                .client()
                .ok_or("there is no API server to read the claim from")?;
            let found = claim::find(&client, pod, &claim, ephemeral, read_only).await?;
            if found.read_only {
                prepared.read_only.insert(name.clone());
            }
            return blocking(move || claimed(found, group)).await;
        }
        if let Some(source) = &volume.host_path {
            let source = source.clone();
            return blocking(move || host_path::prepare(&source).map(|()| PathBuf::from(source.path))).await;
        }
        if let Some(source) = &volume.empty_dir {
            let (directory, source) = (directories.volume("empty-dir", name), source.clone());
            let size = empty_dir::memory_size(&source, pod, context.allocatable.get("memory"));
            return blocking(move || {
                empty_dir::prepare(&directory, &source, size, group).map(|()| directory)
            })
            .await;
        }
        let select = |kind: &'static str, items, optional: Option<bool>, mode: Option<i32>| Selection {
            kind,
            items,
            optional: optional == Some(true),
            default_mode: mode.unwrap_or(DEFAULT_MODE),
        };
        let (plugin, files) = if let Some(source) = &volume.config_map {
            let selection = select(
                "configmap",
                source.items.as_deref(),
                source.optional,
                source.default_mode,
            );
            ("configmap", self.config_map(pod, &source.name, selection).await?)
        } else if let Some(source) = &volume.secret {
            let selection = select(
                "secret",
                source.items.as_deref(),
                source.optional,
                source.default_mode,
            );
            (
                "secret",
                self.secret(pod, source.secret_name.as_deref().unwrap_or_default(), selection)
                    .await?,
            )
        } else if let Some(source) = &volume.downward_api {
            let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
            (
                "downward-api",
                payload::downward(pod, source.items.as_deref(), mode, context)?,
            )
        } else if volume.projected.is_some() {
            ("projected", self.projected(pod, volume, context, prepared).await?)
        } else {
            return Err("this kind of volume is not supported".to_owned());
        };
        // What a container wrote here would be lost with the next change.
        prepared.read_only.insert(name.clone());
        let directory = directories.volume(plugin, name);
        let in_memory = plugin != "configmap";
        blocking(move || write_files(&directory, &files, in_memory, group).map(|()| directory)).await
    }

    async fn config_map(&self, pod: &Pod, name: &str, selection: Selection<'_>) -> Result<Payload, String> {
        match self
            .objects
            .config_map(pod.namespace(), name)
            .await
            .map_err(|error| error.to_string())?
        {
            Some(found) => selection.files(&payload::config_map_keys(
                found.data.as_ref(),
                found.binary_data.as_ref(),
            )),
            None if selection.optional => Ok(Payload::new()),
            None => Err(format!("configmap \"{name}\" not found")),
        }
    }

    async fn secret(&self, pod: &Pod, name: &str, selection: Selection<'_>) -> Result<Payload, String> {
        match self
            .objects
            .secret(pod.namespace(), name)
            .await
            .map_err(|error| error.to_string())?
        {
            Some(found) => selection.files(&payload::secret_keys(found.data.as_ref())),
            None if selection.optional => Ok(Payload::new()),
            None => Err(format!("secret \"{name}\" not found")),
        }
    }

    async fn projected(
        &self,
        pod: &Pod,
        volume: &Volume,
        context: &FieldContext<'_>,
        prepared: &mut PreparedVolumes,
    ) -> Result<Payload, String> {
        let mut files = Payload::new();
        let Some(projected) = &volume.projected else {
            return Ok(files);
        };
        let default_mode = projected.default_mode.unwrap_or(DEFAULT_MODE);
        for source in projected.sources.iter().flatten() {
            if let Some(source) = &source.config_map {
                let selection = Selection {
                    kind: "configmap",
                    items: source.items.as_deref(),
                    optional: source.optional == Some(true),
                    default_mode,
                };
                files.extend(self.config_map(pod, &source.name, selection).await?);
            } else if let Some(source) = &source.secret {
                let selection = Selection {
                    kind: "secret",
                    items: source.items.as_deref(),
                    optional: source.optional == Some(true),
                    default_mode,
                };
                files.extend(self.secret(pod, &source.name, selection).await?);
            } else if let Some(source) = &source.downward_api {
                files.extend(payload::downward(
                    pod,
                    source.items.as_deref(),
                    default_mode,
                    context,
                )?);
            } else if let Some(source) = &source.service_account_token {
                payload::check_path(&source.path)?;
                let (token, renew_at) = self.tokens.get(pod, source).await?;
                prepared.renew_at = Some(
                    prepared
                        .renew_at
                        .map_or(renew_at, |earlier| earlier.min(renew_at)),
                );
                // Readable for the one user that the pod runs as, and else as the mode says.
                let owner = single_user(pod);
                let grouped = pod
                    .view()
                    .security_context
                    .as_ref()
                    .is_some_and(|context| context.fs_group.is_some());
                let mode = if owner.is_some() || grouped {
                    0o600
                } else {
                    payload::mode_bits(default_mode)
                };
                files.insert(
                    source.path.clone(),
                    payload::File {
                        bytes: token.into_bytes(),
                        mode,
                        owner,
                    },
                );
            } else {
                return Err("this source of a projected volume is not supported".to_owned());
            }
        }
        Ok(files)
    }
}

/// The user that every container of the pod runs as, when there is one.
fn single_user(pod: &Pod) -> Option<u32> {
    let context = pod.view().security_context.as_ref();
    let outer = context.and_then(|context| context.run_as_user);
    let own = |container: &k8s_openapi::api::core::v1::Container| {
        container
            .security_context
            .as_ref()
            .and_then(|own| own.run_as_user)
            .or(outer)
    };
    let mut users = pod.init_containers().iter().chain(pod.containers()).map(own);
    let first = users.next()??;
    if users.all(|user| user == Some(first)) {
        u32::try_from(first).ok()
    } else {
        None
    }
}

/// Names of the volumes that some container mounts.
fn mounted_volumes(pod: &Pod) -> BTreeSet<String> {
    let ephemeral = pod.ephemeral_containers();
    pod.init_containers()
        .iter()
        .chain(pod.containers())
        .chain(&ephemeral)
        .flat_map(|container| container.volume_mounts.iter().flatten())
        .map(|mount| mount.name.clone())
        .collect()
}

/// A host path is made if its type says so, and keeps its owner; a local volume gets the pod's group.
fn claimed(found: claim::Claimed, group: Option<u32>) -> Result<PathBuf, String> {
    match found.place {
        claim::Place::HostPath(source) => host_path::prepare(&source).map(|()| PathBuf::from(source.path)),
        claim::Place::Local(path) => {
            let io = |error: std::io::Error| format!("{}: {error}", path.display());
            if !std::fs::metadata(&path).map_err(io)?.is_dir() {
                return Err(format!("{} is not a directory", path.display()));
            }
            if let Some(group) = group.filter(|_| !found.read_only)
                && !ownership::has_group(&path, group).map_err(io)?
            {
                ownership::set_group(&path, group, true).map_err(io)?;
            }
            Ok(path)
        }
    }
}

fn write_files(directory: &Path, files: &Payload, in_memory: bool, group: Option<u32>) -> Result<(), String> {
    let io = |error: std::io::Error| format!("{}: {error}", directory.display());
    std::fs::create_dir_all(directory).map_err(io)?;
    // Secrets must not get to a disk.
    if in_memory && !host::mounts::is_mount_point(directory).map_err(io)? {
        host::mounts::mount_tmpfs(directory, "mode=0755").map_err(|error| error.to_string())?;
    }
    let finish = |fresh: &Path| group.map_or(Ok(()), |group| ownership::set_group(fresh, group, false));
    atomic_writer::write(directory, files, finish).map_err(io)?;
    match group {
        Some(group) => ownership::set_group_of_root(directory, group).map_err(io),
        None => Ok(()),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(format!("interrupted: {error}")),
    }
}
