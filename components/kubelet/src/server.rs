//! The kubelet's server.

pub mod logs;
