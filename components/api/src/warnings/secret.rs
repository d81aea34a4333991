//! Secrets for TLS, of which the parts may be missing or switched (Go's tls.X509KeyPair).
use crate::value::text;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use x509::pem;

/// The first thing that is wrong with a pair of certificate and key, as far as the blocks of the PEM files tell. Whether the key
/// is that of the certificate is not looked at.
pub(super) fn pair(secret: &Value) -> Option<String> {
    let certificate = labels(secret, "tls.crt");
    if !certificate.iter().any(|label| label == "CERTIFICATE") {
        return Some(match &certificate[..] {
            [] => "tls: failed to find any PEM data in certificate input".into(),
            [one] if one.ends_with("PRIVATE KEY") => {
                "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched".into()
            }
            others => format!(
                "tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM blocks of the following types: [{}]",
                others.join(" ")
            ),
        });
    }
    let key = labels(secret, "tls.key");
    let is_key = |label: &String| label == "PRIVATE KEY" || label.ends_with(" PRIVATE KEY");
    if key.iter().any(is_key) {
        return None;
    }
    Some(match &key[..] {
        [] => "tls: failed to find any PEM data in key input".into(),
        [one] if one == "CERTIFICATE" => {
            "tls: found a certificate rather than a key in the PEM for the private key".into()
        }
        others => format!(
            "tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input after skipping PEM blocks of the following types: [{}]",
            others.join(" ")
        ),
    })
}

/// The labels of the PEM blocks of a member.
fn labels(secret: &Value, member: &str) -> Vec<String> {
    let bytes = STANDARD
        .decode(text(secret, &["data", member]))
        .unwrap_or_default();
    pem::blocks(&bytes).map(|block| block.label).collect()
}
