//! Flags and configuration of kube-scheduler.
