//! Admission: what may change or refuse a write after it was authorized.

pub mod attributes;
pub mod bound_pods;
pub mod bounds;
pub mod certificates;
pub mod conditions;
pub mod configuration;
pub mod declared_features;
pub mod enforced;
pub mod inputs;
pub mod limit_ranger;
pub mod live;
pub mod matching;
pub mod metrics;
pub mod namespace_lifecycle;
pub mod node_restriction;
pub mod optional;
pub mod plugins;
pub mod pod_defaults;
pub mod pod_security;
pub mod policies;
pub mod rbac;
pub mod resize;
pub mod resource_quota;
pub mod scope;
pub mod service_account;
pub mod topology;
pub mod volumes;
pub mod webhooks;

pub use attributes::{Attributes, Operation};

use crate::server::Server;
use apimachinery::ApiError;
use apimachinery::managed_fields::Compact;
use configuration::AdmissionConfiguration;
use live::Live;
use metrics::Phase;
use plugins::Plugin;
use policies::sync::Policies;
use serde_json::Value;

use std::time::{Duration, Instant};
use webhooks::reinvocation::Reinvocation;
use webhooks::sync::Webhooks;
use webhooks::{mutating, validating};

/// What admission has ready for all requests.
pub struct Admission {
    /// In the order in which they run.
    pub plugins: Vec<Plugin>,
    pub configuration: AdmissionConfiguration,
    pub webhooks: Live<Webhooks>,
    pub policies: Live<Policies>,
    pub bounds: bounds::Bounds,
    pub deleted: namespace_lifecycle::Deleted,
}

impl Admission {
    pub fn new(plugins: Vec<Plugin>, configuration: AdmissionConfiguration) -> Self {
        Self {
            plugins,
            configuration,
            webhooks: Live::default(),
            policies: Live::default(),
            bounds: bounds::Bounds::default(),
            deleted: namespace_lifecycle::Deleted::default(),
        }
    }

    /// Whether a plugin runs.
    pub fn has(&self, plugin: Plugin) -> bool {
        self.plugins.contains(&plugin)
    }
}

/// Who is asked again in a second round.
#[derive(Default)]
struct Rounds {
    webhooks: Reinvocation,
    policies: Reinvocation,
}

impl Rounds {
    fn needed(&self) -> bool {
        self.webhooks.needed() || self.policies.needed()
    }

    fn begin_again(&mut self) {
        self.webhooks.begin_again();
        self.policies.begin_again();
    }
}

/// The object as plugins see it, who don't look at field sets.
fn plain(object: Option<&Compact>) -> Option<&Value> {
    object.map(|object| &**object)
}

/// Runs the plugins that may change the object of a create, update or connect. Says whether one may have.
pub async fn mutate(
    server: &Server,
    attributes: &Attributes<'_>,
    object: &mut Compact,
    old: Option<&Compact>,
) -> Result<bool, ApiError> {
    forbid_while_terminating(attributes)?;
    let changed = admit(server, attributes, Some(object), old).await?;
    // Not a plugin: nobody can turn it off.
    rbac::admit(server, attributes, object, plain(old))?;
    Ok(changed)
}

/// Everything that may refuse a delete of the object.
pub async fn remove(server: &Server, attributes: &Attributes<'_>, old: &Compact) -> Result<(), ApiError> {
    admit(server, attributes, None, Some(old)).await?;
    validate(server, attributes, None, Some(old)).await
}

/// Both phases for a request whose object is not stored: options of a connection, a question, an order.
pub async fn pass(
    server: &Server,
    attributes: &Attributes<'_>,
    object: &mut Compact,
) -> Result<(), ApiError> {
    mutate(server, attributes, object, None).await?;
    validate(server, attributes, Some(object), None).await
}

/// Nothing is created of what is being deleted with its definition, whichever verb would do it. Not a plugin either: with
/// nothing new, the definition's own deletion comes to an end.
fn forbid_while_terminating(attributes: &Attributes<'_>) -> Result<(), ApiError> {
    let definition = attributes.row.custom.as_deref();
    if attributes.operation != Operation::Create
        || !definition.is_some_and(|definition| definition.terminating)
    {
        return Ok(());
    }
    let why = "create not allowed while custom resource definition is terminating";
    let resource = attributes.row.group_resource();
    Err(ApiError::forbidden(&resource, &attributes.name, why))
}

