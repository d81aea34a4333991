//! Garbage collection of images.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::runtime::{Runtime, RuntimeError};

/// When to remove images and how far to go, in percent of the file system.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    pub high: i32,
    pub low: i32,
    pub minimum_age: Duration,
}

/// Removes unused images, the longest unused first, while the file system that holds them is too full.
/// `unused_since` is kept by the caller between calls.
pub async fn collect_garbage(runtime: &Runtime, thresholds: Thresholds, unused_since: &mut HashMap<String, Instant>) -> Result<u64, RuntimeError> {
    let file_systems = runtime.image_file_systems().await?;
    let Some(mount) = file_systems.image_filesystems.first().and_then(|used| used.fs_id.as_ref()) else { return Ok(0) };
    let Ok(usage) = host::file_systems::usage(Path::new(&mount.mountpoint)) else { return Ok(0) };
    let used_percent = 100 - usage.available.saturating_mul(100) / usage.capacity.max(1);
    let images = runtime.list_images().await?;
    let in_use: HashSet<String> = runtime
        .list_containers(None)
        .await?
        .into_iter()
        .flat_map(|container| [container.image_ref, container.image_id, container.image.map(|image| image.image).unwrap_or_default()])
        .collect();
    let now = Instant::now();
    let used = |image: &k8s_cri::v1::Image| {
        image.pinned || in_use.contains(&image.id) || image.repo_tags.iter().chain(&image.repo_digests).any(|name| in_use.contains(name))
    };
    unused_since.retain(|id, _| images.iter().any(|image| image.id == *id && !used(image)));
    for image in images.iter().filter(|image| !used(image)) {
        unused_since.entry(image.id.clone()).or_insert(now);
    }
    if used_percent < u64::try_from(thresholds.high).unwrap_or(100) {
        return Ok(0);
    }
    let goal = usage.capacity / 100 * u64::try_from(thresholds.low).unwrap_or(0);
    let mut to_free = usage.capacity.saturating_sub(usage.available).saturating_sub(goal);
    let mut candidates: Vec<_> = images.iter().filter_map(|image| unused_since.get(&image.id).map(|since| (*since, image))).collect();
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
