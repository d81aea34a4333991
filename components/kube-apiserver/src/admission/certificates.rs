//! CertificateApproval, CertificateSigning and CertificateSubjectRestriction.

use super::{Attributes, Operation};
use crate::authorization::attributes::Attributes as Question;
use crate::server::Server;
use apimachinery::ApiError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::pem::{PemObject, SectionKind};
use serde_json::Value;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

const GROUP: &str = "certificates.k8s.io";

fn requested_der(object: &Value) -> Option<Vec<u8>> {
    let pem = STANDARD.decode(object["spec"]["request"].as_str()?).ok()?;
    <(SectionKind, Vec<u8>)>::pem_slice_iter(&pem)
        .filter_map(Result::ok)
        .find(|(kind, _)| *kind == SectionKind::Csr)
        .map(|(_, der)| der)
}

/// The common name that a signing request asks for.
pub fn requested_common_name(object: &Value) -> Option<String> {
    let der = requested_der(object)?;
    let (_, request) = X509CertificationRequest::from_der(&der).ok()?;
    let name = request
        .certification_request_info
        .subject
        .iter_common_name()
        .next()?
        .as_str()
        .ok()?
        .to_owned();
    Some(name)
}

fn requested_organizations(object: &Value) -> Vec<String> {
    let Some(der) = requested_der(object) else {
        return Vec::new();
    };
    let Ok((_, request)) = X509CertificationRequest::from_der(&der) else {
        return Vec::new();
    };
    request
        .certification_request_info
        .subject
        .iter_organization()
        .filter_map(|name| name.as_str().ok())
        .map(str::to_owned)
        .collect()
}

/// Checks writes of signing requests.
pub fn admit(
    server: &Server,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    if !attributes.is(GROUP, "certificatesigningrequests") {
        return Ok(());
    }
    let Some(object) = object else { return Ok(()) };
    let signer = object["spec"]["signerName"].as_str().unwrap_or("");
    match (attributes.operation, attributes.subresource.as_str()) {
        (Operation::Create, "") => {
            let masters = requested_organizations(object)
                .iter()
                .any(|group| group == crate::identity::MASTERS);
            if signer == "kubernetes.io/kube-apiserver-client" && masters {
                return Err(attributes.forbidden("use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"));
            }
            Ok(())
        }
        (Operation::Update, "approval") => {
            let signer = old
                .and_then(|old| old["spec"]["signerName"].as_str())
                .unwrap_or(signer);
            require(
                server,
                attributes,
                signer,
                "approve",
                "user not permitted to approve requests with signerName",
            )
        }
        (Operation::Update, "status") => {
            let certificate = |object: &Value| object["status"]["certificate"].clone();
            if old.is_some_and(|old| certificate(old) == certificate(object)) {
                return Ok(());
            }
            let signer = old
                .and_then(|old| old["spec"]["signerName"].as_str())
                .unwrap_or(signer);
            require(
                server,
                attributes,
                signer,
                "sign",
                "user not permitted to sign requests with signerName",
            )
        }
        _ => Ok(()),
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
