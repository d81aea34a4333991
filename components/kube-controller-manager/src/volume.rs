//! Persistent volumes: binding claims to volumes, and keeping what is in use.

pub mod bind;
mod binder;
mod claims;
mod classes;
mod ephemeral;
mod protection;

pub use binder::start as start_binder;
pub use classes::start as start_class_protection;
pub use ephemeral::start as start_ephemeral;
pub use protection::{start_claims as start_claim_protection, start_volumes as start_volume_protection};
