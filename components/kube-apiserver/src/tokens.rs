//! Service-account tokens: keys, signing, verification, published key set.

pub mod claims;
pub mod external;
pub mod issue;
pub mod jwk;
pub mod jwt;

pub use pki::tokens as keys;
