//! Garbage collection of images.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::{Duration, Instant};

use k8s_cri::v1 as cri;

use crate::runtime::{Runtime, RuntimeError};

/// When to remove images and how far to go, in percent of the file system.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    pub high: i32,
    pub low: i32,
    pub minimum_age: Duration,
}

/// Names and ids of the images that containers, running or not, are made of.
async fn in_use(runtime: &Runtime) -> Result<HashSet<String>, RuntimeError> {
    let containers = runtime.list_containers(None).await?.into_iter();
    let names = |container: cri::Container| {
        [
            container.image_ref,
            container.image_id,
            container.image.map(|image| image.image).unwrap_or_default(),
        ]
    };
    Ok(containers.flat_map(names).collect())
}

fn is_used(image: &cri::Image, in_use: &HashSet<String>) -> bool {
    let names = image.repo_tags.iter().chain(&image.repo_digests);
    image.pinned || in_use.contains(&image.id) || names.into_iter().any(|name| in_use.contains(name))
}

/// Removes every image that no container is made of; returns their bytes.
pub async fn remove_unused(runtime: &Runtime) -> Result<u64, RuntimeError> {
    let in_use = in_use(runtime).await?;
    let mut freed = 0;
    for image in runtime
        .list_images()
        .await?
        .iter()
        .filter(|image| !is_used(image, &in_use))
    {
        runtime.remove_image(&image.id).await?;
        freed += image.size;
    }
    Ok(freed)
}

/// Removes unused images, the longest unused first, while the file system that holds them is too full.
/// `unused_since` is kept by the caller between calls.
pub async fn collect_garbage(
    runtime: &Runtime,
    thresholds: Thresholds,
    unused_since: &mut HashMap<String, Instant>,
) -> Result<u64, RuntimeError> {
    let file_systems = runtime.image_file_systems().await?;
    let Some(mount) = file_systems
        .image_filesystems
        .first()
        .and_then(|used| used.fs_id.as_ref())
    else {
        return Ok(0);
    };
    let Ok(usage) = host::file_systems::usage(Path::new(&mount.mountpoint)) else {
        return Ok(0);
    };
    let used_percent = 100 - usage.available.saturating_mul(100) / usage.capacity.max(1);
    let images = runtime.list_images().await?;
    let in_use = in_use(runtime).await?;
    let now = Instant::now();
    let used = |image: &cri::Image| is_used(image, &in_use);
    unused_since.retain(|id, _| images.iter().any(|image| image.id == *id && !used(image)));
    for image in images.iter().filter(|image| !used(image)) {
        unused_since.entry(image.id.clone()).or_insert(now);
    }
    if used_percent < u64::try_from(thresholds.high).unwrap_or(100) {
        return Ok(0);
    }
    let goal = usage.capacity / 100 * u64::try_from(thresholds.low).unwrap_or(0);
    let mut to_free = usage
        .capacity
        .saturating_sub(usage.available)
        .saturating_sub(goal);
    let mut candidates: Vec<_> = images
        .iter()
        .filter_map(|image| unused_since.get(&image.id).map(|since| (*since, image)))
        .collect();
    candidates.sort_by_key(|(since, _)| *since);
    let mut freed = 0;
    for (since, image) in candidates {
        if to_free == 0 || since.elapsed() < thresholds.minimum_age {
            break;
        }
        runtime.remove_image(&image.id).await?;
        unused_since.remove(&image.id);
        freed += image.size;
        to_free = to_free.saturating_sub(image.size);
    }
    Ok(freed)
}
