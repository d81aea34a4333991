//! Defaults and exemptions of PodSecurity.

use super::checks::Level;
use super::decode;
use anyhow::bail;
use apimachinery::{field, names};
use serde_json::Value;
use std::collections::HashSet;

/// What is said of a level that nobody knows, and of a version.
pub const UNKNOWN_LEVEL: &str = "must be one of privileged, baseline, restricted";
pub const UNKNOWN_VERSION: &str = "must be \"latest\" or \"v1.x\"";

/// A level and the version of the standards that it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LevelVersion {
    pub level: Level,
    /// `latest` or `v1.N`.
    pub version: String,
}

impl Default for LevelVersion {
    fn default() -> Self {
        Self {
            level: Level::Privileged,
            version: "latest".to_owned(),
        }
    }
}

impl std::fmt::Display for LevelVersion {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}:{}", self.level.name(), self.version)
    }
}

impl LevelVersion {
    /// The minor version of Kubernetes whose rules hold; the newest are `u32::MAX`.
    pub fn minor(&self) -> u32 {
        self.version
            .strip_prefix("v1.")
            .and_then(|minor| minor.parse().ok())
            .unwrap_or(u32::MAX)
    }

    /// The same where nothing newer than the `emulated` minor version is known.
    pub fn known_minor(&self, emulated: u32) -> u32 {
        self.minor().min(emulated)
    }
}

/// What holds for namespaces that say nothing themselves, and for whom nothing holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodSecurityConfiguration {
    pub enforce: LevelVersion,
    pub audit: LevelVersion,
    pub warn: LevelVersion,
    pub users: Vec<String>,
    pub namespaces: Vec<String>,
    pub runtime_classes: Vec<String>,
}

impl PodSecurityConfiguration {
    /// Why nothing holds for a user or in a namespace.
    pub fn exempts(&self, user: &str, namespace: &str) -> Option<&'static str> {
        let listed = |names: &[String], name: &str| names.iter().any(|exempt| exempt == name);
        if listed(&self.namespaces, namespace) {
            Some("namespace")
        } else if listed(&self.users, user) {
            Some("user")
        } else {
            None
        }
    }

    /// Whether nothing holds for a pod of its runtime class.
    pub fn exempts_class(&self, spec: &Value) -> bool {
        let class = spec["runtimeClassName"].as_str().unwrap_or("");
        !class.is_empty() && self.runtime_classes.iter().any(|exempt| exempt == class)
    }

    /// Reads a PodSecurityConfiguration without its type, as strictly as upstream: a misspelt field would otherwise
    /// turn off what it was meant to enforce.
    pub fn read(mut told: Value) -> anyhow::Result<Self> {
        decode::strictly(&mut told)?;
        let mut problems = Vec::new();
        let mut mode = |name: &str, shown: &str| {
            let text = |field: &str, default: &str| {
                let given = told["defaults"][field].as_str().filter(|text| !text.is_empty());
                given.unwrap_or(default).to_owned()
            };
            let level = text(name, "privileged");
            let version = text(&format!("{name}-version"), "latest");
            let level = Level::parse(&level).unwrap_or_else(|| {
                problems.push(format!("{shown}.Level: {UNKNOWN_LEVEL}"));
                Level::Restricted
            });
            if !is_version(&version) {
                problems.push(format!("{shown}.Version: {UNKNOWN_VERSION}"));
            }
            LevelVersion { level, version }
        };
        let (enforce, audit, warn) = (
            mode("enforce", "Enforce"),
            mode("audit", "Audit"),
            mode("warn", "Warn"),
        );
        match problems.as_slice() {
            [] => {}
            [one] => bail!("PodSecurity configuration error: {one}"),
            many => bail!("PodSecurity configuration error: [{}]", many.join(", ")),
        }
        let names = |field: &str| {
            let listed = told["exemptions"][field].as_array().into_iter().flatten();
            listed.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let read = Self {
            enforce,
            audit,
            warn,
            users: names("usernames"),
            namespaces: names("namespaces"),
            runtime_classes: names("runtimeClasses"),
        };
        let errors = read.problems();
        if !errors.is_empty() {
            bail!("PodSecurity invalid: {}", field::aggregate(&errors));
        }
        Ok(read)
    }

    /// What is wrong with the names of whom nothing holds for.
    fn problems(&self) -> field::ErrorList {
        let at = field::Path::new("exemptions");
        let label = |name: &str| bad_name(names::dns1123_label(name));
        let subdomain = |name: &str| bad_name(names::dns1123_subdomain(name));
        let mut errors = Vec::new();
        unlike(&self.namespaces, &at.child("namespaces"), label, &mut errors);
        unlike(
            &self.runtime_classes,
            &at.child("runtimeClasses"),
            subdomain,
            &mut errors,
        );
        unlike(&self.users, &at.child("usernames"), no_user, &mut errors);
        errors
    }
}

