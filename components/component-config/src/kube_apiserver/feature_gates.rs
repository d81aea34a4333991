//! What --feature-gates may say: this server has upstream's features as upstream sets them by default.

mod gate;
mod known;

use crate::versions::{EffectiveVersion, Version};
pub use gate::{Gate, Spec, Stage};
pub use known::GATES;

/// One `Name=bool`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureGate {
    pub name: String,
    pub enabled: bool,
}

/// Sets all gates of that stage which nobody set.
const ALL_BETA: &str = "AllBeta";

/// Features of upstream's API server that are off by default and not here, so nobody can turn them on.
const ABSENT: &[&str] = &[
    "AllAlpha",
    ALL_BETA,
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

fn known(name: &str) -> Option<&'static Gate> {
    let found = GATES.binary_search_by(|gate| gate.name.cmp(name)).ok()?;
    GATES.get(found)
}

/// Parses one gate, which may stand behind `kube:`. Gates of other components are taken: upstream's components share one list.
///
/// # Errors
///
/// The gate is none of upstream's, or not set to a boolean.
pub fn parse(text: &str) -> Result<FeatureGate, String> {
    let Some((name, value)) = text.split_once('=') else {
        return Err(format!("missing bool value for {text}"));
    };
    let (name, value) = (name.trim(), value.trim());
    let name = match name.split_once(':') {
        None => name,
        Some(("kube", name)) => name,
        Some((other, _)) => return Err(format!("component not registered: {other}")),
    };
    if known(name).is_none() {
        return Err(format!("unrecognized feature gate: {name}"));
    }
    let enabled = match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
        "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
        _ => return Err(format!("invalid value of {name}={value}; use true or false")),
    };
    Ok(FeatureGate {
        name: name.to_owned(),
        enabled,
    })
}

/// Whether the gates can be set so in a version.
///
/// # Errors
///
/// One is locked, was not yet there, or turns on what can't be turned on here: ignoring that would change behaviour.
pub fn check(gates: &[FeatureGate], version: &EffectiveVersion) -> Result<(), String> {
    for FeatureGate { name, enabled } in gates {
        let spec = known(name).and_then(|gate| gate.at(version.emulated));
        match spec {
            None => {
                return Err(format!(
                    "cannot set feature gate {name} to {enabled}, feature is PreAlpha at emulated version {}, min compatibility \
                     version {}",
                    version.emulated, version.min_compatibility
                ));
            }
            Some(spec) if spec.locked && *enabled != spec.default => {
                return Err(format!(
                    "cannot set feature gate {name} to {enabled}, feature is locked to {}",
                    spec.default
                ));
            }
            Some(_) => {}
        }
        if *enabled && ABSENT.contains(&name.as_str()) {
            return Err(format!("feature {name} is not in this implementation; remove it"));
        }
    }
    Ok(())
}

/// Whether a feature is on in a version: as the gates say, or by default.
pub fn is_on(gates: &[FeatureGate], name: &str, version: Version) -> bool {
    let given = |name: &str| gates.iter().rev().find(|gate| gate.name == name);
    if let Some(gate) = given(name) {
        return gate.enabled;
    }
    known(name).and_then(|gate| gate.at(version)).is_some_and(|spec| {
        let by_stage = match spec.stage {
            Stage::Beta => given(ALL_BETA),
            _ => None,
        };
        by_stage.map_or(spec.default, |all| all.enabled)
    })
}

#[cfg(test)]
mod tests;
