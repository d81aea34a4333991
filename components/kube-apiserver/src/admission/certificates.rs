//! CertificateApproval, CertificateSigning and CertificateSubjectRestriction.

use super::{Attributes, Operation};
use crate::authorization::attributes::Attributes as Question;
use crate::server::Server;
use apimachinery::ApiError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use x509::{RequestError, SigningRequest};

const GROUP: &str = "certificates.k8s.io";

/// What an object asks for.
///
/// # Errors
///
/// In upstream's words: it can't be read.
pub fn requested(object: &Value) -> Result<SigningRequest, RequestError> {
    let text = object["spec"]["request"].as_str().unwrap_or_default();
    let text = STANDARD.decode(text).map_err(|_| RequestError::NoBlock)?;
    SigningRequest::from_pem(&text)
}

/// CertificateSubjectRestriction: nobody asks for the group that may do everything.
pub fn subject(attributes: &Attributes<'_>, object: Option<&Value>) -> Result<(), ApiError> {
    let Some(object) = object else { return Ok(()) };
    let new = attributes.operation == Operation::Create && attributes.subresource.is_empty();
    if !new || object["spec"]["signerName"] != "kubernetes.io/kube-apiserver-client" {
        return Ok(());
    }
    let requested = requested(object);
    let requested =
        requested.map_err(|error| attributes.forbidden(&format!("failed to parse CSR: {error}")))?;
    let masters = requested
        .organizations
        .iter()
        .any(|group| group == crate::identity::MASTERS);
    if masters {
        return Err(attributes.forbidden(
            "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed",
        ));
    }
    Ok(())
}

fn signer_of(old: Option<&Value>) -> &str {
    old.and_then(|old| old["spec"]["signerName"].as_str())
        .unwrap_or("")
}

/// CertificateApproval: who approves or denies must be let for the signer.
pub fn approval(server: &Server, attributes: &Attributes<'_>, old: Option<&Value>) -> Result<(), ApiError> {
    if attributes.operation != Operation::Update || attributes.subresource != "approval" {
        return Ok(());
    }
    require(
        server,
        attributes,
        signer_of(old),
        "approve",
        "user not permitted to approve requests with signerName",
    )
}

/// CertificateSigning: who puts a certificate into the status must be let for the signer.
pub fn signing(
    server: &Server,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    if attributes.operation != Operation::Update || attributes.subresource != "status" {
        return Ok(());
    }
    if old
        .zip(object)
        .is_some_and(|(old, new)| !signs(&old["status"], &new["status"]))
    {
        return Ok(());
    }
    require(
        server,
        attributes,
        signer_of(old),
        "sign",
        "user not permitted to sign requests with signerName",
    )
}

/// Whether a status changes what only the signer says: the certificate, or that there won't be one.
fn signs(old: &Value, new: &Value) -> bool {
    ["certificate", "conditions"]
        .iter()
        .any(|field| !api::same(&old[*field], &new[*field]))
}

/// ClusterTrustBundleAttest: who says whom to trust for a signer must be let for it.
pub fn attest(
    server: &Server,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    if let (Some(new), Some(old)) = (object, old) {
        if new["spec"]["signerName"] != old["spec"]["signerName"] {
            return Err(attributes.forbidden("changing signerName is forbidden"));
        }
        // Whoever only changes the metadata says nothing of whom to trust.
        if api::same(&new["spec"], &old["spec"]) {
            return Ok(());
        }
    }
    let signer = object.and_then(|object| object["spec"]["signerName"].as_str());
    match signer.filter(|signer| !signer.is_empty()) {
        None => Ok(()),
        Some(signer) => require(
            server,
            attributes,
            signer,
            "attest",
            "user not permitted to attest for signerName",
        ),
    }
}

/// A signer may be named as a whole or by its domain.
fn require(
    server: &Server,
    attributes: &Attributes<'_>,
    signer: &str,
    verb: &str,
    why: &str,
) -> Result<(), ApiError> {
    let domain = format!("{}/*", signer.split('/').next().unwrap_or(""));
    let allowed = [signer, domain.as_str()].iter().any(|name| {
        let question = Question::resource(&attributes.user, verb, GROUP, "signers").named(name);
        server.authorizer.authorize(&question).allowed()
    });
    if allowed {
        Ok(())
    } else {
        Err(attributes.forbidden(&format!("{why} {signer:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_signer_says() {
        let failed = json!({"conditions": [{"type": "Failed", "status": "True"}]});
        for (old, new, expected) in [
            (json!({}), json!({}), false),
            (json!({}), json!({"conditions": []}), false),
            (json!({}), json!({"certificate": "eA=="}), true),
            (json!({}), failed.clone(), true),
            (failed.clone(), failed, false),
        ] {
            assert_eq!(signs(&old, &new), expected, "{old} {new}");
        }
    }
}
