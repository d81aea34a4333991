//! The controllers of a cluster.
//!
//! - [`run`]: start-up, serving, leader election; [`files`]: what flags point to; [`registry`]: the list of controllers
//! - [`runtime`]: what every controller gets: clients, shared informers, a queue
//! - [`workload`]: what the controllers that make pods share
//! - one module per controller: `plan` decides purely, `reconcile` acts

pub mod admission_policies;
pub mod bootstrap;
pub mod certificates;
pub mod clusterrole_aggregation;
pub mod cronjob;
pub mod daemonset;
pub mod deployment;
pub mod discovery;
pub mod disruption;
pub mod endpoints;
pub mod endpointslice;
pub mod endpointslice_mirroring;
pub mod error;
pub mod files;
pub mod garbage_collector;
pub mod hash;
pub mod horizontal_pod_autoscaler;
pub mod job;
pub mod namespace;
pub mod node_ipam;
pub mod node_lifecycle;
pub mod nodes;
pub mod owner;
pub mod pod_gc;
pub mod registry;
pub mod replicaset;
pub mod resource_quota;
pub mod root_ca;
pub mod run;
pub mod runtime;
pub mod selector;
pub mod service_cidr;
pub mod serviceaccount;
pub mod services;
pub mod statefulset;
pub mod taint_eviction;
pub mod ttl;
pub mod ttl_after_finished;
pub mod volume;
pub mod workload;
