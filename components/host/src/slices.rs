//! Slices of systemd, over D-Bus by `busctl`.
//!
//! On cgroup v2 systemd owns the whole tree: limits written into the files of a slice are lost when it looks at its
//! units again, so slices are made as transient units that know their limits.

use std::time::{Duration, Instant};

use crate::cgroups::{Cgroups, Limits};
use crate::command::{CommandError, run};

/// A unit of systemd could not be made, changed or stopped.
#[derive(Debug, thiserror::Error)]
pub enum SliceError {
    #[error("systemd was not asked about {slice}")]
    Command {
        slice: String,
        #[source]
        source: CommandError,
    },
    #[error("systemd has not made the cgroup of {slice} within {seconds} s")]
    Late { slice: String, seconds: u64 },
}

const MANAGER: [&str; 3] = [
    "org.freedesktop.systemd1",
    "/org/freedesktop/systemd1",
    "org.freedesktop.systemd1.Manager",
];
/// A loaded machine's systemd may take its time.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes the slice that is last in `path` (such as `/kubepods.slice/kubepods-burstable.slice`) with these limits, or
/// sets them when it is there. Returns when its cgroup exists.
pub async fn ensure(cgroups: &Cgroups, path: &str, limits: Limits) -> Result<(), SliceError> {
    let slice = name_of(path);
    if cgroups.exists(path)
        && call("SetUnitProperties", set_arguments(slice, limits))
            .await
            .is_ok()
    {
        return Ok(());
    }
    match call("StartTransientUnit", start_arguments(slice, limits)).await {
        Ok(()) => {}
        // It is loaded without being active: its cgroup comes when it is started.
        Err(CommandError::Failed { stderr, .. }) if stderr.contains("already") => {
            let failed = |source| SliceError::Command {
                slice: slice.to_owned(),
                source,
            };
            call("SetUnitProperties", set_arguments(slice, limits))
                .await
                .map_err(failed)?;
            let start = [slice, "replace"].map(str::to_owned);
            call("StartUnit", [vec!["ss".to_owned()], start.to_vec()].concat())
                .await
                .map_err(failed)?;
        }
        Err(source) => {
            return Err(SliceError::Command {
                slice: slice.to_owned(),
                source,
            });
        }
    }
    let begun = Instant::now();
    while !cgroups.exists(path) {
        if begun.elapsed() > PATIENCE {
            return Err(SliceError::Late {
                slice: slice.to_owned(),
                seconds: PATIENCE.as_secs(),
            });
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

/// Stops the slice that is last in `path`, with everything in it, and waits for its end. One that is not there is
/// stopped already.
pub async fn stop(path: &str) -> Result<(), SliceError> {
    let slice = name_of(path);
    match run("systemctl", &["stop", slice], Vec::new()).await {
        Ok(_) => Ok(()),
        Err(CommandError::Failed { stderr, .. }) if stderr.contains("not loaded") => Ok(()),
        Err(source) => Err(SliceError::Command {
            slice: slice.to_owned(),
            source,
        }),
    }
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

async fn call(method: &str, arguments: Vec<String>) -> Result<(), CommandError> {
    let mut all = vec!["--system", "--quiet", "call"];
    all.extend(MANAGER);
    all.push(method);
    all.extend(arguments.iter().map(String::as_str));
    run("busctl", &all, Vec::new()).await.map(|_| ())
}

/// Name, D-Bus type and value of what the limits are to systemd.
fn properties(limits: Limits) -> Vec<[String; 3]> {
    // The same as infinity in systemd's own files.
    let amount = |value: i64| u64::try_from(value).unwrap_or(u64::MAX).to_string();
    let property = |name: &str, value: String| [name.to_owned(), "t".to_owned(), value];
    let mut properties = Vec::new();
    properties.extend(
        limits
            .cpu_shares
            .map(|shares| property("CPUWeight", crate::cgroups::weight(shares).to_string())),
    );
    if let Some(quota) = limits.cpu_quota {
        let period = limits.cpu_period.filter(|period| *period > 0).unwrap_or(100_000);
        let per_second = match u128::try_from(quota) {
            // systemd keeps whole hundredths of a CPU; less than asked for would be a broken promise.
            Ok(quota) => (quota * 1_000_000 / period.unsigned_abs() as u128)
                .div_ceil(10_000)
                .saturating_mul(10_000)
                .to_string(),
            Err(_) => u64::MAX.to_string(),
        };
        properties.push(property("CPUQuotaPerSecUSec", per_second));
        properties.push(property("CPUQuotaPeriodUSec", period.to_string()));
    }
    properties.extend(limits.memory.map(|bytes| property("MemoryMax", amount(bytes))));
    properties.extend(limits.pids.map(|count| property("TasksMax", amount(count))));
    properties
}

/// What has no limit yet must be accounted all the same: statistics come from the group's files.
fn accounting() -> impl Iterator<Item = [String; 3]> {
    let names = [
        "CPUAccounting",
        "MemoryAccounting",
        "TasksAccounting",
        "IOAccounting",
    ];
    names
        .into_iter()
        .map(|name| [name.to_owned(), "b".to_owned(), "true".to_owned()])
}

fn start_arguments(slice: &str, limits: Limits) -> Vec<String> {
    let mut all: Vec<[String; 3]> = vec![
        [
            "Description".to_owned(),
            "s".to_owned(),
            "cgroup of pods".to_owned(),
        ],
        [
            "DefaultDependencies".to_owned(),
            "b".to_owned(),
            "false".to_owned(),
        ],
    ];
    all.extend(accounting());
    all.extend(properties(limits));
    let mut arguments = vec![
        "ssa(sv)a(sa(sv))".to_owned(),
        slice.to_owned(),
        "replace".to_owned(),
        all.len().to_string(),
    ];
    arguments.extend(all.into_iter().flatten());
    arguments.push("0".to_owned());
    arguments
}

fn set_arguments(slice: &str, limits: Limits) -> Vec<String> {
    let all = properties(limits);
    let mut arguments = vec![
        "sba(sv)".to_owned(),
        slice.to_owned(),
        "true".to_owned(),
        all.len().to_string(),
    ];
    arguments.extend(all.into_iter().flatten());
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_become_properties() {
        let text = |limits| {
            properties(limits)
                .into_iter()
                .map(|p| p.join(" "))
                .collect::<Vec<_>>()
                .join(", ")
        };
        for (limits, want) in [
            (Limits::default(), ""),
            (
                Limits {
                    cpu_shares: Some(2),
                    ..Limits::default()
                },
                "CPUWeight t 1",
            ),
            (
                Limits {
                    memory: Some(4096),
                    pids: Some(7),
                    ..Limits::default()
                },
                "MemoryMax t 4096, TasksMax t 7",
            ),
            (
                Limits {
                    memory: Some(-1),
                    ..Limits::default()
                },
                "MemoryMax t 18446744073709551615",
            ),
            (
                Limits {
                    cpu_quota: Some(20_000),
                    cpu_period: Some(100_000),
                    ..Limits::default()
                },
                "CPUQuotaPerSecUSec t 200000, CPUQuotaPeriodUSec t 100000",
            ),
            (
                Limits {
                    cpu_quota: Some(1_001),
                    ..Limits::default()
                },
                "CPUQuotaPerSecUSec t 20000, CPUQuotaPeriodUSec t 100000",
            ),
            (
                Limits {
                    cpu_quota: Some(-1),
                    ..Limits::default()
                },
                "CPUQuotaPerSecUSec t 18446744073709551615, CPUQuotaPeriodUSec t 100000",
            ),
        ] {
            assert_eq!(text(limits), want);
        }
    }

    #[test]
    fn the_number_of_properties_is_told() {
        let limits = Limits {
            pids: Some(7),
            ..Limits::default()
        };
        let start = start_arguments("kubepods.slice", limits);
        assert_eq!(start[..4], ["ssa(sv)a(sa(sv))", "kubepods.slice", "replace", "7"]);
        assert_eq!(start.len(), 4 + 7 * 3 + 1);
        assert_eq!(
            set_arguments("a.slice", limits),
            ["sba(sv)", "a.slice", "true", "1", "TasksMax", "t", "7"]
        );
    }

    #[test]
    fn a_slice_is_the_last_part_of_its_path() {
        assert_eq!(name_of("/a.slice/a-b.slice"), "a-b.slice");
    }
}
