//! The standards that hold in a namespace, from its labels.

use super::configuration::{
    LevelVersion, PodSecurityConfiguration, UNKNOWN_LEVEL, UNKNOWN_VERSION, is_version,
};
use super::{PREFIX, checks::Level};
use apimachinery::field::{Error, Path};
use serde_json::{Map, Value};

/// What is enforced, noted and warned of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub enforce: LevelVersion,
    pub audit: LevelVersion,
    pub warn: LevelVersion,
}

/// A label with a value that it can't have.
#[derive(Clone, Debug)]
pub struct Problem(Error);

impl Problem {
    pub fn message(&self) -> String {
        self.0.to_string()
    }

    pub fn error(self) -> Error {
        self.0
    }
}

impl Policy {
    /// Reads the labels. A level that nobody knows is the strictest where it is enforced, and none elsewhere.
    pub fn of(
        labels: Option<&Map<String, Value>>,
        defaults: &PodSecurityConfiguration,
    ) -> (Self, Vec<Problem>) {
        let mut problems = Vec::new();
        let label = |name: &str| {
            labels
                .and_then(|labels| labels.get(&format!("{PREFIX}{name}")))
                .and_then(Value::as_str)
        };
        let mut read = |mode: &str, default: &LevelVersion, unknown: Level| {
            let mut found = default.clone();
            if let Some(text) = label(mode) {
                found.level = Level::parse(text).unwrap_or_else(|| {
                    problems.push(problem(mode, text, UNKNOWN_LEVEL));
                    unknown
                });
            }
            let version = format!("{mode}-version");
            if let Some(text) = label(&version) {
                if is_version(text) {
                    found.version = text.to_owned();
                } else {
                    problems.push(problem(&version, text, UNKNOWN_VERSION));
                    found.version = "latest".to_owned();
                }
            }
            found
        };
        let enforce = read("enforce", &defaults.enforce, Level::Restricted);
        let audit = read("audit", &defaults.audit, Level::Privileged);
        let mut warn = read("warn", &defaults.warn, Level::Privileged);
        // Who makes a deployment should learn now that its pods will be refused, if somebody wanted that.
        let wanted = label("enforce").is_some_and(|text| Level::parse(text).is_some());
        if label("warn").is_none() && wanted && enforce.level > warn.level {
            warn.level = enforce.level;
            if label("warn-version").is_none() {
                warn.version.clone_from(&enforce.version);
            }
        }
        (Self { enforce, audit, warn }, problems)
    }

    /// Whether nothing is asked at all.
    pub fn is_privileged(&self) -> bool {
        [&self.enforce, &self.audit, &self.warn]
            .iter()
            .all(|mode| mode.level == Level::Privileged)
    }
}

fn problem(name: &str, value: &str, detail: &str) -> Problem {
    let path = Path::new("metadata")
        .child("labels")
        .key(&format!("{PREFIX}{name}"));
    Problem(Error::invalid(&path, value, detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn labels() {
        for (labels, enforce, warn, problems) in [
            (json!({}), Level::Privileged, Level::Privileged, 0),
            (
                json!({"enforce": "baseline"}),
                Level::Baseline,
                Level::Baseline,
                0,
            ),
            (
                json!({"enforce": "baseline", "warn": "restricted"}),
                Level::Baseline,
                Level::Restricted,
                0,
            ),
            (
                json!({"enforce": "restricted", "warn": "privileged"}),
                Level::Restricted,
                Level::Privileged,
                0,
            ),
            (
                json!({"enforce": "strict"}),
                Level::Restricted,
                Level::Privileged,
                1,
            ),
            (
                json!({"warn": "strict", "warn-version": "1.2"}),
                Level::Privileged,
                Level::Privileged,
                2,
            ),
        ] {
            let prefixed: Map<String, Value> = labels
                .as_object()
                .unwrap()
                .iter()
                .map(|(key, value)| (format!("{PREFIX}{key}"), value.clone()))
                .collect();
            let (policy, found) = Policy::of(Some(&prefixed), &PodSecurityConfiguration::default());
            assert_eq!(
                (policy.enforce.level, policy.warn.level, found.len()),
                (enforce, warn, problems),
                "{labels}"
            );
        }
    }
}
