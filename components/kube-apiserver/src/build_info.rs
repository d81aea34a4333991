//! What the program was built from, as `/version` and the metrics tell it.

use component_config::versions::{EffectiveVersion, Version};
use prometheus_client::encoding::EncodeLabelSet;
use serde_json::{Value, json};

/// Given to the compiler by whoever builds; the build itself asks nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct BuildInfo {
    pub commit: Option<&'static str>,
    /// The commit's time in seconds since 1970, so that the same sources make the same program.
    pub commit_time: Option<&'static str>,
}

/// Versions as `major.minor`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct VersionLabels {
    component: &'static str,
    binary: String,
    emulation: String,
    min_compat: String,
}

impl BuildInfo {
    /// Upstream's for builds that nobody told the time: 1970.
    fn date(&self) -> String {
        let seconds = self.commit_time.and_then(|text| text.parse().ok()).unwrap_or(0);
        jiff::Timestamp::from_second(seconds)
            .unwrap_or_default()
            .to_string()
    }

    /// The commit, if that is all that the program was built from.
    pub fn known_commit(&self) -> Option<&'static str> {
        let commit = self.commit?;
        (!commit.is_empty() && !commit.ends_with("-dirty")).then_some(commit)
    }

    fn commit(&self) -> &'static str {
        self.commit
            .filter(|commit| !commit.is_empty())
            .unwrap_or("unknown")
    }

    /// The labels of `kubernetes_build_info`.
    pub fn labels(&self) -> Vec<(String, String)> {
        let labels = [
            ("build_date", self.date()),
            ("compiler", COMPILER.to_owned()),
            ("git_commit", self.commit().to_owned()),
            ("git_tree_state", String::new()),
            ("git_version", component_config::KUBERNETES_VERSION.to_owned()),
            ("go_version", GO.to_owned()),
            ("major", Version::OWN.major.to_string()),
            ("minor", Version::OWN.minor.to_string()),
            ("platform", platform()),
        ];
        labels
            .map(|(name, value)| (name.to_owned(), value))
            .into_iter()
            .collect()
    }

    /// The labels of `version_info`: `/version` tells the same.
    pub fn versions(version: &EffectiveVersion) -> VersionLabels {
        VersionLabels {
            component: "kube",
            binary: Version::OWN.to_string(),
            emulation: version.emulated.to_string(),
            min_compat: version.min_compatibility.to_string(),
        }
    }

    /// The answer of `/version`.
    pub fn version(&self, version: &EffectiveVersion) -> Value {
        let (emulated, least) = (version.emulated, version.min_compatibility);
        json!({
            "major": Version::OWN.major.to_string(),
            "minor": Version::OWN.minor.to_string(),
            "emulationMajor": emulated.major.to_string(),
            "emulationMinor": emulated.minor.to_string(),
            "minCompatibilityMajor": least.major.to_string(),
            "minCompatibilityMinor": least.minor.to_string(),
            "gitVersion": component_config::KUBERNETES_VERSION,
            "gitCommit": self.commit(),
            "gitTreeState": "",
            "buildDate": self.date(),
            "goVersion": GO,
            "compiler": COMPILER,
            "platform": platform(),
        })
    }
}

const COMPILER: &str = "rustc";
/// Clients expect the field.
const GO: &str = "none";

/// In Go's words.
fn platform() -> String {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{}/{architecture}", std::env::consts::OS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_compiler_was_told_is_told() {
        let told = BuildInfo {
            commit: Some("abc"),
            commit_time: Some("1767225600"),
        };
        for (build, commit, date) in [
            (told, "abc", "2026-01-01T00:00:00Z"),
            (BuildInfo::default(), "unknown", "1970-01-01T00:00:00Z"),
            (
                BuildInfo {
                    commit: Some(""),
                    commit_time: Some(""),
                },
                "unknown",
                "1970-01-01T00:00:00Z",
            ),
        ] {
            let version = build.version(&EffectiveVersion::default());
            assert_eq!(
                (&version["gitCommit"], &version["buildDate"]),
                (&json!(commit), &json!(date))
            );
        }
    }
}
