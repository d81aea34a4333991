//! Defaults and exemptions of PodSecurity.

use super::checks::Level;
use anyhow::bail;
use serde_json::Value;

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

    /// Reads a PodSecurityConfiguration.
    pub fn read(told: &Value) -> anyhow::Result<Self> {
        let mode = |name: &str| {
            let text =
                |field: &str, default: &str| told["defaults"][field].as_str().unwrap_or(default).to_owned();
            let (level, version) = (
                text(name, "privileged"),
                text(&format!("{name}-version"), "latest"),
            );
            let Some(level) = Level::parse(&level) else {
                bail!("defaults.{name}: {level:?} is not one of privileged, baseline, restricted");
            };
            if !is_version(&version) {
                bail!("defaults.{name}-version: {version:?} is neither latest nor v1.N");
            }
            Ok(LevelVersion { level, version })
        };
        let names = |field: &str| {
            told["exemptions"][field]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect()
        };
        Ok(Self {
            enforce: mode("enforce")?,
            audit: mode("audit")?,
            warn: mode("warn")?,
            users: names("usernames"),
            namespaces: names("namespaces"),
            runtime_classes: names("runtimeClasses"),
        })
    }
}

/// Whether a text names a version of the standards.
pub fn is_version(text: &str) -> bool {
    text == "latest"
        || text
            .strip_prefix("v1.")
            .is_some_and(|minor| minor == "0" || (!minor.starts_with('0') && minor.parse::<u32>().is_ok()))
}
