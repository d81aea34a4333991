//! The cgroups of the pods and their classes.
//!
//! With the systemd driver on cgroup v2 each of them is a slice that systemd makes with its limits. On v1 the slices
//! come into being with the first scope in them, which runc asks systemd for, and limits are set in the files.

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::sync::Arc;

use host::cgroups::{Cgroups, Limits, Version};
use host::slices;
use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;

use crate::pod::cgroup_path::{CgroupDriver, class_cgroup, pod_cgroup};
use crate::pod::members::PodView;
use crate::pod::qos::{Qos, qos_class};
use crate::pod::resources::{CpuSettings, pod_limits, pod_requests, shares};

/// Handle; clones are the same.
#[derive(Clone)]
pub struct PodCgroups {
    cgroups: Cgroups,
    driver: CgroupDriver,
    root: String,
    cpu: CpuSettings,
    pids_limit: Option<i64>,
    /// Requested milli-CPU of the burstable pods, by UID; the class gets as much together.
    burstable: Arc<Mutex<HashMap<String, i64>>>,
}

impl PodCgroups {
    pub fn new(
        cgroups: Cgroups,
        driver: CgroupDriver,
        root: &str,
        cpu: CpuSettings,
        pids_limit: i64,
    ) -> Self {
        Self {
            cgroups,
            driver,
            root: root.to_owned(),
            cpu,
            pids_limit: (pids_limit > 0).then_some(pids_limit),
            burstable: Arc::default(),
        }
    }

    pub fn path(&self, pod: &Pod) -> String {
        pod_cgroup(self.driver, &self.root, qos_class(pod), pod.uid())
    }

    /// The group of all pods together.
    pub fn all_pods(&self) -> String {
        class_cgroup(self.driver, &self.root, Qos::Guaranteed)
    }

    pub fn cgroups(&self) -> &Cgroups {
        &self.cgroups
    }

    fn slices_are_ours(&self) -> bool {
        self.driver == CgroupDriver::Systemd && self.cgroups.version() == Version::V2
    }

    /// Makes the group, when that is ours to do, and sets its limits.
    async fn ensure(&self, path: &str, limits: Limits) -> io::Result<()> {
        if self.slices_are_ours() {
            return slices::ensure(&self.cgroups, path, limits).await.map_err(flat);
        }
        if self.driver == CgroupDriver::Cgroupfs {
            self.cgroups.create(path)?;
        }
        self.cgroups.limit(path, limits)
    }

    /// Makes the groups of the classes; `all` limits what all pods use together.
    pub async fn create_classes(&self, all: Limits) -> io::Result<()> {
        let least = Limits {
            cpu_shares: Some(2),
            ..Limits::default()
        };
        for (qos, limits) in [
            (Qos::Guaranteed, all),
            (Qos::Burstable, least),
            (Qos::BestEffort, least),
        ] {
            self.ensure(&class_cgroup(self.driver, &self.root, qos), limits)
                .await?;
        }
        Ok(())
    }

    /// Gives the burstable class the share of its pods, which are among `pods`.
    pub async fn share_out(&self, pods: &[Arc<Pod>]) -> io::Result<()> {
        let own = pods
            .iter()
            .filter(|pod| qos_class(pod) == Qos::Burstable && !crate::admission::is_over(pod));
        let wanted: HashMap<String, i64> = own
            .map(|pod| (pod.uid().to_owned(), pod_requests(pod).0))
            .collect();
        let changed = std::mem::replace(&mut *self.burstable.lock(), wanted.clone()) != wanted;
        if changed {
            self.share_burstable().await
        } else {
            Ok(())
        }
    }

    async fn share_burstable(&self) -> io::Result<()> {
        let together: i64 = self.burstable.lock().values().sum();
        let limits = Limits {
            cpu_shares: Some(shares(together)),
            ..Limits::default()
        };
        self.ensure(&class_cgroup(self.driver, &self.root, Qos::Burstable), limits)
            .await
    }

    /// Makes the pod's group, when that is ours to do, and sets its limits.
    pub async fn create(&self, pod: &Pod) -> io::Result<()> {
        if qos_class(pod) == Qos::Burstable {
            let request = pod_requests(pod).0;
            if self.burstable.lock().insert(pod.uid().to_owned(), request) != Some(request) {
                self.share_burstable().await?;
            }
        }
        self.ensure(&self.path(pod), self.limits(pod)).await
    }

    /// Sets those limits that are higher for `pod` than they were for `before`; a lower request holds at once.
    pub async fn widen(&self, before: &Pod, pod: &Pod) -> io::Result<()> {
        let (old, new) = (pod_limits(before, self.cpu), pod_limits(pod, self.cpu));
        let higher = |old: Option<i64>, new: Option<i64>| new.filter(|new| old.is_some_and(|old| *new > old));
        let quota = higher(old.quota, new.quota);
        let limits = Limits {
            cpu_shares: Some(new.shares),
            cpu_period: quota.map(|_| new.period),
            cpu_quota: quota,
            memory: higher(old.memory, new.memory),
            pids: self.pids_limit,
        };
        self.ensure(&self.path(pod), limits).await
    }

    /// Sets the pod's limits, if its group came into being without them.
    pub fn limit(&self, pod: &Pod) -> io::Result<()> {
        if self.slices_are_ours() {
            return Ok(());
        }
        self.cgroups.limit(&self.path(pod), self.limits(pod))
    }

    fn limits(&self, pod: &Pod) -> Limits {
        let limits = pod_limits(pod, self.cpu);
        Limits {
            cpu_shares: Some(limits.shares),
            cpu_period: limits.quota.map(|_| limits.period),
            cpu_quota: limits.quota,
            memory: limits.memory,
            pids: self.pids_limit,
        }
    }

    /// Removes the pod's group, in whichever class it is: of an orphan only the UID is known. What still runs
    /// in it is killed: its containers were stopped before.
    pub async fn remove(&self, pod: &Pod) -> io::Result<()> {
        for qos in [Qos::Guaranteed, Qos::Burstable, Qos::BestEffort] {
            let path = pod_cgroup(self.driver, &self.root, qos, pod.uid());
            if self.cgroups.exists(&path) {
                self.remove_path(&path).await?;
            }
        }
        let left = self.burstable.lock().remove(pod.uid());
        if left.is_some_and(|request| request > 0) {
            self.share_burstable().await
        } else {
            Ok(())
        }
    }

    async fn remove_path(&self, path: &str) -> io::Result<()> {
        if self.driver == CgroupDriver::Systemd {
            if let Err(error) = slices::stop(path).await.map_err(flat) {
                // The slice may have gone with its last scope.
                tracing::debug!(path, %error, "slice not stopped");
            }
            // In hierarchies of version 1 that systemd does not manage, runc has made the group and it stays.
            return self.cgroups.remove(path);
        }
        for process in self.cgroups.processes(path) {
            // It may have ended by itself meanwhile.
            let _ = nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(process),
                nix::sys::signal::Signal::SIGKILL,
            );
        }
        self.cgroups.remove(path)
    }
}

/// An error with all its causes in its text.
fn flat(error: slices::SliceError) -> io::Error {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    io::Error::other(text)
}
