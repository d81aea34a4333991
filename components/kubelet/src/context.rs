//! What all pod workers share.

use std::collections::BTreeMap;
use std::sync::Arc;

use client::Informer;
use client::events::{Recorder, Type};
use k8s_openapi::api::core::v1::{ObjectReference, Pod, Service};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use parking_lot::RwLock;

use crate::eviction::DiskUse;
use crate::images::Images;
use crate::metrics::KubeletMetrics;
use crate::pod::environment::FieldContext;
use crate::pod::members::{PodView, Role};
use crate::pod::sandbox_config::NodeSettings;
use crate::pod_cgroups::PodCgroups;
use crate::probes::Probes;
use crate::runtime::Runtime;
use crate::status_writer::StatusWriter;
use crate::volumes::Volumes;

/// Shared by all workers.
pub struct Context {
    pub runtime: Runtime,
    pub runtime_name: String,
    pub settings: NodeSettings,
    pub volumes: Volumes,
    pub images: Images,
    pub probes: Probes,
    pub cgroups: PodCgroups,
    pub disk: DiskUse,
    pub status: StatusWriter,
    pub recorder: Recorder,
    pub metrics: KubeletMetrics,
    pub services: Option<Informer<Service>>,
    /// Addresses of this node, the first one of its main family; found out anew with each node status.
    pub host_ips: RwLock<Vec<String>>,
    pub allocatable: BTreeMap<String, Quantity>,
    pub back_off_maximum: std::time::Duration,
}

impl Context {
    /// Records an event about a pod or one of its containers.
    pub fn event(
        &self,
        pod: &Pod,
        container: Option<(Role, &str)>,
        kind: Type,
        reason: &str,
        message: impl Into<String>,
    ) {
        let message = message.into();
        // Events may not get anywhere, and the log is what is left on a host whose API server is down.
        match kind {
            Type::Warning => tracing::warn!(pod = %pod.full_name(), reason, message),
            Type::Normal => tracing::debug!(pod = %pod.full_name(), reason, message),
        }
        self.recorder
            .event(pod_reference(pod, container), kind, reason, message);
    }

    /// Records an event about this node.
    pub fn node_event(&self, kind: Type, reason: &str, message: impl Into<String>) {
        let about = node_reference(&self.settings.node_name);
        self.recorder.event(about, kind, reason, message.into());
    }

    /// Calls `use_context` with what fields of pods depend on.
    pub fn with_fields<T>(&self, pod_ips: &[String], use_context: impl FnOnce(&FieldContext<'_>) -> T) -> T {
        let host_ips = self.host_ips.read().clone();
        use_context(&FieldContext {
            node_name: &self.settings.node_name,
            host_ips: &host_ips,
            pod_ips,
            allocatable: &self.allocatable,
        })
    }
}

/// A reference as upstream has it, with the name for the UID.
pub fn node_reference(name: &str) -> ObjectReference {
    ObjectReference {
        kind: Some("Node".to_owned()),
        name: Some(name.to_owned()),
        uid: Some(name.to_owned()),
        ..ObjectReference::default()
    }
}

/// A reference as upstream has it, with the container in the field path.
pub fn pod_reference(pod: &Pod, container: Option<(Role, &str)>) -> ObjectReference {
    // Events of static pods are about what the API server knows: the mirror pod, known by the manifest's hash.
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: Some(pod.name().to_owned()),
        namespace: Some(pod.namespace().to_owned()),
        uid: Some(pod.uid().to_owned()),
        resource_version: pod.metadata.resource_version.clone(),
        field_path: container.map(|(role, name)| match role {
            Role::App => format!("spec.containers{{{name}}}"),
            Role::Init | Role::Sidecar => format!("spec.initContainers{{{name}}}"),
            Role::Ephemeral => format!("spec.ephemeralContainers{{{name}}}"),
        }),
    }
}

/// Shared handle.
pub type Shared = Arc<Context>;
