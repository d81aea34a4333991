//! Names of admission plugins, and which are on.

use anyhow::bail;

/// Plugins that run when nothing is said, in upstream's order.
pub const DEFAULT: &[&str] = &[
    "NamespaceLifecycle",
    "LimitRanger",
    "ServiceAccount",
    "TaintNodesByCondition",
    "PodSecurity",
    "Priority",
    "DefaultTolerationSeconds",
    "DefaultStorageClass",
    "StorageObjectInUseProtection",
    "PersistentVolumeClaimResize",
    "RuntimeClass",
    "CertificateApproval",
    "CertificateSigning",
    "ClusterTrustBundleAttest",
    "CertificateSubjectRestriction",
    "DefaultIngressClass",
    "PodTopologyLabels",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionWebhook",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionWebhook",
    "ResourceQuota",
];

/// Plugins that have to be asked for.
const OPTIONAL: &[&str] = &["NodeRestriction"];

/// Refuses names that are unknown or that this server doesn't have.
pub fn check(enable: &[String], disable: &[String]) -> anyhow::Result<()> {
    for (flag, names) in [
        ("--enable-admission-plugins", enable),
        ("--disable-admission-plugins", disable),
    ] {
        for name in names {
            let known = DEFAULT.contains(&name.as_str()) || OPTIONAL.contains(&name.as_str());
            if !known {
                bail!(
                    "{flag}: plugin {name:?} is not supported; supported are {}, {}",
                    DEFAULT.join(", "),
                    OPTIONAL.join(", ")
                );
            }
        }
    }
    if let Some(both) = enable.iter().find(|name| disable.contains(name)) {
        bail!("admission plugin {both:?} is both enabled and disabled");
    }
    Ok(())
}

/// Whether a plugin runs.
pub fn enabled(name: &str, enable: &[String], disable: &[String]) -> bool {
    let listed = |names: &[String]| names.iter().any(|other| other == name);
    (DEFAULT.contains(&name) || listed(enable)) && !listed(disable)
}
