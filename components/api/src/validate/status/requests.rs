//! What becomes of a CertificateSigningRequest: who approves, and the certificate.
use crate::value::{list, text};
use apimachinery::field::{Error, ErrorList, Path};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

const DECISIONS: [&str; 2] = ["Approved", "Denied"];
const LASTING: [&str; 3] = ["Approved", "Denied", "Failed"];

pub(super) fn check(subresource: &str, old: &Value, new: &Value) -> ErrorList {
    let path = Path::new("status");
    let mut errors = conditions(new, &path.child("conditions"));
    let of = |request: &Value, kind: &str| -> Vec<Value> {
        list(request, &["status", "conditions"])
            .iter()
            .filter(|condition| text(condition, &["type"]) == kind)
            .cloned()
            .collect()
    };
    for kind in LASTING {
        let (before, after) = (of(old, kind), of(new, kind));
        let why = if after.len() < before.len() {
            format!("updates may not remove a condition of type {kind:?}")
        } else if subresource == "status" && DECISIONS.contains(&kind) && after.len() > before.len() {
            format!("updates may not add a condition of type {kind:?} via /status")
        } else if subresource == "status" && DECISIONS.contains(&kind) && after != before {
            format!("updates may not modify a condition of type {kind:?} via /status")
        } else {
            continue;
        };
        errors.push(Error::forbidden(&path.child("conditions"), why));
    }
    let path = path.child("certificate");
    let certificate = |request: &Value| text(request, &["status", "certificate"]).to_owned();
    let (before, after) = (certificate(old), certificate(new));
    if before != after {
        if subresource != "status" {
            errors.push(Error::forbidden(&path, "updates may not set certificate content"));
        } else if !before.is_empty() {
            errors.push(Error::forbidden(
                &path,
                "updates may not modify existing certificate content",
            ));
        } else {
            errors.extend(unfit(&after).map(|why| Error::invalid(&path, "<certificate data>", why)));
        }
    }
    errors
}

fn conditions(request: &Value, path: &Path) -> ErrorList {
    let conditions = list(request, &["status", "conditions"]);
    let mut errors = ErrorList::new();
    for (index, condition) in conditions.iter().enumerate() {
        let path = path.index(index);
        let (kind, status) = (text(condition, &["type"]), text(condition, &["status"]));
        if kind.is_empty() {
            errors.push(Error::required(&path.child("type"), ""));
        }
        let known: &[&str] = if LASTING.contains(&kind) {
            &["True"]
        } else {
            &["False", "True", "Unknown"]
        };
        if status.is_empty() {
            errors.push(Error::required(&path.child("status"), ""));
        } else if !known.contains(&status) {
            errors.push(Error::not_supported(&path.child("status"), status, known));
        }
        let before = |kind: &str| {
            conditions[..index]
                .iter()
                .any(|other| text(other, &["type"]) == kind)
        };
        let other = DECISIONS
            .iter()
            .find(|other| DECISIONS.contains(&kind) && **other != kind);
        if other.is_some_and(|other| before(other)) {
            errors.push(Error::invalid(
                &path.child("type"),
                kind,
                "Approved and Denied conditions are mutually exclusive",
            ));
        }
        if before(kind) {
            errors.push(Error::duplicate(&path.child("type"), kind));
        }
    }
    errors
}

/// Why this is no certificate, or no chain of some.
fn unfit(certificate: &str) -> Option<String> {
    let Ok(pem) = STANDARD.decode(certificate) else {
        return Some("invalid base64".to_owned());
    };
    let mut count = 0;
    for block in x509_parser::pem::Pem::iter_from_buffer(&pem) {
        let Ok(block) = block else { break };
        if block.label != "CERTIFICATE" {
            return Some(format!(
                "only CERTIFICATE PEM blocks are allowed, found {:?}",
                block.label
            ));
        }
        if block.parse_x509().is_err() {
            return Some("x509: malformed certificate".to_owned());
        }
        count += 1;
    }
    (count == 0).then(|| "must contain at least one CERTIFICATE PEM block".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_approvers_approve_and_only_signers_sign() {
        let request = |status: Value| json!({"status": status});
        let approved = json!({"conditions": [{"type": "Approved", "status": "True"}]});
        for (subresource, old, new, wrong) in [
            ("approval", json!({}), approved.clone(), 0),
            ("status", json!({}), approved.clone(), 1),
            ("approval", approved.clone(), json!({}), 1),
            (
                "approval",
                json!({}),
                json!({"conditions": [{"type": "Approved", "status": "True"}, {"type": "Denied", "status": "True"}]}),
                1,
            ),
            (
                "approval",
                json!({}),
                json!({"conditions": [{"type": "Denied", "status": "False"}]}),
                1,
            ),
            ("approval", json!({}), json!({"certificate": "YQ=="}), 1),
            ("status", json!({}), json!({"certificate": "YQ=="}), 1),
            (
                "status",
                json!({"certificate": "YQ=="}),
                json!({"certificate": "Yg=="}),
                1,
            ),
        ] {
            let errors = check(subresource, &request(old.clone()), &request(new.clone()));
            assert_eq!(errors.len(), wrong, "{subresource} {old} {new}: {errors:?}");
        }
    }
}
