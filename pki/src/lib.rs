//! Certificate authorities, leaf profiles and expiry of a hardway cluster.
//!
//! Pure: nothing here reads a clock, a file or the network. The provisioner decides where the keys live.

mod authority;
mod error;
mod inspect;
mod keys;
mod leaf;
mod profile;
mod renewal;
mod request;
pub mod tokens;

pub use authority::{AUTHORITY_LIFETIME, Authority, CertificateAuthority};
pub use error::PkiError;
pub use inspect::{Inspected, inspect, inspect_all, inspect_der};
pub use keys::{KeyMaterial, ServiceAccountKeys};
pub use leaf::{BACKDATED, Issued, LeafRequest, Usage};
pub use profile::{ApiNames, HostNames, LEAF_LIFETIME, Names, PROFILES, Profile, Scope, profile};
pub use renewal::{Renewal, renewal};
pub use request::{RequestTerms, client_request};
