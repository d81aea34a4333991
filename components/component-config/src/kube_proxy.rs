//! Flags and configuration of kube-proxy: KubeProxyConfiguration of kubeproxy.config.k8s.io/v1alpha1.

mod configuration;
mod flags;

pub use configuration::*;
pub use flags::*;

#[cfg(test)]
mod tests;
