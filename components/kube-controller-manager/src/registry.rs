//! The controllers by name, and which of them run.

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::task::JoinSet;

use crate::runtime::Context;

type Start = fn(Arc<Context>) -> BoxFuture<'static, ()>;

/// One controller: upstream's name, its older short name, and how it starts.
pub struct Controller {
    pub name: &'static str,
    pub alias: &'static str,
    /// Runs under `*`.
    pub by_default: bool,
    /// The feature that it works for, if it depends on one.
    feature: Option<&'static str>,
    start: Start,
}

const fn on(name: &'static str, alias: &'static str, start: Start) -> Controller {
    Controller {
        name,
        alias,
        by_default: true,
        feature: None,
        start,
    }
}

const fn off(name: &'static str, alias: &'static str, start: Start) -> Controller {
    Controller {
        name,
        alias,
        by_default: false,
        feature: None,
        start,
    }
}

/// One that runs where the feature is on.
const fn with(feature: &'static str, controller: Controller) -> Controller {
    Controller {
        feature: Some(feature),
        ..controller
    }
}

/// Names of upstream controllers that have no work in this implementation; listing them is not an error.
const WITHOUT_WORK: &[&str] = &[
    "device-taint-eviction-controller",
    "kube-apiserver-serving-clustertrustbundle-publisher-controller",
    "legacy-serviceaccount-token-cleaner-controller",
    "node-route-controller",
    "persistentvolume-attach-detach-controller",
    "persistentvolume-expander-controller",
    "resourceclaim-controller",
    "selinux-warning-controller",
    "service-lb-controller",
    "storage-version-migrator-controller",
    "storageversion-garbage-collector-controller",
    "cloud-node-lifecycle-controller",
    "podcertificaterequest-cleaner-controller",
    "nodecidrset",
];

pub const CONTROLLERS: &[Controller] = &[
    on("deployment-controller", "deployment", crate::deployment::start),
    on("replicaset-controller", "replicaset", crate::replicaset::start),
    on(
        "replicationcontroller-controller",
        "replicationcontroller",
        crate::replicaset::start_replication,
    ),
    on("daemonset-controller", "daemonset", crate::daemonset::start),
    on("statefulset-controller", "statefulset", crate::statefulset::start),
    on("job-controller", "job", crate::job::start),
    on("cronjob-controller", "cronjob", crate::cronjob::start),
    on(
        "ttl-after-finished-controller",
        "ttl-after-finished",
        crate::ttl_after_finished::start,
    ),
    on(
        "endpointslice-controller",
        "endpointslice",
        crate::endpointslice::start,
    ),
    on("endpoints-controller", "endpoint", crate::endpoints::start),
    on("namespace-controller", "namespace", crate::namespace::start),
    on(
        "garbage-collector-controller",
        "garbagecollector",
        crate::garbage_collector::start,
    ),
    on(
        "node-lifecycle-controller",
        "nodelifecycle",
        crate::node_lifecycle::start,
    ),
    on(
        "taint-eviction-controller",
        "taint-eviction",
        crate::taint_eviction::start,
    ),
    on("pod-garbage-collector-controller", "podgc", crate::pod_gc::start),
    on("node-ipam-controller", "nodeipam", crate::node_ipam::start),
    on(
        "certificatesigningrequest-signing-controller",
        "csrsigning",
        crate::certificates::start_signing,
    ),
    on(
        "certificatesigningrequest-approving-controller",
        "csrapproving",
        crate::certificates::start_approving,
    ),
    on(
        "certificatesigningrequest-cleaner-controller",
        "csrcleaner",
        crate::certificates::start_cleaning,
    ),
    on(
        "clusterrole-aggregation-controller",
        "clusterrole-aggregation",
        crate::clusterrole_aggregation::start,
    ),
    on("ttl-controller", "ttl", crate::ttl::start),
    on(
        "resourcequota-controller",
        "resourcequota",
        crate::resource_quota::start,
    ),
    on(
        "horizontal-pod-autoscaler-controller",
        "horizontalpodautoscaling",
        crate::horizontal_pod_autoscaler::start,
    ),
    on("disruption-controller", "disruption", crate::disruption::start),
    on(
        "endpointslice-mirroring-controller",
        "endpointslicemirroring",
        crate::endpointslice_mirroring::start,
    ),
    off(
        "bootstrap-signer-controller",
        "bootstrapsigner",
        crate::bootstrap::start_signer,
    ),
    off(
        "token-cleaner-controller",
        "tokencleaner",
        crate::bootstrap::start_cleaner,
    ),
    on(
        "ephemeral-volume-controller",
        "ephemeral-volume",
        crate::volume::start_ephemeral,
    ),
    on(
        "persistentvolume-binder-controller",
        "persistentvolume-binder",
        crate::volume::start_binder,
    ),
    on(
        "persistentvolumeclaim-protection-controller",
        "pvc-protection",
        crate::volume::start_claim_protection,
    ),
    on(
        "persistentvolume-protection-controller",
        "pv-protection",
        crate::volume::start_volume_protection,
    ),
    on(
        "serviceaccount-controller",
        "serviceaccount",
        crate::serviceaccount::start,
    ),
    on(
        "serviceaccount-token-controller",
        "serviceaccount-token",
        crate::serviceaccount::tokens::start,
    ),
    on(
        "service-cidr-controller",
        "service-cidr",
        crate::service_cidr::start,
    ),
    on(
        "validatingadmissionpolicy-status-controller",
        "validatingadmissionpolicy-status",
        crate::admission_policies::start,
    ),
    with(
        "VolumeAttributesClass",
        on(
            "volumeattributesclass-protection-controller",
            "volumeattributesclass-protection",
            crate::volume::start_class_protection,
        ),
    ),
    on(
        "root-ca-certificate-publisher-controller",
        "root-ca-cert-publisher",
        crate::root_ca::start,
    ),
];

