//! Resource amounts as the kernel takes them.

use k8s_cri::v1 as cri;
use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::members::{PodView, Role, init_role};

/// A quantity in thousandths, rounded up; what cannot be read counts as nothing.
pub fn milli(quantity: &Quantity) -> i64 {
    parse(&quantity.0).map_or(0, |value| (value * 1000.0).ceil() as i64)
}

/// A quantity in whole units, rounded up.
pub fn bytes(quantity: &Quantity) -> i64 {
    parse(&quantity.0).map_or(0, |value| value.ceil() as i64)
}

/// Reads a quantity's text. Doubles are exact for all whole numbers that occur (below 2^53).
pub fn parse(text: &str) -> Option<f64> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && !"+-.".contains(c))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    if let Some(exponent) = suffix
        .strip_prefix(['e', 'E'])
        .filter(|exponent| !exponent.is_empty())
    {
        return Some(number.parse::<f64>().ok()? * 10f64.powi(exponent.parse().ok()?));
    }
    let factor = match suffix {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1_048_576.0,
        "Gi" => 1_073_741_824.0,
        "Ti" => 1_099_511_627_776.0,
        "Pi" => 1_125_899_906_842_624.0,
        "Ei" => 1_152_921_504_606_846_976.0,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}

/// cpu.shares of an amount of milli-CPU.
pub fn shares(milli_cpu: i64) -> i64 {
    if milli_cpu <= 0 {
        2
    } else {
        (milli_cpu.saturating_mul(1024) / 1000).clamp(2, 262_144)
    }
}

/// cpu.cfs_quota_us for `period` microseconds; 0 means no limit.
pub fn quota(milli_cpu: i64, period: i64) -> i64 {
    if milli_cpu <= 0 {
        0
    } else {
        (milli_cpu.saturating_mul(period) / 1000).max(1000)
    }
}

/// Settings that apply to all containers of a node.
#[derive(Clone, Copy, Debug)]
pub struct CpuSettings {
    pub quota_enabled: bool,
    /// Microseconds.
    pub quota_period: i64,
}

fn amount(container: &Container, name: &str, limits: bool) -> Option<Quantity> {
    let resources = container.resources.as_ref()?;
    let amounts = if limits {
        &resources.limits
    } else {
        &resources.requests
    };
    amounts.as_ref()?.get(name).cloned()
}

/// What there is on cgroup v2 only.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unified {
    /// When memory runs out, a container ends as a whole and not process by process.
    pub kill_together: bool,
    /// The kernel can keep containers from swapping.
    pub swap_is_controlled: bool,
}

/// A container's cgroup settings; `unified` on cgroup v2.
pub fn container_resources(
    container: &Container,
    oom_score_adj: i64,
    cpu: CpuSettings,
    unified: Option<Unified>,
) -> cri::LinuxContainerResources {
    let limit = amount(container, "cpu", true);
    let request = amount(container, "cpu", false).or_else(|| limit.clone());
    let mut resources = cri::LinuxContainerResources {
        cpu_shares: shares(request.as_ref().map_or(0, milli)),
        memory_limit_in_bytes: amount(container, "memory", true).as_ref().map_or(0, bytes),
        oom_score_adj,
        ..Default::default()
    };
    if cpu.quota_enabled {
        resources.cpu_period = cpu.quota_period;
        resources.cpu_quota = limit
            .as_ref()
            .map_or(0, |limit| quota(milli(limit), cpu.quota_period));
    }
    if let Some(unified) = unified {
        if unified.kill_together {
            resources
                .unified
                .insert("memory.oom.group".to_owned(), "1".to_owned());
        }
        if unified.swap_is_controlled {
            // Memory and swap together: no swap.
            resources.memory_swap_limit_in_bytes = resources.memory_limit_in_bytes;
        }
    }
    resources
}

/// A pod's cgroup settings. None where the kernel's default (no limit) applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PodLimits {
    pub shares: i64,
    pub quota: Option<i64>,
    pub period: i64,
    pub memory: Option<i64>,
}