/// Makes the error of a bad name.
type Complaint = Box<dyn FnOnce(&field::Path, &str) -> field::Error>;

fn bad_name(problems: Vec<String>) -> Option<Complaint> {
    (!problems.is_empty()).then(|| -> Complaint {
        Box::new(move |path, name| field::Error::invalid(path, name, problems.join(", ")))
    })
}

fn no_user(name: &str) -> Option<Complaint> {
    name.is_empty()
        .then(|| -> Complaint { Box::new(|path, _| field::Error::required(path, "")) })
}

/// Notes which names are bad, and which good ones are there twice.
fn unlike(
    names: &[String],
    path: &field::Path,
    complaint: impl Fn(&str) -> Option<Complaint>,
    errors: &mut field::ErrorList,
) {
    let mut seen = HashSet::new();
    for (index, name) in names.iter().enumerate() {
        let at = path.index(index);
        if let Some(complain) = complaint(name) {
            errors.push(complain(&at, name));
        } else if !seen.insert(name) {
            errors.push(field::Error::duplicate(&at, name.as_str()));
        }
    }
}

/// Whether a text names a version of the standards, as far as Go's integers go.
pub fn is_version(text: &str) -> bool {
    let is_number =
        |minor: &str| minor.bytes().all(|digit| digit.is_ascii_digit()) && minor.parse::<i64>().is_ok();
    text == "latest"
        || text
            .strip_prefix("v1.")
            .is_some_and(|minor| minor == "0" || !minor.starts_with('0') && is_number(minor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn versions() {
        for (text, expected) in [
            ("latest", true),
            ("v1.0", true),
            ("v1.36", true),
            ("v1.4294967296", true),
            ("v1.9223372036854775807", true),
            ("v1.9223372036854775808", false),
            ("v1.01", false),
            ("v1.+5", false),
            ("v1.-5", false),
            ("v1.", false),
            ("1.36", false),
        ] {
            assert_eq!(is_version(text), expected, "{text}");
        }
        let far = LevelVersion {
            level: Level::Baseline,
            version: "v1.4294967296".to_owned(),
        };
        assert_eq!(far.minor(), u32::MAX);
    }

    #[test]
    fn what_is_misspelt_or_wrong_is_refused_in_upstreams_words() {
        for (told, expected) in [
            (json!({}), None),
            (
                json!({"defaults": {"enforce": "", "warn": null}, "exemptions": null}),
                None,
            ),
            (
                json!({"exemptions": {"namespaces": ["a"], "usernames": ["a"], "runtimeClasses": ["a.b"]}}),
                None,
            ),
            (
                json!({"default": {"enforce": "restricted"}, "defaults": {"Enforce": "baseline"}}),
                Some(r#"strict decoding error: unknown field "default", unknown field "defaults.Enforce""#),
            ),
            (
                json!({"defaults": {"enforce": 5}}),
                Some(
                    "json: cannot unmarshal number into Go struct field PodSecurityDefaults.defaults.enforce of type string",
                ),
            ),
            (
                json!({"exemptions": {"namespaces": "a"}}),
                Some(
                    "json: cannot unmarshal string into Go struct field PodSecurityExemptions.exemptions.namespaces of type []string",
                ),
            ),
            (
                json!({"defaults": {"enforce": "strict", "audit-version": "1.3"}}),
                Some(
                    "PodSecurity configuration error: [Enforce.Level: must be one of privileged, baseline, restricted, Audit.Version: must be \"latest\" or \"v1.x\"]",
                ),
            ),
            (
                json!({"exemptions": {"namespaces": ["x", "x"], "usernames": ["", "u", "u"]}}),
                Some(
                    "PodSecurity invalid: [exemptions.namespaces[1]: Duplicate value: \"x\", exemptions.usernames[0]: Required value, exemptions.usernames[2]: Duplicate value: \"u\"]",
                ),
            ),
        ] {
            let refused = PodSecurityConfiguration::read(told.clone()).err();
            assert_eq!(
                refused.map(|error| error.to_string()).as_deref(),
                expected,
                "{told}"
            );
        }
        for bad in [
            json!({"namespaces": ["A_b"]}),
            json!({"namespaces": [null]}),
            json!({"runtimeClasses": ["A_b"]}),
        ] {
            let refused = PodSecurityConfiguration::read(json!({"exemptions": bad}));
            assert!(refused.is_err(), "{bad}");
        }
    }
}
