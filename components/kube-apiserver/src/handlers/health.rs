//! /healthz, /livez and /readyz, with their individual checks.

use super::paths::not_found;
use crate::answer;
use crate::request::ApiRequest;
use crate::server::Server;
use crate::serving::body::Response;
use http::StatusCode;
use std::borrow::Cow;
use std::collections::BTreeSet;

const ENDPOINTS: [&str; 3] = ["healthz", "livez", "readyz"];

/// What is looked at.
#[derive(Clone, Copy)]
enum Check {
    /// The process answers.
    Answers(&'static str),
    /// A backend by its place: the usual one, then those of --etcd-servers-overrides.
    Etcd(usize),
    EtcdReadiness(usize),
    /// The key management services of the encryption at rest.
    Kms,
    /// A step of the start.
    Step(&'static str),
    Shutdown,
}

impl Check {
    fn name(self) -> Cow<'static, str> {
        match self {
            Self::Answers(name) | Self::Step(name) => name.into(),
            Self::Etcd(0) => "etcd".into(),
            Self::Etcd(backend) => format!("etcd-override-{}", backend - 1).into(),
            Self::EtcdReadiness(0) => "etcd-readiness".into(),
            Self::EtcdReadiness(backend) => format!("etcd-override-readiness-{}", backend - 1).into(),
            Self::Kms => "kms-providers".into(),
            Self::Shutdown => "shutdown".into(),
        }
    }

    /// The check that this one is excluded with.
    fn group(self) -> Option<&'static str> {
        match self {
            Self::Etcd(1..) => Some("etcd"),
            Self::EtcdReadiness(1..) => Some("etcd-readiness"),
            _ => None,
        }
    }

    async fn passes(self, server: &Server) -> Result<(), String> {
        let (storage, flags) = (&server.stores.storage, &server.flags);
        let reads = |backend, timeout| async move {
            let outcome = storage.check(backend, timeout).await;
            outcome.map_err(|error| error.to_string())
        };
        match self {
            Self::Answers(_) => Ok(()),
            Self::Etcd(backend) => reads(backend, flags.etcd_healthcheck_timeout).await,
            Self::EtcdReadiness(backend) => reads(backend, flags.etcd_readycheck_timeout).await,
            Self::Kms => {
                let encryption = server.encryption.clone();
                tokio::task::spawn_blocking(move || encryption.check())
                    .await
                    .unwrap_or_else(|error| Err(error.to_string()))
            }
            Self::Shutdown if server.lifecycle.is_stopping() => Err("process is shutting down".to_owned()),
            Self::Step(step) if server.lifecycle.is_pending(step) => Err("not finished".to_owned()),
            Self::Shutdown | Self::Step(_) => Ok(()),
        }
    }
}

/// The checks of an endpoint, in the order in which they are reported. A server without its key management services
/// can't serve, but to start it anew would not help.
fn checks(endpoint: &str, backends: usize, services: bool) -> Vec<Check> {
    let ready = endpoint == "readyz";
    let mut all = vec![Check::Answers("ping"), Check::Answers("log")];
    for backend in 0..backends {
        all.push(Check::Etcd(backend));
        if ready {
            all.push(Check::EtcdReadiness(backend));
        }
    }
    if services && endpoint != "livez" {
        all.push(Check::Kms);
    }
    if ready {
        all.push(Check::Step("informer-sync"));
        all.push(Check::Step(crate::sync::RBAC_STEP));
        all.push(Check::Step(crate::definitions::STEP));
    }
    all.extend(crate::bootstrap::STEPS.map(Check::Step));
    all.push(Check::Step(crate::bootstrap::FLOW_CONTROL_STEP));
    all.push(Check::Step(crate::services::repair::STEP));
    if ready {
        all.push(Check::Shutdown);
    }
    all
}

/// Those of this server.
fn checks_of(server: &Server, endpoint: &str) -> Vec<Check> {
    // With reload it is there in any case, since services may come.
    let services =
        server.encryption.has_services() || server.flags.encryption_provider_config_automatic_reload;
    checks(endpoint, server.stores.storage.backends(), services)
}

/// Paths of all individual checks.
pub fn check_paths(server: &Server) -> Vec<String> {
    let of = |endpoint: &'static str| {
        checks_of(server, endpoint)
            .into_iter()
            .map(move |check| format!("/{endpoint}/{}", check.name()))
    };
    ENDPOINTS.into_iter().flat_map(of).collect()
}

