//! Flags and configuration of kube-apiserver.
