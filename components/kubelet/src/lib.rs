//! The kubelet: runs the pods that are bound to this node.
//!
//! - [`app`]: puts everything together
//! - [`runtime`]: the container runtime over CRI
//! - [`pod`]: what a pod should be: decisions, statuses, configurations (pure)
//! - [`worker`]: the task that runs one pod; [`manager`] owns the workers
//! - [`sources`]: where pods come from; [`objects`]: config maps and secrets that they use
//! - [`volumes`], [`images`], [`probes`], [`handlers`], [`pod_cgroups`]: what workers use
//! - [`status_writer`]: pod statuses to the API server; [`node`]: the Node object and its lease
//! - [`housekeeping`]: logs, records and images that are not needed any more
//! - [`server`]: logs, exec, attach, port-forward, metrics

pub mod admission;
pub mod allocation;
pub mod app;
pub mod context;
pub mod eviction;
pub mod handlers;
pub mod housekeeping;
pub mod images;
pub mod manager;
pub mod metrics;
pub mod node;
pub mod objects;
pub mod pod;
pub mod pod_cgroups;
pub mod probes;
pub mod runtime;
pub mod server;
pub mod sources;
pub mod status_writer;
pub mod volumes;
pub mod worker;
