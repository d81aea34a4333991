//! kube-proxy: Services as rules of the kernel.
//!
//! [`model`] says what each port of each Service means on this node; [`nftables`] and [`iptables`] turn that
//! into rules, each with its own notion of what has to change; [`run`] watches and applies.

pub mod configuration;
pub mod conntrack;
pub mod health_check;
pub mod iptables;
pub mod metrics;
pub mod model;
pub mod nftables;
pub mod options;
pub mod run;
pub mod sync;
