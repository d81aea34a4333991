//! Workers that the operator cannot reach over SSH take themselves in, as with kubeadm: a bootstrap token, an authority
//! that is known by its hash, a certificate request that the controller manager approves.
//!
//! The operator decides beforehand which host it is: with the token goes an *offer*, a Secret that only this token may
//! read, with what a worker cannot ask for itself. The kubelet's own key never leaves the host.

mod discover;
mod here;
mod objects;
mod offer;
mod request;
mod token;

pub use here::{Here, join};
pub use objects::{Summary, create, delete, delete_for, list};
pub use offer::{Member, Offer};
pub use token::{Token, authority_hashes};
