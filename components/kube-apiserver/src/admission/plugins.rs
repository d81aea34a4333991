//! The admission plugins: names, order, which are on, and which requests they are about.

use super::attributes::{Attributes, Operation};
use anyhow::bail;

/// Declares the plugins once: the variants, the list of all of them, and their names.
macro_rules! plugins {
    ($($name:ident,)*) => {
        /// A plugin, in the order in which upstream runs them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Plugin {
            $($name,)*
        }

        use Plugin::*;

        const ALL: &[Plugin] = &[$($name,)*];

        impl Plugin {
            /// How many there are.
            pub const COUNT: usize = ALL.len();

            /// The name in flags and metrics.
            pub fn name(self) -> &'static str {
                match self {
                    $($name => stringify!($name),)*
                }
            }
        }
    };
}

plugins! {
    AlwaysAdmit,
    NamespaceAutoProvision,
    NamespaceLifecycle,
    NamespaceExists,
    LimitPodHardAntiAffinityTopology,
    LimitRanger,
    ServiceAccount,
    NodeRestriction,
    TaintNodesByCondition,
    AlwaysPullImages,
    ImagePolicyWebhook,
    PodSecurity,
    PodNodeSelector,
    Priority,
    DefaultTolerationSeconds,
    PodTolerationRestriction,
    EventRateLimit,
    ExtendedResourceToleration,
    DefaultStorageClass,
    StorageObjectInUseProtection,
    PodGroupProtection,
    OwnerReferencesPermissionEnforcement,
    PersistentVolumeClaimResize,
    RuntimeClass,
    CertificateApproval,
    CertificateSigning,
    ClusterTrustBundleAttest,
    CertificateSubjectRestriction,
    DefaultIngressClass,
    DenyServiceExternalIPs,
    PodTopologyLabels,
    PodGroupWorkloadExists,
    NodeDeclaredFeatureValidator,
    JobValidation,
    PodResizeValidator,
    MutatingAdmissionPolicy,
    MutatingAdmissionWebhook,
    ValidatingAdmissionPolicy,
    ValidatingAdmissionWebhook,
    ResourceQuota,
    AlwaysDeny,
}

impl Plugin {
    /// Whether it runs when nothing is said.
    fn by_default(self) -> bool {
        !matches!(
            self,
            AlwaysAdmit
                | NamespaceAutoProvision
                | NamespaceExists
                | LimitPodHardAntiAffinityTopology
                | NodeRestriction
                | AlwaysPullImages
                | ImagePolicyWebhook
                | PodNodeSelector
                | PodTolerationRestriction
                | EventRateLimit
                | ExtendedResourceToleration
                | OwnerReferencesPermissionEnforcement
                | DenyServiceExternalIPs
                | AlwaysDeny
        )
    }

    /// Whether it may change or refuse this request before the object is validated. Cheap: it is asked of
    /// every plugin for every write.
    pub fn admits(self, attributes: &Attributes<'_>) -> bool {
        let on = |group, plural| attributes.is(group, plural);
        let creates = attributes.operation == Operation::Create && attributes.subresource.is_empty();
        let writes = matches!(attributes.operation, Operation::Create | Operation::Update);
        let pods = on("", "pods") && attributes.subresource.is_empty();
        match self {
            NamespaceAutoProvision => attributes.operation == Operation::Create,
            AlwaysPullImages | PodTolerationRestriction | ExtendedResourceToleration => writes && pods,
            PodNodeSelector => creates && pods,
            NamespaceLifecycle => attributes.operation != Operation::Connect,
            NodeRestriction => {
                attributes.operation != Operation::Connect
                    && attributes.user.in_group(crate::identity::NODES_GROUP)
            }
            LimitRanger => on("", "pods") && (creates || attributes.subresource == "resize"),
            ServiceAccount | RuntimeClass => creates && on("", "pods"),
            Priority | DefaultTolerationSeconds => writes && pods,
            PodTopologyLabels => attributes.operation == Operation::Create && on("", "pods"),
            TaintNodesByCondition => creates && on("", "nodes"),
            DefaultStorageClass => creates && on("", "persistentvolumeclaims"),
            StorageObjectInUseProtection => {
                creates
                    && (on("", "persistentvolumeclaims")
                        || on("", "persistentvolumes")
                        || on("storage.k8s.io", "volumeattributesclasses"))
            }
            DefaultIngressClass => creates && on("networking.k8s.io", "ingresses"),
            MutatingAdmissionPolicy | MutatingAdmissionWebhook | AlwaysDeny => true,
            // Some do nothing: AlwaysAdmit, and those of kinds that are not served.
            _ => false,
        }
    }

