//! Flags and configuration of kube-proxy.
