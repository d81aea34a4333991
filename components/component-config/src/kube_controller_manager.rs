//! Flags and configuration of kube-controller-manager.
