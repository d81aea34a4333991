use super::Allowed;
use super::container::Context;
use super::signals;
use crate::validate::shared::{self, non_negative, one_of, port_or_name};
use crate::value::{at, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;

/// What is done to a container that runs on: when it starts and stops, and to see how it is.
pub(super) fn of_container(context: &Context<'_>, container: &Value, path: &Path) -> ErrorList {
    let mut errors = lifecycle(context, container, &path.child("lifecycle"));
    errors.extend(probes(container, context.grace, context.allowed, path));
    errors
}

fn lifecycle(context: &Context<'_>, container: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let (grace, allowed) = (context.grace, context.allowed);
    for hook in ["postStart", "preStop"] {
        let value = at(container, &["lifecycle", hook]);
        if value.is_object() {
            errors.extend(handler(value, grace, allowed, &path.child(hook)));
        }
    }
    if let Some(signal) = at(container, &["lifecycle", "stopSignal"]).as_str() {
        errors.extend(signals::stop(context.spec, signal, &path.child("stopSignal")));
    }
    errors
}

/// One action: a command, a request, a connection, a sleep.
fn handler(handler: &Value, grace: Option<i64>, allowed: Allowed, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut count = 0;
    for kind in ["exec", "httpGet", "tcpSocket", "grpc", "sleep"] {
        let action = at(handler, &[kind]);
        if !action.is_object() {
            continue;
        }
        count += 1;
        let path = path.child(kind);
        if count > 1 {
            errors.push(Error::forbidden(
                &path,
                "may not specify more than 1 handler type",
            ));
            continue;
        }
        match kind {
            "exec" if list(action, &["command"]).is_empty() => {
                errors.push(Error::required(&path.child("command"), ""))
            }
            "httpGet" => {
                if text(action, &["path"]).is_empty() {
                    errors.push(Error::required(&path.child("path"), ""));
                }
                errors.extend(port_or_name(&path.child("port"), at(action, &["port"])));
                errors.extend(one_of(
                    &path.child("scheme"),
                    at(action, &["scheme"]),
                    &["HTTP", "HTTPS"],
                ));
                for header in list(action, &["httpHeaders"]) {
                    let name = text(header, &["name"]);
                    if name.is_empty()
                        || !name
                            .bytes()
                            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                    {
                        let message = apimachinery::names::regex_message(
                            "a valid HTTP header must consist of alphanumeric characters or '-'",
                            "[-A-Za-z0-9]+",
                            &["X-Header-Name"],
                        );
                        errors.push(Error::invalid(&path.child("httpHeaders"), name, message));
                    }
                }
            }
            "tcpSocket" => errors.extend(port_or_name(&path.child("port"), at(action, &["port"]))),
            "grpc" => errors.extend(shared::port(&path.child("port"), at(action, &["port"]))),
            "sleep" => errors.extend(grace.and_then(|most| sleep(action, most, allowed, &path))),
            _ => {}
        }
    }
    if count == 0 {
        errors.push(Error::required(path, "must specify a handler type"));
    }
    errors
}

/// A sleep that ends before its container is stopped at the latest.
fn sleep(action: &Value, most: i64, allowed: Allowed, path: &Path) -> Option<Error> {
    let seconds = at(action, &["seconds"]).as_i64().unwrap_or(0);
    let (least, noun, hint) = if allowed.zero_sleep {
        (0, "non-negative", "")
    } else {
        const HINT: &str = ". Enable AllowPodLifecycleSleepActionZeroValue feature gate for zero sleep.";
        (1, "greater than 0", HINT)
    };
    (seconds < least || seconds > most).then(|| {
        let detail = format!("must be {noun} and less than terminationGracePeriodSeconds ({most}){hint}");
        Error::invalid(path, seconds, detail)
    })
}

fn probes(container: &Value, grace: Option<i64>, allowed: Allowed, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let probe = at(container, &[name]);
        if !probe.is_object() {
            continue;
        }
        let path = path.child(name);
        errors.extend(handler(probe, grace, allowed, &path));
        for field in [
            "initialDelaySeconds",
            "timeoutSeconds",
            "periodSeconds",
            "successThreshold",
            "failureThreshold",
        ] {
            errors.extend(non_negative(&path.child(field), at(probe, &[field])));
        }
        if let Some(seconds) = at(probe, &["terminationGracePeriodSeconds"]).as_i64() {
            let own = path.child("terminationGracePeriodSeconds");
            if seconds <= 0 {
                errors.push(Error::invalid(&own, seconds, "must be greater than 0"));
            }
            if name == "readinessProbe" {
                errors.push(Error::invalid(
                    &own,
                    seconds,
                    "must not be set for readinessProbes",
                ));
            }
        }
        let threshold = at(probe, &["successThreshold"]).as_i64().unwrap_or(1);
        if name != "readinessProbe" && threshold != 1 {
            errors.push(Error::invalid(
                &path.child("successThreshold"),
                threshold,
                "must be 1",
            ));
        }
    }
    errors
}
