//! Decides for one pod: which nodes can take it, and which of them should.

pub mod cycle;
pub mod failure;
pub mod plugin;
pub mod profile;
pub mod scoring;
pub mod search;
pub mod what_if;

pub use cycle::Cycle;
pub use failure::{Failure, Reason, Rejection};
pub use plugin::{Plugin, PluginMask};
pub use profile::Profile;
pub use search::{Decision, Search};
pub use what_if::WhatIf;

#[cfg(test)]
mod tests;
