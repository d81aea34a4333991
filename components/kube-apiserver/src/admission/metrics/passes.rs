//! The times of plugins as upstream counts them: also for requests that a plugin finds to be no business of its own. Most
//! plugins do with most requests, so these are counted together, and told apart when somebody asks.

use super::{Phase, PluginLabels, STEP_BUCKETS, word};
use crate::admission::attributes::Operation;
use crate::admission::plugins::Plugin;
use crate::metrics::timed::Durations;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use std::fmt::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use storage::metrics::AtomicHistogram;

const NAME: &str = "apiserver_admission_controller_admission_duration_seconds";

/// All plugins that run, and what went past them.
#[derive(Debug)]
pub struct Passes {
    /// In their order.
    chain: OnceLock<Vec<Plugin>>,
    /// Of those that had a look.
    durations: Durations<PluginLabels>,
    /// Requests that no plugin refused.
    whole: [[AtomicU64; Phase::COUNT]; Operation::COUNT],
}

impl Passes {
    pub(super) fn new(durations: Durations<PluginLabels>) -> Self {
        Self {
            chain: OnceLock::new(),
            durations,
            whole: Default::default(),
        }
    }

    /// These are all that run; said once.
    pub fn of(&self, chain: &[Plugin]) {
        // A second chain would be a second server's, with metrics of its own.
        let _ = self.chain.set(chain.to_vec());
    }

