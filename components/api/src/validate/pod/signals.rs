//! Signals by which containers are stopped.
use crate::value::{at, text};
use apimachinery::field::{Error, Path};
use serde_json::Value;

/// Signals of Linux, but for those that have a number of their own in the real-time range.
const LINUX: &[&str] = &[
    "SIGABRT",
    "SIGALRM",
    "SIGBUS",
    "SIGCHLD",
    "SIGCLD",
    "SIGCONT",
    "SIGFPE",
    "SIGHUP",
    "SIGILL",
    "SIGINT",
    "SIGIO",
    "SIGIOT",
    "SIGKILL",
    "SIGPIPE",
    "SIGPOLL",
    "SIGPROF",
    "SIGPWR",
    "SIGQUIT",
    "SIGSEGV",
    "SIGSTKFLT",
    "SIGSTOP",
    "SIGSYS",
    "SIGTERM",
    "SIGTRAP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGUSR1",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGWINCH",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGRTMIN",
    "SIGRTMAX",
];

const WINDOWS: &[&str] = &["SIGKILL", "SIGTERM"];

/// The signal of a container of this pod, whose system has to be known.
pub(super) fn stop(spec: &Value, signal: &str, path: &Path) -> Option<Error> {
    if !at(spec, &["os"]).is_object() {
        return Some(Error::forbidden(
            path,
            "may not be set for containers with empty `spec.os.name`",
        ));
    }
    match text(spec, &["os", "name"]) {
        "windows" if !WINDOWS.contains(&signal) => Some(Error::not_supported(path, signal, WINDOWS)),
        "linux" => {
            let known = on_linux();
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            (!known.contains(&signal)).then(|| Error::not_supported(path, signal, &known))
        }
        _ => None,
    }
}

fn on_linux() -> Vec<String> {
    let first = (1..=15).map(|number| format!("SIGRTMIN+{number}"));
    let last = (1..=14).map(|number| format!("SIGRTMAX-{number}"));
    let plain = LINUX.iter().map(|signal| (*signal).to_owned());
    let mut all: Vec<String> = plain.chain(first).chain(last).collect();
    all.sort_unstable();
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn signals_are_of_the_pods_system() {
        for (os, signal, wrong) in [
            (json!({"name": "linux"}), "SIGUSR1", ""),
            (json!({"name": "linux"}), "SIGRTMIN+15", ""),
            (
                json!({"name": "linux"}),
                "SIGRTMAX-15",
                "s: Unsupported value: \"SIGRTMAX-15\": ",
            ),
            (json!({"name": "windows"}), "SIGTERM", ""),
            (
                json!({"name": "windows"}),
                "SIGUSR1",
                "s: Unsupported value: \"SIGUSR1\": supported values: \"SIGKILL\", \"SIGTERM\"",
            ),
            (
                Value::Null,
                "SIGTERM",
                "s: Forbidden: may not be set for containers with empty `spec.os.name`",
            ),
        ] {
            let found = stop(&json!({"os": os}), signal, &Path::new("s"));
            let told = found.map(|error| error.to_string()).unwrap_or_default();
            assert!(
                told.starts_with(wrong) && told.is_empty() == wrong.is_empty(),
                "{os} {signal}: {told}"
            );
        }
    }
}
