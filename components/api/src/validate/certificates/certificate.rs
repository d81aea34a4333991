use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use x509::{Certificate, pem};

/// Why this is no certificate, or no chain of some, in PEM and that in base64; nothing is fine.
pub(super) fn unfit(certificate: &str) -> Option<String> {
    if certificate.is_empty() {
        return None;
    }
    let Ok(text) = STANDARD.decode(certificate) else {
        return Some("invalid base64".to_owned());
    };
    let mut count = 0;
    for block in pem::blocks(&text) {
        if block.label != "CERTIFICATE" {
            return Some(format!(
                "only CERTIFICATE PEM blocks are allowed, found {:?}",
                block.label
            ));
        }
        if block.has_headers {
            return Some("no PEM block headers are permitted".to_owned());
        }
        count += 1;
        // A block may hold several.
        match Certificate::read_all(&block.contents) {
            Err(error) => return Some(error.to_string()),
            Ok(all) if all.is_empty() => {
                return Some("found CERTIFICATE PEM block containing 0 certificates".to_owned());
            }
            Ok(_) => {}
        }
    }
    (count == 0).then(|| "must contain at least one CERTIFICATE PEM block".to_owned())
}
