use super::one_of;
use crate::validate::admission::webhook_client;
use crate::value::{list, text};
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;
use std::collections::HashSet;
use x509::{Roots, pem};

/// How objects are converted. Reviews of versions that the server doesn't speak are let through unless `recognized`.
pub(super) fn check(conversion: &Value, recognized: bool, any_bundle: bool, path: &Path) -> ErrorList {
    if conversion.is_null() {
        return ErrorList::new();
    }
    let strategy = text(conversion, &["strategy"]);
    let mut errors = one_of(&path.child("strategy"), strategy, &["None", "Webhook"]);
    let webhook = &conversion["webhook"];
    let client = &webhook["clientConfig"];
    // The paths are those of upstream's internal form.
    let (client_path, versions_path) = (
        path.child("webhookClientConfig"),
        path.child("conversionReviewVersions"),
    );
    let versions = list(webhook, &["conversionReviewVersions"]);
    if strategy == "Webhook" {
        if client.is_null() {
            errors.push(Error::required(
                &client_path,
                "required when strategy is set to Webhook",
            ));
        } else {
            errors.extend(webhook_client(client, &client_path));
            let bundle = text(client, &["caBundle"]);
            if !bundle.is_empty() && !any_bundle {
                errors.extend(unfit_bundle(bundle, &client_path.child("caBundle")));
            }
        }
        errors.extend(review_versions(versions, recognized, &versions_path));
    } else {
        const WHY: &str = "should not be set when strategy is not set to Webhook";
        if !client.is_null() {
            errors.push(Error::forbidden(&client_path, WHY));
        }
        if !versions.is_empty() {
            errors.push(Error::forbidden(&versions_path, WHY));
        }
    }
    errors
}

/// Whether an invalid bundle of certificates is let through: until the definition is established, and while the stored
/// one is not valid either.
pub(super) fn allows_any_bundle(old: Option<&Value>) -> bool {
    let Some(old) = old.filter(|old| super::established(old)) else {
        return true;
    };
    let client = &old["spec"]["conversion"]["webhook"]["clientConfig"];
    let bundle = text(client, &["caBundle"]);
    !bundle.is_empty() && unfit_bundle(bundle, &Path::root()).is_some()
}

/// Why no certificate can be read from a bundle, in the words of Go's client.
fn unfit_bundle(bundle: &str, path: &Path) -> Option<Error> {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.decode(bundle).ok()?;
    if !Roots::from_pem(&text).is_empty() {
        return None;
    }
    let mut blocks = pem::blocks(&text);
    let why = match blocks.find(|block| block.label == "CERTIFICATE" && !block.has_headers) {
        Some(_) => "failed to parse certificate: x509: malformed certificate",
        None if blocks.rest().is_empty() => "no valid certificate authority data seen",
        None => "unable to parse bytes as PEM block",
    };
    let detail = format!("unable to load root certificates: {why}");
    Some(Error::invalid(path, bundle, detail))
}

/// Whether the server speaks reviews of this version.
pub(super) fn is_known_review(version: &Value) -> bool {
    matches!(version.as_str(), Some("v1" | "v1beta1"))
}

fn review_versions(versions: &[Value], recognized: bool, path: &Path) -> ErrorList {
    if versions.is_empty() {
        return vec![Error::required(path, "")];
    }
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for (index, version) in versions.iter().filter_map(Value::as_str).enumerate() {
        let path = path.index(index);
        if !seen.insert(version) {
            errors.push(Error::invalid(&path, version, "duplicate version"));
            continue;
        }
        for message in apimachinery::names::dns1035_label(version) {
            errors.push(Error::invalid(&path, version, message));
        }
    }
    if recognized && !versions.iter().any(is_known_review) {
        errors.push(Error::invalid(
            path,
            Value::from(versions),
            "must include at least one of v1, v1beta1",
        ));
    }
    errors
}
