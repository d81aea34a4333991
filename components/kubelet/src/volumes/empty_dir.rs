//! emptyDir: a directory of the pod's own, on disk or in memory.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::ownership;
use crate::pod::resources::{CpuSettings, bytes, pod_limits};

/// How large the volume may get in memory: as the node's memory for pods, the pod's, or what it asks for, whichever is
/// the least. Without a size the kernel would take half of the machine's.
pub(super) fn memory_size(
    source: &EmptyDirVolumeSource,
    pod: &Pod,
    allocatable: Option<&Quantity>,
) -> Option<i64> {
    let cpu = CpuSettings {
        quota_enabled: false,
        quota_period: 0,
    };
    let given = [source.size_limit.as_ref(), allocatable].into_iter().flatten();
    let given = given.map(bytes).chain(pod_limits(pod, cpu).memory);
    given.filter(|size| *size > 0).min()
}

pub(super) fn prepare(
    directory: &Path,
    source: &EmptyDirVolumeSource,
    memory_size: Option<i64>,
    group: Option<u32>,
) -> Result<(), String> {
    let io = |error: std::io::Error| format!("{}: {error}", directory.display());
    let existed = directory.exists();
    std::fs::create_dir_all(directory).map_err(io)?;
    match source.medium.as_deref().unwrap_or_default() {
        "" => {}
        "Memory" => {
            if !host::mounts::is_mount_point(directory).map_err(io)? {
                let size = memory_size
                    .map(|size| format!(",size={size}"))
                    .unwrap_or_default();
                host::mounts::mount_tmpfs(directory, &format!("mode=0777{size}"))
                    .map_err(|error| error.to_string())?;
            }
        }
        other => return Err(format!("emptyDir medium {other:?} is not supported")),
    }
    if !existed {
        std::fs::set_permissions(directory, PermissionsExt::from_mode(0o777)).map_err(io)?;
    }
    if let Some(group) = group
        && !ownership::has_group(directory, group).map_err(io)?
    {
        ownership::set_group(directory, group, true).map_err(io)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The kernel's default of half the machine's memory was the limit before, and could be less than any of these.
    #[test]
    fn in_memory_the_least_limit_counts_and_there_always_is_one() {
        let size = |limit: Option<&str>, container: Option<&str>, node: &str| {
            let limits = container.map_or(json!({}), |memory| json!({"limits": {"memory": memory}}));
            let spec = json!({"containers": [{"name": "c", "resources": limits}]});
            let pod = serde_json::from_value(json!({"spec": spec})).unwrap();
            let source = EmptyDirVolumeSource {
                medium: Some("Memory".to_owned()),
                size_limit: limit.map(|limit| Quantity(limit.to_owned())),
            };
            memory_size(&source, &pod, Some(&Quantity(node.to_owned())))
        };
        const MI: i64 = 1 << 20;
        for (limit, container, node, expected) in [
            (None, None, "4000Mi", 4000 * MI),
            (None, Some("64Mi"), "4000Mi", 64 * MI),
            (Some("16Mi"), Some("64Mi"), "4000Mi", 16 * MI),
            (Some("128Mi"), Some("64Mi"), "4000Mi", 64 * MI),
            (Some("5000Mi"), None, "4000Mi", 4000 * MI),
            (Some("0"), None, "4000Mi", 4000 * MI),
        ] {
            assert_eq!(
                size(limit, container, node),
                Some(expected),
                "{limit:?} {container:?}"
            );
        }
    }
}