async fn admit(
    server: &Server,
    attributes: &Attributes<'_>,
    mut object: Option<&mut Compact>,
    old: Option<&Compact>,
) -> Result<bool, ApiError> {
    let started = Instant::now();
    let mut state = Rounds::default();
    let mut outcome = round(server, attributes, object.as_deref_mut(), old, &mut state).await;
    if outcome.is_ok() && state.needed() {
        // Webhooks or policies changed the object: everybody looks again, once.
        state.begin_again();
        outcome = round(server, attributes, object, old, &mut state)
            .await
            .map(|_| true);
    }
    server.metrics.admission.step(
        Phase::Admit,
        attributes.operation,
        outcome.is_err(),
        started.elapsed(),
    );
    outcome
}

/// The time since `started`, which is set to now.
fn lap(started: &mut Instant) -> Duration {
    let now = Instant::now();
    now - std::mem::replace(started, now)
}

async fn round(
    server: &Server,
    attributes: &Attributes<'_>,
    mut object: Option<&mut Compact>,
    old: Option<&Compact>,
    state: &mut Rounds,
) -> Result<bool, ApiError> {
    let mut changed = false;
    let mut started = Instant::now();
    for plugin in &server.admission.plugins {
        if !plugin.admits(attributes) {
            continue;
        }
        let outcome = admit_one(server, *plugin, attributes, object.as_deref_mut(), old, state).await;
        server.metrics.admission.plugin(
            *plugin,
            Phase::Admit,
            attributes.operation,
            outcome.is_err(),
            lap(&mut started),
        );
        changed |= outcome?;
    }
    let passes = &server.metrics.admission.passes;
    passes.whole(Phase::Admit, attributes.operation);
    Ok(changed)
}

/// Whether the plugin may have changed the object.
async fn admit_one(
    server: &Server,
    plugin: Plugin,
    attributes: &Attributes<'_>,
    object: Option<&mut Compact>,
    old: Option<&Compact>,
    state: &mut Rounds,
) -> Result<bool, ApiError> {
    match plugin {
        Plugin::NamespaceLifecycle => {
            namespace_lifecycle::admit(server, attributes, plain(object.as_deref())).await?;
            return Ok(false);
        }
        Plugin::NamespaceAutoProvision => {
            optional::namespaces::provide(server, attributes).await?;
            return Ok(false);
        }
        Plugin::AlwaysDeny => return Err(optional::deny(attributes)),
        Plugin::NodeRestriction => {
            node_restriction::admit(server, attributes, plain(object.as_deref()), plain(old)).await?;
            return Ok(false);
        }
        Plugin::MutatingAdmissionWebhook => {
            return mutating::admit(server, attributes, object, old, &mut state.webhooks).await;
        }
        Plugin::MutatingAdmissionPolicy if !server.has_feature("MutatingAdmissionPolicy") => {
            return Ok(false);
        }
        Plugin::MutatingAdmissionPolicy => {
            return policies::mutating::admit(server, attributes, object, old, &mut state.policies).await;
        }
        _ => {}
    }
    let Some(object) = object else {
        return Ok(false);
    };
    match plugin {
        Plugin::LimitRanger => limit_ranger::mutate(server, attributes, object, plain(old)).await?,
        Plugin::ServiceAccount => service_account::mutate(server, attributes, object).await?,
        Plugin::TaintNodesByCondition => pod_defaults::new_node(attributes, object),
        Plugin::Priority => return pod_defaults::priority(server, attributes, object, plain(old)).await,
        Plugin::DefaultTolerationSeconds => {
            return Ok(pod_defaults::tolerations(server, attributes, object));
        }
        Plugin::DefaultStorageClass | Plugin::DefaultIngressClass => {
            pod_defaults::default_class(server, attributes, object).await;
        }
        Plugin::StorageObjectInUseProtection => pod_defaults::storage_protection(attributes, object),
        Plugin::RuntimeClass => pod_defaults::runtime_class(server, attributes, object).await?,
        Plugin::AlwaysPullImages => return Ok(optional::images::pull(object, plain(old))),
        Plugin::PodNodeSelector => optional::node_selectors::select(server, attributes, object).await?,
        Plugin::PodTolerationRestriction => {
            return optional::tolerations::tolerate(server, attributes, object).await;
        }
        Plugin::ExtendedResourceToleration => return Ok(optional::extended_resources::tolerate(object)),
        Plugin::PodTopologyLabels => topology::label(server, attributes, object),
        _ => return Ok(false),
    }
    Ok(true)
}