/// Sums over the containers; a limit applies to the pod only when every container has one.
pub fn pod_limits(pod: &Pod, cpu: CpuSettings) -> PodLimits {
    let total = |name: &str, limits: bool, unit: fn(&Quantity) -> i64| -> (i64, bool) {
        let pod_level = pod.view().resources.as_ref().and_then(|r| {
            if limits {
                r.limits.as_ref()
            } else {
                r.requests.as_ref()
            }
        });
        if let Some(own) = pod_level.and_then(|amounts| amounts.get(name)) {
            return (unit(own), true);
        }
        let of = |container: &Container| {
            amount(container, name, limits).or_else(|| {
                if limits {
                    None
                } else {
                    amount(container, name, true)
                }
            })
        };
        let mut complete = true;
        let mut add = |container: &Container| match of(container) {
            Some(quantity) => unit(&quantity),
            None => {
                complete = false;
                0
            }
        };
        let mut sum: i64 = pod.containers().iter().map(&mut add).sum();
        let mut sidecars = 0;
        let mut most_init = 0;
        for container in pod.init_containers() {
            let own = add(container);
            if init_role(container) == Role::Sidecar {
                sidecars += own;
                most_init = most_init.max(sidecars);
            } else {
                most_init = most_init.max(sidecars + own);
            }
        }
        sum = (sum + sidecars).max(most_init);
        let overhead = pod
            .view()
            .overhead
            .as_ref()
            .and_then(|overhead| overhead.get(name))
            .map_or(0, unit);
        (sum + overhead, complete)
    };
    let (requests, _) = total("cpu", false, milli);
    let (cpu_limit, cpu_complete) = total("cpu", true, milli);
    let (memory_limit, memory_complete) = total("memory", true, bytes);
    PodLimits {
        shares: shares(requests),
        quota: (cpu.quota_enabled && cpu_complete && cpu_limit > 0)
            .then(|| quota(cpu_limit, cpu.quota_period)),
        period: cpu.quota_period,
        memory: (memory_complete && memory_limit > 0).then_some(memory_limit),
    }
}

/// Requested amounts (milli-CPU, bytes) that the pod was scheduled with.
pub fn pod_requests(pod: &Pod) -> (i64, i64) {
    (request_of(pod, "cpu", milli), requested(pod, "memory"))
}

/// The amount of a resource, in whole units, that the pod was scheduled with.
pub fn requested(pod: &Pod, name: &str) -> i64 {
    request_of(pod, name, bytes)
}

fn request_of(pod: &Pod, name: &str, unit: fn(&Quantity) -> i64) -> i64 {
    let one = |container: &Container| amount(container, name, false).as_ref().map_or(0, unit);
    let apps: i64 = pod.containers().iter().map(one).sum();
    let mut sidecars = 0;
    let mut most_init = 0;
    for container in pod.init_containers() {
        if init_role(container) == Role::Sidecar {
            sidecars += one(container);
            most_init = most_init.max(sidecars);
        } else {
            most_init = most_init.max(sidecars + one(container));
        }
    }
    let overhead = pod
        .view()
        .overhead
        .as_ref()
        .and_then(|overhead| overhead.get(name))
        .map_or(0, unit);
    (apps + sidecars).max(most_init) + overhead
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_in_every_spelling() {
        for (text, want) in [
            ("100m", 100),
            ("1", 1000),
            ("1.5", 1500),
            ("2k", 2_000_000),
            ("1e3", 1_000_000),
            ("1Ki", 1_024_000),
            ("x", 0),
            ("", 0),
        ] {
            assert_eq!(milli(&Quantity(text.to_owned())), want, "{text}");
        }
        assert_eq!(bytes(&Quantity("64Mi".to_owned())), 64 << 20);
    }

    #[test]
    fn settings_of_version_2_are_for_version_2() {
        let container: Container = serde_json::from_value(
            serde_json::json!({"name": "c", "resources": {"limits": {"memory": "1Ki"}}}),
        )
        .unwrap();
        let cpu = CpuSettings {
            quota_enabled: true,
            quota_period: 100_000,
        };
        let whole = Unified {
            kill_together: true,
            swap_is_controlled: true,
        };
        for (unified, swap, settings) in [
            (None, 0, 0),
            (Some(Unified::default()), 0, 0),
            (Some(whole), 1024, 1),
        ] {
            let resources = container_resources(&container, 0, cpu, unified);
            assert_eq!(
                (resources.memory_swap_limit_in_bytes, resources.unified.len()),
                (swap, settings),
                "{unified:?}"
            );
        }
    }

    #[test]
    fn shares_and_quota_stay_in_the_kernels_range() {
        for (milli, want) in [(0, 2), (1, 2), (100, 102), (1000, 1024), (i64::MAX, 262_144)] {
            assert_eq!(shares(milli), want, "{milli}");
        }
        for (milli, want) in [(0, 0), (5, 1000), (500, 50_000), (2000, 200_000)] {
            assert_eq!(quota(milli, 100_000), want, "{milli}");
        }
    }
}