/// Reads `--controllers`. An unknown name is an error that says which names there are. Those of features that are not on
/// don't run, even if they are named.
pub fn chosen(flags: &[String], is_on: impl Fn(&str) -> bool) -> anyhow::Result<Vec<&'static Controller>> {
    for word in flags {
        let name = word.trim_start_matches('-');
        let known = name == "*"
            || WITHOUT_WORK.contains(&name)
            || CONTROLLERS
                .iter()
                .any(|controller| controller.name == name || controller.alias == name);
        if !known {
            let names: Vec<_> = CONTROLLERS.iter().map(|controller| controller.name).collect();
            anyhow::bail!(
                "--controllers: {name:?} is not a controller; there are *, {}",
                names.join(", ")
            );
        }
    }
    let star = flags.iter().any(|word| word == "*");
    let named = |prefix: &str, controller: &Controller| {
        flags
            .iter()
            .filter_map(|word| word.strip_prefix(prefix))
            .any(|name| name == controller.name || name == controller.alias)
    };
    Ok(CONTROLLERS
        .iter()
        .filter(|controller| {
            !named("-", controller) && (named("", controller) || (star && controller.by_default))
        })
        .filter(|controller| controller.feature.is_none_or(&is_on))
        .collect())
}

/// Starts the controllers and runs until the context ends, or one of them does.
pub async fn run(context: Arc<Context>, chosen: Vec<&'static Controller>) {
    let mut running = JoinSet::new();
    for controller in chosen {
        tracing::info!(controller = controller.name, "starting");
        // Made here and not in the task: shared informers get their indexes before anybody waits for them.
        let task = (controller.start)(context.clone());
        running.spawn(async move {
            task.await;
            controller.name
        });
    }
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok(name) if !context.shutdown.is_cancelled() => {
                tracing::info!(controller = name, "has nothing to do")
            }
            Ok(_) => {}
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => {}
        }
    }
    context.shutdown.cancelled().await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;
    use component_config::kube_controller_manager::ControllerManagerFlags;

    fn names(flags: &[&str]) -> Vec<&'static str> {
        let flags: Vec<_> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        chosen(&flags, |_| true)
            .unwrap()
            .iter()
            .map(|controller| controller.name)
            .collect()
    }

    #[test]
    fn controllers_are_chosen_by_name_and_alias() {
        assert_eq!(
            names(&["deployment", "replicaset-controller"]),
            ["deployment-controller", "replicaset-controller"]
        );
        assert!(!names(&["*", "-deployment"]).contains(&"deployment-controller"));
        assert!(names(&["*"]).contains(&"deployment-controller"));
        assert!(!names(&["*"]).contains(&"token-cleaner-controller"));
        assert_eq!(names(&["tokencleaner"]), ["token-cleaner-controller"]);
        assert!(chosen(&["no-such".to_owned()], |_| true).is_err());
    }
    #[test]
    fn controllers_of_features_that_are_off_do_not_run() {
        let name = "volumeattributesclass-protection-controller";
        for (version, gates, flag, runs) in [
            ("1.36", "", "*", true),
            ("1.34", "", "*", true),
            ("1.33", "", "*", false),
            ("1.33", "", name, false),
            ("1.33", "VolumeAttributesClass=true", "*", true),
            ("1.33", "AllBeta=true", "*", true),
            ("1.36", "PodLevelResources=false", "*", true),
        ] {
            let mut words = vec![format!("--emulated-version={version}")];
            words.extend((!gates.is_empty()).then(|| format!("--feature-gates={gates}")));
            let flags = ControllerManagerFlags::parse_from(
                [vec!["kube-controller-manager".to_owned()], words].concat(),
            );
            let chosen = chosen(&[flag.to_owned()], |feature| flags.has_feature(feature)).unwrap();
            let found = chosen.iter().any(|controller| controller.name == name);
            assert_eq!(found, runs, "{version} {gates} {flag}");
        }
    }
}
