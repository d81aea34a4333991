//! Certificates as Go's `crypto/x509` takes them, for that is what clusters have: of version 1, as `openssl x509 -req`
//! makes them; of an authority, as `openssl req -x509` makes them, believed when they are among the authorities
//! themselves; for any usage; with keys of P-521. Most Rust programs refuse these.
//!
//! [`Verifier`] follows RFC 5280, section 6, as far as Go does, in Go's words: users search for its errors. Policies are not
//! looked at; a certificate that demands it by a critical extension is refused.
//!
//! [`SigningRequest`] and [`pem`] read what users send, as Go does.
//!
//! [`provider`] is what TLS shall be set up with, so that handshakes know the same keys.

mod algorithms;
mod certificate;
mod constraints;
mod der;
mod ecdsa;
mod error;
mod handshake;
mod keys;
mod name;
mod names;
pub mod pem;
mod request;
mod roots;
mod scheme;
mod search;
mod verifier;

pub use algorithms::provider;
pub use certificate::{Certificate, Names};
pub use error::{HostError, Insecure, VerifyError};
pub use handshake::{AnyOwnedCertificate, AnyServer};
pub use keys::{certified_key, client_key};
pub use name::Name;
pub use request::{RequestError, SigningRequest};
pub use roots::Roots;
pub use verifier::{ServerVerifier, Usage, Verified, Verifier};

#[cfg(test)]
mod tests;
