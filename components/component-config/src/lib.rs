//! Flags and configuration files of every daemon, as types.
//!
//! The daemons parse them and the provisioner renders from them, so the two cannot disagree.
//! Names, spellings and defaults are upstream Kubernetes v1.36's.

pub mod api_balancer;
pub mod cluster_dns;
pub mod flags;
pub mod kube_apiserver;
pub mod kube_controller_manager;
pub mod kube_proxy;
pub mod kube_scheduler;
pub mod kubelet;
pub mod pod_network;
pub mod tls;
pub mod versions;

/// The version of Kubernetes whose API and behaviour the daemons have, as they report it.
pub const KUBERNETES_VERSION: &str = "v1.36.2";

/// What a daemon calls itself in its requests.
pub fn user_agent(daemon: &str) -> String {
    format!("{daemon}/{KUBERNETES_VERSION}")
}