    /// A request went past all plugins.
    pub fn whole(&self, phase: Phase, operation: Operation) {
        self.whole[operation as usize][phase as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn known(&self, labels: &PluginLabels) -> Option<AtomicHistogram> {
        self.durations.get(labels).map(|known| known.clone())
    }
}

/// For the registry.
#[derive(Clone, Debug)]
pub struct Told(pub Arc<Passes>);

impl Collector for Told {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        let help = "Time that a plugin took";
        let mut family = encoder.encode_descriptor(NAME, help, None, MetricType::Histogram)?;
        let chain = self.0.chain.get().map_or(&[][..], Vec::as_slice);
        for operation in Operation::ALL {
            for phase in [Phase::Admit, Phase::Validate] {
                let mut reached = self.0.whole[operation as usize][phase as usize].load(Ordering::Relaxed);
                // From the last on, to which only those came that none before refused.
                for plugin in chain.iter().rev() {
                    let labels = |rejected| PluginLabels {
                        name: plugin.name(),
                        operation: operation.name(),
                        rejected: word(rejected),
                        r#type: phase.name(),
                    };
                    let (passed, refused) = (labels(false), labels(true));
                    let known = self.0.known(&passed);
                    let seen = known.as_ref().map_or(0, AtomicHistogram::count);
                    let others = match is_asked(*plugin, phase, operation) {
                        true => reached.saturating_sub(seen),
                        false => 0,
                    };
                    if seen + others > 0 {
                        let all = AtomicHistogram::new(&STEP_BUCKETS);
                        if let Some(known) = &known {
                            all.add(known);
                        }
                        all.observe_zeros(others);
                        all.encode(family.encode_family(&passed)?)?;
                    }
                    if let Some(refusals) = self.0.known(&refused) {
                        reached += refusals.count();
                        refusals.encode(family.encode_family(&refused)?)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Whether upstream's plugin is asked about an operation in a phase, whatever the kind, and whatever features are on.
fn is_asked(plugin: Plugin, phase: Phase, operation: Operation) -> bool {
    use Operation::{Connect, Create, Update};
    use Plugin::*;
    let writes = matches!(operation, Create | Update);
    match (phase, plugin) {
        (_, AlwaysAdmit | AlwaysDeny)
        | (Phase::Admit, MutatingAdmissionPolicy | MutatingAdmissionWebhook)
        | (Phase::Validate, ValidatingAdmissionPolicy | ValidatingAdmissionWebhook) => true,
        (_, Priority)
        | (Phase::Admit, NamespaceLifecycle | NodeRestriction)
        | (Phase::Validate, NamespaceExists) => operation != Connect,
        (_, LimitRanger | ServiceAccount | AlwaysPullImages | PodTolerationRestriction)
        | (Phase::Admit, DefaultTolerationSeconds | ExtendedResourceToleration)
        | (
            Phase::Validate,
            LimitPodHardAntiAffinityTopology
            | ImagePolicyWebhook
            | PodSecurity
            | EventRateLimit
            | OwnerReferencesPermissionEnforcement
            | ClusterTrustBundleAttest
            | DenyServiceExternalIPs
            | ResourceQuota,
        ) => writes,
        (_, PodNodeSelector | RuntimeClass)
        | (
            Phase::Admit,
            NamespaceAutoProvision
            | TaintNodesByCondition
            | DefaultStorageClass
            | StorageObjectInUseProtection
            | PodGroupProtection
            | DefaultIngressClass
            | PodTopologyLabels,
        )
        | (Phase::Validate, CertificateSubjectRestriction | PodGroupWorkloadExists) => operation == Create,
        (
            Phase::Validate,
            PersistentVolumeClaimResize
            | CertificateApproval
            | CertificateSigning
            | NodeDeclaredFeatureValidator
            | JobValidation
            | PodResizeValidator,
        ) => operation == Update,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::metrics::family::Family;
    use prometheus_client::registry::Registry;

    #[test]
    fn whoever_a_request_goes_past_is_told_of_it() {
        let durations: Durations<PluginLabels> =
            Family::new_with_constructor(|| AtomicHistogram::new(&STEP_BUCKETS));
        let passes = Arc::new(Passes::new(durations.clone()));
        passes.of(&[
            Plugin::NamespaceLifecycle,
            Plugin::LimitRanger,
            Plugin::PodTopologyLabels,
        ]);
        let observe = |plugin: Plugin, rejected: bool| {
            let labels = PluginLabels {
                name: plugin.name(),
                operation: "CREATE",
                rejected: word(rejected),
                r#type: "admit",
            };
            durations.get_or_create(&labels).observe(0.01);
        };
        // One past all, of which the first had a look; one that the second refused, and one that the first did.
        passes.whole(Phase::Admit, Operation::Create);
        observe(Plugin::NamespaceLifecycle, false);
        observe(Plugin::NamespaceLifecycle, false);
        observe(Plugin::LimitRanger, true);
        observe(Plugin::NamespaceLifecycle, true);
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Told(passes)));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let count = |plugin: &str, rejected: &str, expected: &str| {
            let line = format!(
                "{NAME}_count{{name=\"{plugin}\",operation=\"CREATE\",rejected=\"{rejected}\",type=\"admit\"}} {expected}"
            );
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        };
        count("NamespaceLifecycle", "false", "2");
        count("NamespaceLifecycle", "true", "1");
        count("LimitRanger", "false", "1");
        count("LimitRanger", "true", "1");
        count("PodTopologyLabels", "false", "1");
        assert!(!text.contains("UPDATE") && !text.contains("validate"), "{text}");
        let quick = format!(
            "{NAME}_bucket{{le=\"0.005\",name=\"LimitRanger\",operation=\"CREATE\",rejected=\"false\",type=\"admit\"}} 1"
        );
        assert!(text.contains(&quick), "{text}");
    }

    /// Of upstream's plugins: the operations that each is made for, and the phases that it has.
    #[test]
    fn plugins_are_asked_about_what_they_are_made_for() {
        use Plugin::*;
        for (plugins, admit, validate) in [
            (&[AlwaysAdmit, AlwaysDeny][..], "all", "all"),
            (&[MutatingAdmissionPolicy, MutatingAdmissionWebhook], "all", ""),
            (
                &[ValidatingAdmissionPolicy, ValidatingAdmissionWebhook],
                "",
                "all",
            ),
            (&[NamespaceLifecycle, NodeRestriction], "CREATE UPDATE DELETE", ""),
            (&[NamespaceExists], "", "CREATE UPDATE DELETE"),
            (&[Priority], "CREATE UPDATE DELETE", "CREATE UPDATE DELETE"),
            (
                &[
                    LimitRanger,
                    ServiceAccount,
                    AlwaysPullImages,
                    PodTolerationRestriction,
                ],
                "CREATE UPDATE",
                "CREATE UPDATE",
            ),
            (
                &[DefaultTolerationSeconds, ExtendedResourceToleration],
                "CREATE UPDATE",
                "",
            ),
            (
                &[
                    LimitPodHardAntiAffinityTopology,
                    ImagePolicyWebhook,
                    PodSecurity,
                    EventRateLimit,
                    OwnerReferencesPermissionEnforcement,
                    ClusterTrustBundleAttest,
                    DenyServiceExternalIPs,
                    ResourceQuota,
                ],
                "",
                "CREATE UPDATE",
            ),
            (&[PodNodeSelector, RuntimeClass], "CREATE", "CREATE"),
            (
                &[
                    NamespaceAutoProvision,
                    TaintNodesByCondition,
                    DefaultStorageClass,
                    StorageObjectInUseProtection,
                    PodGroupProtection,
                    DefaultIngressClass,
                    PodTopologyLabels,
                ],
                "CREATE",
                "",
            ),
            (
                &[CertificateSubjectRestriction, PodGroupWorkloadExists],
                "",
                "CREATE",
            ),
            (
                &[
                    PersistentVolumeClaimResize,
                    CertificateApproval,
                    CertificateSigning,
                    NodeDeclaredFeatureValidator,
                    JobValidation,
                    PodResizeValidator,
                ],
                "",
                "UPDATE",
            ),
        ] {
            for plugin in plugins {
                for operation in Operation::ALL {
                    for (phase, want) in [(Phase::Admit, admit), (Phase::Validate, validate)] {
                        let expected = want == "all" || want.split(' ').any(|name| name == operation.name());
                        let asked = is_asked(*plugin, phase, operation);
                        assert_eq!(asked, expected, "{plugin:?} {phase:?} {operation:?}");
                    }
                }
            }
        }
    }
}
