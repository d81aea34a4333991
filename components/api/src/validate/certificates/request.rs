use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use x509::{Signed, VerifyError};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::der_parser::asn1_rs::{Any, FromDer as _};

const NO_BLOCK: &str = "PEM block type must be CERTIFICATE REQUEST";

/// A well-formed PKCS#10 request, in PEM and that in base64, whose signature holds.
pub(super) fn check(encoded: &str) -> Result<(), String> {
    let pem = STANDARD.decode(encoded).map_err(|_| NO_BLOCK.to_owned())?;
    let block = x509_parser::pem::Pem::iter_from_buffer(&pem)
        .next()
        .and_then(Result::ok)
        .filter(|block| block.label == "CERTIFICATE REQUEST")
        .ok_or(NO_BLOCK)?;
    let malformed = || "asn1: structure error".to_owned();
    let (rest, request) = X509CertificationRequest::from_der(&block.contents).map_err(|_| malformed())?;
    if !rest.is_empty() {
        return Err("asn1: syntax error: trailing data".to_owned());
    }
    let message = request.certification_request_info.raw;
    let (_, outer) = Any::from_der(&block.contents).map_err(|_| malformed())?;
    let (_, algorithm) = Any::from_der(&outer.data[message.len()..]).map_err(|_| malformed())?;
    let signed = Signed {
        algorithm: algorithm.data,
        message,
        signature: &request.signature_value.data,
    };
    match signed.check(request.certification_request_info.subject_pki.raw) {
        Err(error @ (VerifyError::Signature(_) | VerifyError::ShortRsa(_))) => Err(error.to_string()),
        // What can't be checked here, such as digests by SHA-1, is let through: the signer looks at it again.
        _ => Ok(()),
    }
}
