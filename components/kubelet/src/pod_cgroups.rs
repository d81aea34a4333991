//! The cgroups of the pods and their classes.
//!
//! With the systemd driver the slices come into being with the first scope in them, which runc asks systemd
//! for; their limits are set in the files, and a pod's slice is stopped when the pod is gone.

use host::cgroups::{Cgroups, Limits};
use k8s_openapi::api::core::v1::Pod;

use crate::pod::cgroup_path::{CgroupDriver, class_cgroup, pod_cgroup, runtime_parent};
use crate::pod::members::PodView;
use crate::pod::qos::{Qos, qos_class};
use crate::pod::resources::{CpuSettings, pod_limits};

/// Handle; clones are the same.
#[derive(Clone)]
pub struct PodCgroups {
    cgroups: Cgroups,
    driver: CgroupDriver,
    root: String,
    cpu: CpuSettings,
    pids_limit: Option<i64>,
}

impl PodCgroups {
    pub fn new(cgroups: Cgroups, driver: CgroupDriver, root: &str, cpu: CpuSettings, pids_limit: i64) -> Self {
        Self { cgroups, driver, root: root.to_owned(), cpu, pids_limit: (pids_limit > 0).then_some(pids_limit) }
    }

    pub fn path(&self, pod: &Pod) -> String {
        pod_cgroup(self.driver, &self.root, qos_class(pod), pod.uid())
    }

    pub fn cgroups(&self) -> &Cgroups {
        &self.cgroups
    }

    /// Makes the groups of the classes; `all` limits what all pods use together.
    pub fn create_classes(&self, all: Limits) -> std::io::Result<()> {
        for qos in [Qos::Guaranteed, Qos::Burstable, Qos::BestEffort] {
            if self.driver == CgroupDriver::Cgroupfs {
                self.cgroups.create(&class_cgroup(self.driver, &self.root, qos))?;
            }
        }
        if self.driver == CgroupDriver::Cgroupfs {
            self.cgroups.limit(&class_cgroup(self.driver, &self.root, Qos::Guaranteed), all)?;
            let limits = Limits { cpu_shares: Some(2), ..Limits::default() };
            self.cgroups.limit(&class_cgroup(self.driver, &self.root, Qos::BestEffort), limits)?;
        }
        Ok(())
    }

    /// Makes the pod's group, when that is ours to do, and sets its limits.
    pub fn create(&self, pod: &Pod) -> std::io::Result<()> {
        let path = self.path(pod);
        if self.driver == CgroupDriver::Cgroupfs {
            self.cgroups.create(&path)?;
        }
        self.limit(pod)
    }

    /// Sets the pod's limits, if its group is there.
    pub fn limit(&self, pod: &Pod) -> std::io::Result<()> {
        let limits = pod_limits(pod, self.cpu);
        let limits = Limits {
            cpu_shares: Some(limits.shares),
            cpu_period: limits.quota.map(|_| limits.period),
            cpu_quota: limits.quota,
            memory: limits.memory,
            pids: self.pids_limit,
        };
        self.cgroups.limit(&self.path(pod), limits)
    }

    /// Removes the pod's group, in whichever class it is: of an orphan only the UID is known. What still runs
    /// in it is killed: its containers were stopped before.
    pub async fn remove(&self, pod: &Pod) -> std::io::Result<()> {
        for qos in [Qos::Guaranteed, Qos::Burstable, Qos::BestEffort] {
            let path = pod_cgroup(self.driver, &self.root, qos, pod.uid());
            if self.cgroups.exists(&path) {
                self.remove_path(&path).await?;
            }
        }
        Ok(())
    }

    async fn remove_path(&self, path: &str) -> std::io::Result<()> {
        if self.driver == CgroupDriver::Systemd {
            let slice = runtime_parent(self.driver, path);
            let stopped = tokio::process::Command::new("systemctl").args(["stop", &slice]).output().await?;
            if !stopped.status.success() {
                // The slice may have gone with its last scope.
                tracing::debug!(slice, error = %String::from_utf8_lossy(&stopped.stderr), "slice not stopped");
            }
            // In hierarchies of version 1 that systemd does not manage, runc has made the group and it stays.
            return self.cgroups.remove(path);
        }
        for process in self.cgroups.processes(path) {
            // It may have ended by itself meanwhile.
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(process), nix::sys::signal::Signal::SIGKILL);
        }
        self.cgroups.remove(path)
    }
}