/// What is said of a check that is not made, if it is not to be. Each name is taken out of those `unknown`.
fn exclusion(check: Check, excluded: &BTreeSet<&str>, unknown: &mut BTreeSet<&str>) -> Option<String> {
    let name = check.name();
    unknown.remove(&*name);
    match check.group() {
        Some(group) if excluded.contains(&*name) || excluded.contains(group) => {
            Some(format!("[+]{name} excluded with {group}: ok\n"))
        }
        None if excluded.contains(&*name) => Some(format!("[+]{name} excluded: ok\n")),
        _ => None,
    }
}

/// A line about what was to be excluded and isn't there; empty if all is.
fn unmatched(unknown: &BTreeSet<&str>) -> String {
    let others: Vec<String> = unknown.iter().map(|name| format!("{name:?}")).collect();
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
    let known = checks_of(server, endpoint);
    if !rest.is_empty() {
        let name = rest.join("/");
        let Some(check) = known.iter().find(|check| check.name() == name) else {
            return not_found();
        };
        return match check.passes(server).await {
            Ok(()) => answer::text(StatusCode::OK, "ok"),
            Err(reason) => answer::text(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("internal server error: {reason}\n"),
            ),
        };
    }
    let excluded: BTreeSet<&str> = request.query.all("exclude").collect();
    let mut unknown = excluded.clone();
    let (mut lines, mut failed) = (String::new(), Vec::new());
    for check in known {
        if let Some(line) = exclusion(check, &excluded, &mut unknown) {
            lines.push_str(&line);
            continue;
        }
        let (name, outcome) = (check.name(), check.passes(server).await);
        let health = &server.metrics.health;
        health.checked(endpoint, name.clone(), outcome.is_ok());
        match outcome {
            Ok(()) => lines.push_str(&format!("[+]{name} ok\n")),
            Err(reason) => {
                tracing::debug!(check = &*name, reason, "health check failed");
                lines.push_str(&format!("[-]{name} failed: reason withheld\n"));
                failed.push(name);
            }
        }
    }
    lines.push_str(&unmatched(&unknown));
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

    fn names(endpoint: &str, backends: usize, services: bool) -> String {
        let all = checks(endpoint, backends, services);
        let names: Vec<_> = all.iter().map(|check| check.name()).collect();
        let storage = names
            .iter()
            .filter(|name| name.contains("etcd") || name.contains("kms"));
        storage.map(|name| &**name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_set_of_servers_has_checks() {
        for (endpoint, backends, services, want) in [
            ("healthz", 1, false, "etcd"),
            (
                "healthz",
                3,
                true,
                "etcd etcd-override-0 etcd-override-1 kms-providers",
            ),
            ("livez", 2, true, "etcd etcd-override-0"),
            ("readyz", 1, false, "etcd etcd-readiness"),
            (
                "readyz",
                2,
                true,
                "etcd etcd-readiness etcd-override-0 etcd-override-readiness-0 kms-providers",
            ),
        ] {
            assert_eq!(names(endpoint, backends, services), want, "{endpoint}");
        }
    }

    #[test]
    fn checks_are_excluded_alone_or_with_their_group() {
        for (excluded, want, warning) in [
            (&[][..], "", ""),
            (
                &["etcd"],
                "[+]etcd excluded: ok\n[+]etcd-override-0 excluded with etcd: ok\n",
                "",
            ),
            (
                &["etcd-override-0"],
                "[+]etcd-override-0 excluded with etcd: ok\n",
                "",
            ),
            (
                &["etcd-readiness"],
                "[+]etcd-readiness excluded: ok\n[+]etcd-override-readiness-0 excluded with etcd-readiness: ok\n",
                "",
            ),
            (
                &["nope", "ping", "also", "nope"],
                "[+]ping excluded: ok\n",
                "warn: some health checks cannot be excluded: no matches for \"also\",\"nope\"\n",
            ),
        ] {
            let excluded: BTreeSet<&str> = excluded.iter().copied().collect();
            let mut unknown = excluded.clone();
            let lines: String = checks("readyz", 2, false)
                .into_iter()
                .filter_map(|check| exclusion(check, &excluded, &mut unknown))
                .collect();
            assert_eq!(lines, want);
            assert_eq!(unmatched(&unknown), warning);
        }
    }
}
