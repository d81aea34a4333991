use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Why this is no certificate, or no chain of some, in PEM and that in base64; nothing is fine.
pub(super) fn unfit(certificate: &str) -> Option<String> {
    if certificate.is_empty() {
        return None;
    }
    let Ok(pem) = STANDARD.decode(certificate) else {
        return Some("invalid base64".to_owned());
    };
    let mut count = 0;
    for block in x509_parser::pem::Pem::iter_from_buffer(&pem) {
        let Ok(block) = block else {
            // What reads blocks knows no headers, which have colons as nothing else in a block has.
            if pem.contains(&b':') {
                return Some("no PEM block headers are permitted".to_owned());
            }
            break;
        };
        if block.label != "CERTIFICATE" {
            return Some(format!(
                "only CERTIFICATE PEM blocks are allowed, found {:?}",
                block.label
            ));
        }
        count += 1;
        if block.contents.is_empty() {
            return Some("found CERTIFICATE PEM block containing 0 certificates".to_owned());
        }
        if !all_parse(&block.contents) {
            return Some("x509: malformed certificate".to_owned());
        }
    }
    (count == 0).then(|| "must contain at least one CERTIFICATE PEM block".to_owned())
}

/// A block may hold several certificates, one behind the other.
fn all_parse(mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match x509_parser::parse_x509_certificate(bytes) {
            Ok((rest, _)) => bytes = rest,
            Err(_) => return false,
        }
    }
    true
}
