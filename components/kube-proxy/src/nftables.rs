//! The nftables mode.
//!
//! One shared map leads from (address, protocol, port, index) to endpoints, and one small chain per number of
//! endpoints picks the index. So a changed Service is a few map elements, however many Services there are;
//! only session affinity and source ranges need chains of their own.

pub mod base;
pub mod chains;
pub mod element;
pub mod ruleset;
pub mod service;

pub use ruleset::Ruleset;

/// The table, in family `ip` or `ip6`.
pub const TABLE: &str = "kube-proxy";
