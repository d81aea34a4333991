//! The nftables mode.
//!
//! One chain per number of endpoints picks an index at random, and one map per index leads from (address,
//! protocol, port) to the endpoint; all Services share them. So a changed Service is a few map elements,
//! however many Services there are; only session affinity and source ranges need chains of their own.

pub mod base;
pub mod chains;
pub mod element;
pub mod ruleset;
pub mod service;

pub use ruleset::Ruleset;

/// The table, in family `ip` or `ip6`.
pub const TABLE: &str = "kube-proxy";
