use super::one_of;
use crate::value::{list, text};
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;

/// How objects are converted.
pub(super) fn check(conversion: &Value, path: &Path) -> ErrorList {
    if conversion.is_null() {
        return ErrorList::new();
    }
    let strategy = text(conversion, &["strategy"]);
    let mut errors = one_of(&path.child("strategy"), strategy, &["None", "Webhook"]);
    let webhook = &conversion["webhook"];
    let client = &webhook["clientConfig"];
    if strategy == "Webhook" {
        if client.is_null() {
            errors.push(Error::required(
                &path.child("webhookClientConfig"),
                "required when strategy is set to Webhook",
            ));
        } else {
            errors.extend(check_client(client, &path.child("webhookClientConfig")));
        }
        errors.extend(review_versions(webhook, &path.child("conversionReviewVersions")));
    } else {
        if !client.is_null() {
            errors.push(Error::forbidden(
                &path.child("webhookClientConfig"),
                "should not be set when strategy is not set to Webhook",
            ));
        }
        if !list(webhook, &["conversionReviewVersions"]).is_empty() {
            errors.push(Error::forbidden(
                &path.child("conversionReviewVersions"),
                "should not be set when strategy is not set to Webhook",
            ));
        }
    }
    errors
}

fn check_client(client: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let (url, service) = (text(client, &["url"]), &client["service"]);
    match (url.is_empty(), service.is_null()) {
        (true, true) | (false, false) => {
            errors.push(Error::required(path, "exactly one of url or service is required"))
        }
        (false, true) => {
            if let Some(rest) = url.strip_prefix("https://") {
                if rest.is_empty() || rest.starts_with('/') {
                    errors.push(Error::invalid(
                        &path.child("url"),
                        url,
                        "host must be specified; desired format: https://host[/path]",
                    ));
                }
            } else {
                errors.push(Error::invalid(
                    &path.child("url"),
                    url,
                    "'https' is the only allowed URL scheme; desired format: https://host[/path]",
                ));
            }
        }
        (true, false) => {
            let path = path.child("service");
            for field in ["name", "namespace"] {
                if text(service, &[field]).is_empty() {
                    errors.push(Error::required(
                        &path.child(field),
                        format!("service {field} is required"),
                    ));
                }
            }
            let port = service["port"].as_i64().unwrap_or(443);
            for message in apimachinery::names::port_number(port) {
                errors.push(Error::invalid(
                    &path.child("port"),
                    port,
                    format!("port is not valid: {message}"),
                ));
            }
        }
    }
    errors
}

fn review_versions(webhook: &Value, path: &Path) -> ErrorList {
    let versions: Vec<&str> = list(webhook, &["conversionReviewVersions"])
        .iter()
        .filter_map(Value::as_str)
        .collect();
    if versions.is_empty() {
        return vec![Error::required(path, "")];
    }
    let mut errors = ErrorList::new();
    for (index, version) in versions.iter().enumerate() {
        if versions[..index].contains(version) {
            errors.push(Error::invalid(&path.index(index), *version, "duplicate version"));
        }
        for message in apimachinery::names::dns1035_label(version) {
            errors.push(Error::invalid(&path.index(index), *version, message));
        }
    }
    if !versions
        .iter()
        .any(|version| matches!(*version, "v1" | "v1beta1"))
    {
        errors.push(Error::invalid(
            path,
            webhook["conversionReviewVersions"].clone(),
            "must include at least one of v1, v1beta1",
        ));
    }
    errors
}