    /// Whether it may refuse this request once the object is known to be valid.
    pub fn validates(self, attributes: &Attributes<'_>) -> bool {
        let on = |group, plural| attributes.is(group, plural);
        let writes = matches!(attributes.operation, Operation::Create | Operation::Update);
        let pods = on("", "pods") && attributes.subresource.is_empty();
        match self {
            NamespaceExists => attributes.operation != Operation::Connect,
            LimitPodHardAntiAffinityTopology | AlwaysPullImages | PodTolerationRestriction => writes && pods,
            PodNodeSelector => attributes.operation == Operation::Create && pods,
            ImagePolicyWebhook => {
                writes
                    && on("", "pods")
                    && matches!(attributes.subresource.as_str(), "" | "ephemeralcontainers")
            }
            EventRateLimit => writes && on("", "events"),
            OwnerReferencesPermissionEnforcement => writes,
            DenyServiceExternalIPs => writes && on("", "services") && attributes.subresource.is_empty(),
            PodResizeValidator => {
                attributes.operation == Operation::Update
                    && on("", "pods")
                    && attributes.subresource == "resize"
            }
            LimitRanger => writes && (on("", "pods") || on("", "persistentvolumeclaims")),
            ServiceAccount => writes && on("", "pods"),
            PodSecurity => writes && (attributes.row.namespaced || on("", "namespaces")),
            Priority => writes && on("scheduling.k8s.io", "priorityclasses"),
            PersistentVolumeClaimResize => {
                attributes.operation == Operation::Update && on("", "persistentvolumeclaims")
            }
            RuntimeClass => attributes.operation == Operation::Create && on("", "pods"),
            CertificateApproval | CertificateSigning | CertificateSubjectRestriction => {
                writes && on("certificates.k8s.io", "certificatesigningrequests")
            }
            ClusterTrustBundleAttest => writes && on("certificates.k8s.io", "clustertrustbundles"),
            NodeDeclaredFeatureValidator => {
                attributes.operation == Operation::Update
                    && on("", "pods")
                    && matches!(attributes.subresource.as_str(), "" | "resize")
            }
            ValidatingAdmissionPolicy | ValidatingAdmissionWebhook => true,
            ResourceQuota => writes,
            _ => false,
        }
    }
}

/// Whether there is a plugin of that name.
pub fn is_known(name: &str) -> bool {
    ALL.iter().any(|plugin| plugin.name() == name)
}

/// The plugins that run, in their order. Unknown names and contradictions are refused.
pub fn chain(enable: &[String], disable: &[String]) -> anyhow::Result<Vec<Plugin>> {
    for (flag, names) in [
        ("--enable-admission-plugins", enable),
        ("--disable-admission-plugins", disable),
    ] {
        for name in names {
            if !is_known(name) {
                let supported: Vec<&str> = ALL.iter().map(|plugin| plugin.name()).collect();
                bail!(
                    "{flag}: plugin {name:?} is not supported; supported are {}",
                    supported.join(", ")
                );
            }
        }
    }
    if let Some(both) = enable.iter().find(|name| disable.contains(name)) {
        bail!("admission plugin {both:?} is both enabled and disabled");
    }
    let listed = |names: &[String], plugin: Plugin| names.iter().any(|name| name == plugin.name());
    Ok(ALL
        .iter()
        .copied()
        .filter(|plugin| (plugin.by_default() || listed(enable, *plugin)) && !listed(disable, *plugin))
        .collect())
}

/// The plugins of a list and no others, in their order (`--admission-control`).
pub fn only(names: &[String]) -> anyhow::Result<Vec<Plugin>> {
    if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
        bail!("admission-control plugin {unknown:?} is unknown");
    }
    let listed = |plugin: &Plugin| names.iter().any(|name| name == plugin.name());
    Ok(ALL.iter().copied().filter(listed).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let default = chain(&[], &[]).unwrap();
        assert_eq!(default.len(), ALL.len() - 14);
        let all = chain(&names(&["NodeRestriction"]), &[]).unwrap();
        assert!(all.is_sorted() && all.contains(&NodeRestriction));
        let less = chain(&[], &names(&["ResourceQuota", "PodSecurity"])).unwrap();
        assert!(!less.contains(&ResourceQuota) && !less.contains(&PodSecurity));
        assert!(chain(&names(&["Imaginary"]), &[]).is_err());
        assert!(chain(&names(&["Priority"]), &names(&["Priority"])).is_err());
        let listed = only(&names(&["ResourceQuota", "AlwaysAdmit"])).unwrap();
        assert_eq!(listed, [AlwaysAdmit, ResourceQuota]);
        let unknown = only(&names(&["Imaginary"])).unwrap_err().to_string();
        assert_eq!(unknown, "admission-control plugin \"Imaginary\" is unknown");
    }
}
