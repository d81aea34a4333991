//! Certificate signing requests: approving the kubelets' own, signing, and removing old ones.

mod approve;
mod clean;
pub mod request;
mod sign;

pub use approve::start as start_approving;
pub use clean::start as start_cleaning;
pub use sign::{Signer, signers, start as start_signing};

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;

pub fn has_condition(request: &CertificateSigningRequest, kind: &str) -> bool {
    let conditions = request
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == kind)
}

pub fn is_issued(request: &CertificateSigningRequest) -> bool {
    let certificate = request
        .status
        .as_ref()
        .and_then(|status| status.certificate.as_ref());
    certificate.is_some_and(|certificate| !certificate.0.is_empty())
}