/// Runs the plugins that only look.
pub async fn validate(
    server: &Server,
    attributes: &Attributes<'_>,
    object: Option<&Compact>,
    old: Option<&Compact>,
) -> Result<(), ApiError> {
    let started = Instant::now();
    let outcome = validate_all(server, attributes, object, old).await;
    server.metrics.admission.step(
        Phase::Validate,
        attributes.operation,
        outcome.is_err(),
        started.elapsed(),
    );
    outcome
}

async fn validate_all(
    server: &Server,
    attributes: &Attributes<'_>,
    object: Option<&Compact>,
    old: Option<&Compact>,
) -> Result<(), ApiError> {
    let mut started = Instant::now();
    for plugin in &server.admission.plugins {
        if !plugin.validates(attributes) {
            continue;
        }
        let outcome = validate_one(server, *plugin, attributes, object, old).await;
        server.metrics.admission.plugin(
            *plugin,
            Phase::Validate,
            attributes.operation,
            outcome.is_err(),
            lap(&mut started),
        );
        outcome?;
    }
    let passes = &server.metrics.admission.passes;
    passes.whole(Phase::Validate, attributes.operation);
    Ok(())
}

async fn validate_one(
    server: &Server,
    plugin: Plugin,
    attributes: &Attributes<'_>,
    object: Option<&Compact>,
    old: Option<&Compact>,
) -> Result<(), ApiError> {
    match plugin {
        Plugin::ValidatingAdmissionPolicy => {
            return policies::validating::admit(server, attributes, object, old).await;
        }
        Plugin::ValidatingAdmissionWebhook => {
            return validating::admit(server, attributes, object, old).await;
        }
        _ => {}
    }
    let (object, old) = (plain(object), plain(old));
    match plugin {
        Plugin::LimitRanger => limit_ranger::validate(server, attributes, object, old).await,
        Plugin::ServiceAccount => service_account::validate(server, attributes, object).await,
        Plugin::Priority => pod_defaults::single_default(server, attributes, object).await,
        Plugin::PersistentVolumeClaimResize => volumes::resize(server, attributes, object, old),
        Plugin::RuntimeClass => pod_defaults::overhead(server, attributes, object).await,
        Plugin::ClusterTrustBundleAttest => certificates::attest(server, attributes, object, old),
        Plugin::PodSecurity => pod_security::admit(server, attributes, object, old).await,
        Plugin::NodeDeclaredFeatureValidator => declared_features::check(server, attributes, object, old),
        Plugin::PodResizeValidator => resize::check(server, attributes, object, old),
        Plugin::NamespaceExists => optional::namespaces::check(server, attributes).await,
        Plugin::LimitPodHardAntiAffinityTopology => optional::anti_affinity::check(attributes, object),
        Plugin::AlwaysPullImages => optional::images::check(attributes, object, old),
        Plugin::ImagePolicyWebhook => match &server.admission.configuration.image_policy {
            Some(policy) => policy.check(attributes, object).await,
            None => Ok(()),
        },
        Plugin::PodNodeSelector => optional::node_selectors::check(server, attributes, object).await,
        Plugin::PodTolerationRestriction => optional::tolerations::check(server, attributes, object).await,
        Plugin::EventRateLimit => {
            let rates = &server.admission.configuration.event_rates;
            rates.check(attributes, object)
        }
        Plugin::OwnerReferencesPermissionEnforcement => {
            optional::owners::check(server, attributes, object, old).await
        }
        Plugin::DenyServiceExternalIPs => optional::external_ips::check(attributes, object, old),
        Plugin::CertificateApproval => certificates::approval(server, attributes, old),
        Plugin::CertificateSigning => certificates::signing(server, attributes, object, old),
        Plugin::CertificateSubjectRestriction => certificates::subject(attributes, object),
        // Last, so that nothing is counted that is refused for another reason.
        Plugin::ResourceQuota => resource_quota::admit(server, attributes, object, old).await,
        _ => Ok(()),
    }
}
