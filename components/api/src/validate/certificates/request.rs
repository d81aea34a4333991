use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use x509::{RequestError, SigningRequest};

/// A well-formed PKCS#10 request, in PEM and that in base64, whose signature holds.
pub(super) fn check(encoded: &str) -> Result<(), String> {
    let text = STANDARD
        .decode(encoded)
        .map_err(|_| RequestError::NoBlock.to_string())?;
    let request = SigningRequest::from_pem(&text).map_err(|error| error.to_string())?;
    request.check_signature().map_err(|error| error.to_string())
}
