use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::error::X509Error;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

const NO_BLOCK: &str = "PEM block type must be CERTIFICATE REQUEST";
/// Signatures of shorter RSA keys can't be checked here.
const SHORTEST_RSA_BITS: usize = 2048;

/// A well-formed PKCS#10 request, in PEM and that in base64, whose signature holds.
pub(super) fn check(encoded: &str) -> Result<(), String> {
    let pem = STANDARD.decode(encoded).map_err(|_| NO_BLOCK.to_owned())?;
    let block = x509_parser::pem::Pem::iter_from_buffer(&pem)
        .next()
        .and_then(Result::ok)
        .filter(|block| block.label == "CERTIFICATE REQUEST")
        .ok_or(NO_BLOCK)?;
    let (rest, request) = X509CertificationRequest::from_der(&block.contents)
        .map_err(|_| "asn1: structure error".to_owned())?;
    if !rest.is_empty() {
        return Err("asn1: syntax error: trailing data".to_owned());
    }
    signature(&request)
}

/// What the cryptography here can't check is let through: the signer looks at it again.
fn signature(request: &X509CertificationRequest<'_>) -> Result<(), String> {
    let Err(X509Error::SignatureVerificationError) = request.verify_signature() else {
        return Ok(());
    };
    let key = request.certification_request_info.subject_pki.parsed();
    let why = match key {
        Ok(PublicKey::RSA(key)) if key.key_size() < SHORTEST_RSA_BITS => return Ok(()),
        Ok(PublicKey::RSA(_)) => "crypto/rsa: verification error",
        Ok(PublicKey::EC(_)) => "x509: ECDSA verification failure",
        _ => "x509: Ed25519 verification failure",
    };
    Err(why.to_owned())
}
