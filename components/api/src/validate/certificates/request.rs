use super::signature::Signed;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::error::X509Error;
use x509_parser::oid_registry::OID_NIST_EC_P521;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

const NO_BLOCK: &str = "PEM block type must be CERTIFICATE REQUEST";
/// Bits of the shortest RSA keys whose signatures are checked without more ado.
const SHORTEST_RSA: usize = 2048;
/// Bits of the shortest RSA keys that Go checks signatures of.
const SHORTEST_SAFE_RSA: usize = 1024;

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

/// What can't be checked here, such as digests by SHA-1, is let through: the signer looks at it again.
fn signature(request: &X509CertificationRequest<'_>) -> Result<(), String> {
    let Err(refused) = request.verify_signature() else {
        return Ok(());
    };
    let key = &request.certification_request_info.subject_pki;
    let parsed = key.parsed();
    let signed = Signed {
        algorithm: &request.signature_algorithm.algorithm,
        message: request.certification_request_info.raw,
        signature: &request.signature_value.data,
    };
    let holds = match &parsed {
        Ok(PublicKey::RSA(rsa)) if rsa.key_size() < SHORTEST_SAFE_RSA => {
            return Err(format!(
                "crypto/rsa: {}-bit keys are insecure (see https://go.dev/pkg/crypto/rsa#hdr-Minimum_key_size)",
                rsa.key_size()
            ));
        }
        Ok(PublicKey::RSA(rsa)) if rsa.key_size() < SHORTEST_RSA => {
            signed.by_short_rsa(&key.subject_public_key.data)
        }
        Ok(PublicKey::EC(point)) if is_p521(key) => signed.by_p521(point.data()),
        _ => None,
    };
    let fails = match holds {
        Some(holds) => !holds,
        None => {
            refused == X509Error::SignatureVerificationError
                && !matches!(&parsed, Ok(PublicKey::RSA(rsa)) if rsa.key_size() < SHORTEST_RSA)
        }
    };
    if !fails {
        return Ok(());
    }
    let why = match parsed {
        Ok(PublicKey::RSA(_)) => "crypto/rsa: verification error",
        Ok(PublicKey::EC(_)) => "x509: ECDSA verification failure",
        _ => "x509: Ed25519 verification failure",
    };
    Err(why.to_owned())
}

fn is_p521(key: &SubjectPublicKeyInfo<'_>) -> bool {
    let curve = key.algorithm.parameters.as_ref();
    curve.and_then(|curve| curve.as_oid().ok()) == Some(OID_NIST_EC_P521)
}
