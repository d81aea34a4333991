//! kube-apiserver: the Kubernetes API over etcd.
//!
//! A request goes through [`pipeline`] to [`handlers`] and, for resources, to one of [`verbs`].

pub mod admission;
pub mod aggregator;
pub mod answer;
pub mod audit;
pub mod authentication;
pub mod authorization;
mod beat;
pub mod bootstrap;
pub mod build_info;
pub mod compress;
pub mod configuration;
pub mod connect;
pub mod declarations;
pub mod definitions;
pub mod etcd;
mod events;
pub mod flow_control;
pub mod handlers;
pub mod identity;
pub mod inflight;
pub mod kinds;
pub mod lifecycle;
pub mod media;
pub mod metadata;
pub mod metrics;
pub mod peers;
pub mod pipeline;
pub mod present;
pub mod protobuf;
pub mod request;
pub mod request_info;
pub mod reviews;
pub mod run;
pub mod selectors;
pub mod server;
pub mod services;
pub mod serving;
pub mod stores;
pub mod subresources;
pub mod sync;
pub mod timeout;
pub mod tokens;
pub mod traces;
pub mod verbs;
pub mod webhook;
