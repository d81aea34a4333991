//! One webhook of an AuthorizationConfiguration.

use super::{LONGEST, endpoint};
use crate::authorization::Link;
use crate::authorization::webhook::{MatchConditions, Settings, WebhookAuthorizer};
use crate::webhook::{Clients, Endpoint};
use apimachinery::field::{Error, ErrorList, Path};
use component_config::kube_apiserver::authorization::{ConnectionInfo, WebhookConfiguration};
use std::sync::Arc;
use std::time::Duration;

/// `path` is where the authorizer stands that the webhook belongs to.
pub fn link(
    name: &str,
    config: &WebhookConfiguration,
    path: &Path,
    clients: &Clients,
) -> Result<Link, ErrorList> {
    let mut errors = ErrorList::new();
    check_timeout(config.timeout, &path.child("timeout"), &mut errors);
    let versions = [
        (
            "subjectAccessReviewVersion",
            &config.subject_access_review_version,
            &["v1", "v1beta1"][..],
        ),
        ("failurePolicy", &config.failure_policy, &["NoOpinion", "Deny"]),
    ];
    for (field, value, known) in versions {
        one_of(value, known, &path.child(field), &mut errors);
    }
    let version = config.match_condition_subject_access_review_version.as_str();
    let at = path.child("matchConditionSubjectAccessReviewVersion");
    match version {
        "v1" => {}
        "" if config.match_conditions.is_empty() => {}
        "" => errors.push(Error::required(&at, "required if match conditions are specified")),
        other => errors.push(Error::not_supported(&at, other, &["v1"])),
    }
    let endpoint = connection(&config.connection_info, &path.child("connectionInfo"), clients)
        .map_err(|wrong| errors.push(wrong))
        .ok();
    let texts = config.match_conditions.iter();
    let texts = texts.map(|condition| condition.expression.as_str());
    let conditions = MatchConditions::compile(texts, &path.child("matchConditions"))
        .map_err(|wrong| errors.extend(wrong))
        .ok();
    let (Some(endpoint), Some(conditions), true) = (endpoint, conditions, errors.is_empty()) else {
        return Err(errors);
    };
    let kept = |keep: bool, time: Duration| if keep { time } else { Duration::ZERO };
    let settings = Settings {
        name: name.to_owned(),
        version: config.subject_access_review_version.clone(),
        authorized: kept(config.cache_authorized_requests, config.authorized_ttl),
        unauthorized: kept(config.cache_unauthorized_requests, config.unauthorized_ttl),
        timeout: config.timeout,
        deny_on_failure: config.failure_policy == "Deny",
    };
    let webhook = WebhookAuthorizer::new(settings, endpoint, conditions);
    Ok(Link::Webhook(Arc::new(webhook)))
}

fn check_timeout(timeout: Duration, path: &Path, errors: &mut ErrorList) {
    if timeout.is_zero() {
        errors.push(Error::required(path, ""));
    } else if timeout > LONGEST {
        let shown = format!("{timeout:?}");
        errors.push(Error::invalid(path, shown, "must be > 0s and <= 30s"));
    }
}

fn one_of(value: &str, known: &[&str], path: &Path, errors: &mut ErrorList) {
    if value.is_empty() {
        errors.push(Error::required(path, ""));
    } else if !known.contains(&value) {
        errors.push(Error::not_supported(path, value, known));
    }
}

fn connection(config: &ConnectionInfo, path: &Path, clients: &Clients) -> Result<Endpoint, Error> {
    let at = path.child("type");
    match config.kind.as_str() {
        "KubeConfigFile" => {}
        "" => return Err(Error::required(&at, "")),
        "InClusterConfig" => {
            let detail = "InClusterConfig is not allowed for kube-apiserver; use KubeConfigFile";
            return Err(Error::forbidden(&at, detail));
        }
        other => {
            let known = ["InClusterConfig", "KubeConfigFile"];
            return Err(Error::not_supported(&at, other, &known));
        }
    }
    let at = path.child("kubeConfigFile");
    let Some(file) = config
        .kube_config_file
        .as_ref()
        .filter(|file| !file.as_os_str().is_empty())
    else {
        return Err(Error::required(&at, ""));
    };
    let shown = file.display().to_string();
    if !file.is_absolute() {
        return Err(Error::invalid(&at, shown, "must be an absolute path"));
    }
    match std::fs::metadata(file) {
        Err(error) => return Err(Error::invalid(&at, shown, format!("error loading file: {error}"))),
        Ok(found) if !found.is_file() => return Err(Error::invalid(&at, shown, "must be a regular file")),
        Ok(_) => {}
    }
    endpoint(file, clients).map_err(|error| Error::invalid(&at, shown, format!("{error:#}")))
}
