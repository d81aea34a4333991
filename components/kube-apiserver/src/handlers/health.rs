//! /healthz, /livez and /readyz, with their individual checks.

use super::paths::not_found;
use crate::answer;
use crate::request::ApiRequest;
use crate::server::Server;
use crate::serving::body::Response;
use http::StatusCode;
use std::collections::BTreeSet;

/// The key management services of the encryption at rest.
const KMS: &str = "kms-providers";
const ENDPOINTS: [&str; 3] = ["healthz", "livez", "readyz"];

/// The checks of an endpoint, in the order in which they are reported.
fn checks(endpoint: &str, services: bool) -> Vec<&'static str> {
    let mut all = vec!["ping", "log", "etcd"];
    if services {
        all.push(KMS);
    }
    if endpoint == "readyz" {
        all.push("etcd-readiness");
        all.push("informer-sync");
        all.push(crate::sync::RBAC_STEP);
        all.push(crate::definitions::STEP);
    }
    all.extend(crate::bootstrap::STEPS);
    all.push(crate::bootstrap::FLOW_CONTROL_STEP);
    all.push(crate::services::repair::STEP);
    if endpoint == "readyz" {
        all.push("shutdown");
    }
    all
}

/// Paths of all individual checks.
pub fn check_paths() -> Vec<String> {
    let of = |endpoint: &'static str| {
        checks(endpoint, false)
            .into_iter()
            .map(move |check| format!("/{endpoint}/{check}"))
    };
    ENDPOINTS.into_iter().flat_map(of).collect()
}

async fn passes(server: &Server, check: &str) -> Result<(), String> {
    match check {
        "ping" | "log" => Ok(()),
        "etcd" => server
            .stores
            .storage
            .check(server.flags.etcd_healthcheck_timeout)
            .await
            .map_err(|error| error.to_string()),
        "etcd-readiness" => server
            .stores
            .storage
            .check(server.flags.etcd_readycheck_timeout)
            .await
            .map_err(|error| error.to_string()),
        KMS => {
            let encryption = server.encryption.clone();
            tokio::task::spawn_blocking(move || encryption.check())
                .await
                .unwrap_or_else(|error| Err(error.to_string()))
        }
        "shutdown" if server.lifecycle.is_stopping() => Err("process is shutting down".to_owned()),
        "shutdown" => Ok(()),
        step if server.lifecycle.is_pending(step) => Err("not finished".to_owned()),
        _ => Ok(()),
    }
}

/// A line about what was to be excluded and isn't there; empty if all is.
fn unmatched(excluded: &BTreeSet<&str>, known: &[&str]) -> String {
    let others = excluded.iter().filter(|name| !known.contains(name));
    let others: Vec<String> = others.map(|name| format!("{name:?}")).collect();
    if others.is_empty() {
        return String::new();
    }
    let names = others.join(",");
    format!("warn: some health checks cannot be excluded: no matches for {names}\n")
}

pub async fn handle(server: &Server, request: &ApiRequest, parts: &[&str]) -> Response {
    let Some((asked, rest)) = parts.split_first() else {
        return not_found();
    };
    let Some(endpoint) = ENDPOINTS.into_iter().find(|endpoint| endpoint == asked) else {
        return not_found();
    };
    if request.info.path.ends_with('/') {
        return not_found();
    }
    // With reload it is there in any case, since services may come.
    let flags = &server.flags;
    let services = server.encryption.has_services() || flags.encryption_provider_config_automatic_reload;
    let known = checks(endpoint, services);
    if !rest.is_empty() {
        let name = rest.join("/");
        let Some(check) = known.iter().find(|check| **check == name) else {
            return not_found();
        };
        return match passes(server, check).await {
            Ok(()) => answer::text(StatusCode::OK, "ok"),
            Err(reason) => answer::text(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("internal server error: {reason}\n"),
            ),
        };
    }
    let excluded: BTreeSet<&str> = request.query.all("exclude").collect();
    let (mut lines, mut failed) = (String::new(), Vec::new());
    for check in &known {
        if excluded.contains(check) {
            lines.push_str(&format!("[+]{check} excluded: ok\n"));
            continue;
        }
        let outcome = passes(server, check).await;
        server.metrics.health.checked(endpoint, check, outcome.is_ok());
        match outcome {
            Ok(()) => lines.push_str(&format!("[+]{check} ok\n")),
            Err(reason) => {
                tracing::debug!(check, reason, "health check failed");
                lines.push_str(&format!("[-]{check} failed: reason withheld\n"));
                failed.push(*check);
            }
        }
    }
    lines.push_str(&unmatched(&excluded, &known));
    if !failed.is_empty() {
        tracing::info!(endpoint, failed = failed.join(","), "health check failed");
        return answer::text(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("{lines}{endpoint} check failed\n"),
        );
    }
    if request.query.get("verbose").is_some() {
        return answer::text(StatusCode::OK, format!("{lines}{endpoint} check passed\n"));
    }
    answer::text(StatusCode::OK, "ok")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_excluded_is_told() {
        let told = |excluded: &[&str]| unmatched(&excluded.iter().copied().collect(), &["ping", "etcd"]);
        assert_eq!(told(&[]), "");
        assert_eq!(told(&["etcd"]), "");
        assert_eq!(
            told(&["nope", "etcd", "also", "nope"]),
            "warn: some health checks cannot be excluded: no matches for \"also\",\"nope\"\n"
        );
    }
}
