//! Flags and configuration of kubelet.

pub mod configuration;
mod flags;

pub use configuration::{ConfigurationError, KubeletConfiguration};
pub use flags::{KubeletFlags, TaintFlagError, UNUSED_FLAGS, parse_labels, parse_taints};
