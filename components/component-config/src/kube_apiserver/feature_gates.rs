//! What --feature-gates may say: this server has upstream's features as upstream sets them by default.

pub mod known;

pub use known::{GATES, Gate};

/// One `Name=bool`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureGate {
    pub name: String,
    pub enabled: bool,
}

/// Features of upstream's API server that are off by default and not here, so nobody can turn them on.
const ABSENT: &[&str] = &[
    "AllAlpha",
    "AllBeta",
    "AllowUnsafeMalformedObjectDeletion",
    "CBORServingAndStorage",
    "ClusterTrustBundle",
    "ClusterTrustBundleProjection",
    "CoordinatedLeaderElection",
    "DRADeviceTaintRules",
    "DRAResourcePoolStatus",
    "DRAWorkloadResourceClaims",
    "GangScheduling",
    "GenericWorkload",
    "KMSv1",
    "ManifestBasedAdmissionControlConfig",
    "PodCertificateRequest",
    "ShardedListAndWatch",
    "StorageVersionAPI",
    "StorageVersionMigrator",
    "TopologyAwareWorkloadScheduling",
    "WorkloadAwarePreemption",
    "WorkloadWithJob",
];

/// Parses one gate. Gates of other components are taken: upstream's components share one list.
///
/// # Errors
///
/// The gate is none of upstream's, is locked, or turns on what can't be turned on here: ignoring that would change
/// behaviour.
pub fn parse(text: &str) -> Result<FeatureGate, String> {
    let Some((name, value)) = text.split_once('=') else {
        return Err(format!("missing bool value for {text}"));
    };
    let (name, value) = (name.trim(), value.trim());
    let Some(gate) = GATES.iter().find(|gate| gate.name == name) else {
        return Err(format!("unrecognized feature gate: {name}"));
    };
    let enabled = match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
        "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
        _ => return Err(format!("invalid value of {name}={value}; use true or false")),
    };
    if gate.locked && enabled != gate.default {
        return Err(format!(
            "cannot set feature gate {name} to {enabled}, feature is locked to {}",
            gate.default
        ));
    }
    if enabled && ABSENT.contains(&name) {
        return Err(format!("feature {name} is not in this implementation; remove it"));
    }
    Ok(FeatureGate {
        name: name.to_owned(),
        enabled,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_are_booleans_and_what_is_not_there_cannot_be_turned_on() {
        for (text, taken) in [
            ("NodeSwap=true", true),
            ("AllAlpha=false", true),
            ("CBORServingAndStorage=false", true),
            ("NodeSwap=false", false),
            ("GitRepoVolumeDriver=true", false),
            ("WatchList=false", true),
            ("HPAScaleToZero=true", true),
            ("NoSuchGate=false", false),
            ("AllAlpha=true", false),
            ("CBORServingAndStorage=true", false),
            ("PodCertificateRequest=true", false),
            ("PodCertificateRequest=false", true),
            ("ContainerStopSignals=true", true),
            ("NodeSwap", false),
            ("NodeSwap=on", false),
            ("=true", false),
            ("a b=true", false),
        ] {
            assert_eq!(parse(text).is_ok(), taken, "{text}");
        }
    }

    #[test]
    fn refusals_are_upstreams() {
        assert_eq!(
            parse("NoSuchGate=true"),
            Err("unrecognized feature gate: NoSuchGate".to_owned())
        );
        assert_eq!(
            parse("NodeSwap=false"),
            Err("cannot set feature gate NodeSwap to false, feature is locked to true".to_owned())
        );
    }

    #[test]
    fn gates_are_sorted_and_there_is_one_of_each_name() {
        assert!(GATES.is_sorted_by(|one, other| one.name < other.name));
        for absent in ABSENT {
            assert!(
                GATES.iter().any(|gate| gate.name == *absent && !gate.default),
                "{absent}"
            );
        }
    }
}
