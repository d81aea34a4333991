//! Flags and configuration of kubelet.
