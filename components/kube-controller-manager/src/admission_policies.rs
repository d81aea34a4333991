//! Says in the status of a ValidatingAdmissionPolicy which of its expressions don't fit what it is about.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use api::expressions::types::{Warning, warnings};
use api::{Registry, Resource};
use apimachinery::GroupVersion;
use client::informer::{Change, Key, key_of};
use client::workqueue::Requeue;
use client::{Informer, Queue};
use futures::future::{BoxFuture, FutureExt as _};
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource as _};
use serde_json::{Value, json};

use crate::error::{Error, Result, ignore_not_found};
use crate::owner::Meta as _;
use crate::runtime::{Context, work};

/// Upstream's default of `--concurrent-validating-admission-policy-status-syncs`.
const WORKERS: usize = 5;
const ACCOUNT: &str = "validatingadmissionpolicy-status-controller";
const MANAGER: &str = "validatingadmissionpolicy-status";

struct Controller {
    policies: Informer<ValidatingAdmissionPolicy>,
    client: Client,
    /// Reads the definitions of custom resources, with the process's own rights, when a policy is about one: they are
    /// large and many, so no copy is kept.
    reader: Client,
    /// Read when the first policy is looked at: most clusters have none, and it takes megabytes.
    built_in: LazyLock<Registry>,
}

pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let controller = Arc::new(Controller {
        policies: context.informer(),
        client: context.client(ACCOUNT),
        reader: context.root.client.clone(),
        built_in: LazyLock::new(Registry::built_in),
    });
    async move {
        if !crate::synced!(controller.policies) {
            return;
        }
        let queue: Queue<Key> = Queue::new();
        let keys = queue.clone();
        controller
            .policies
            .on_change(move |change: &Change<ValidatingAdmissionPolicy>| {
                if change.new.is_some() {
                    keys.add(key_of(change.object().as_ref()));
                }
            });
        work(
            "validatingadmissionpolicy-status",
            &context,
            queue,
            WORKERS,
            controller,
            |controller, key| async move { controller.reconcile(&key.1).await },
        )
        .await;
    }
    .boxed()
}

fn items<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

fn texts(value: &Value, field: &str) -> Vec<String> {
    items(value, field)
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

/// The resources that a policy names one by one; rules with `*` are about too much to look at.
fn named(spec: &Value) -> Vec<(String, String, String)> {
    let mut named = BTreeSet::new();
    for rule in items(&spec["matchConstraints"], "resourceRules") {
        let (groups, versions) = (texts(rule, "apiGroups"), texts(rule, "apiVersions"));
        let wild = |texts: &[String]| texts.iter().any(|text| text.contains('*'));
        if wild(&groups) || wild(&versions) {
            continue;
        }
        let mut resources = texts(rule, "resources");
        // A subresource has a kind of its own, which is not looked at.
        resources.retain(|resource| !resource.contains(['*', '/']));
        for group in &groups {
            for version in &versions {
                for resource in &resources {
                    named.insert((group.clone(), version.clone(), resource.clone()));
                }
            }
        }
    }
    named.into_iter().collect()
}

/// What is written about a policy.
fn status(policy: &ValidatingAdmissionPolicy, found: Vec<Warning>) -> Value {
    let warnings: Vec<Value> = found
        .into_iter()
        .map(|found| json!({"fieldRef": found.field, "warning": found.warning}))
        .collect();
    let checking = if warnings.is_empty() {
        json!({})
    } else {
        json!({ "expressionWarnings": warnings })
    };
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": policy.name()},
        "status": {"observedGeneration": policy.generation(), "typeChecking": checking},
    })
}

impl Controller {
    async fn reconcile(&self, name: &str) -> Result<Requeue> {
        let Some(policy) = self.policies.get("", name) else {
            return Ok(Requeue::No);
        };
        let observed = policy
            .status
            .as_ref()
            .and_then(|status| status.observed_generation)
            .unwrap_or_default();
        if policy.generation() <= observed {
            return Ok(Requeue::No);
        }
        let value = serde_json::to_value(policy.as_ref())
            .map_err(|error| Error::invalid("ValidatingAdmissionPolicy", name, error))?;
        let definitions = self.definitions(&value["spec"]).await?;
        let written = status(&policy, self.check(&value, &definitions));
        let api: Api<ValidatingAdmissionPolicy> = Api::all(self.client.clone());
        let params = PatchParams::apply(MANAGER).force();
        ignore_not_found(api.patch_status(name, &params, &Patch::Apply(&written)).await)?;
        Ok(Requeue::No)
    }

    /// The definitions of custom resources, if the policy is about something that is not built in.
    async fn definitions(&self, spec: &Value) -> Result<Vec<Value>> {
        let built_in = |group: &str| self.built_in.iter().any(|row| row.gvk.group == group);
        let (params, _) = parameters(spec);
        if named(spec).iter().all(|(group, _, _)| built_in(group)) && built_in(&params.group) {
            return Ok(Vec::new());
        }
        let request = http::Request::get(CustomResourceDefinition::url_path(&(), None))
            .body(Vec::new())
            .map_err(|error| Error::invalid("request", "definitions", error))?;
        let mut list: Value = self.reader.request(request).await?;
        Ok(match list["items"].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        })
    }

    fn check(&self, policy: &Value, definitions: &[Value]) -> Vec<Warning> {
        let spec = &policy["spec"];
        let (version, kind) = parameters(spec);
        let params = if kind.is_empty() {
            None
        } else {
            self.find(definitions, &version, |row| row.gvk.kind == kind)
        };
        let types: Vec<Arc<Resource>> = named(spec)
            .into_iter()
            .filter_map(|(group, version, resource)| {
                self.find(definitions, &GroupVersion::new(&*group, &*version), |row| {
                    row.plural == resource
                })
            })
            .collect();
        warnings(policy, &types, params.as_deref())
    }

    /// A kind of the server itself, or one that a definition makes.
    fn find(
        &self,
        definitions: &[Value],
        version: &GroupVersion,
        wanted: impl Fn(&Resource) -> bool,
    ) -> Option<Arc<Resource>> {
        let built_in = self
            .built_in
            .iter()
            .find(|row| row.gvk.group_version() == *version && wanted(row));
        if let Some(row) = built_in {
            return Some(Arc::clone(row));
        }
        definitions
            .iter()
            .filter(|definition| definition["spec"]["group"] == version.group.as_str())
            .flat_map(|definition| api::custom::rows(definition, &mut || 0))
            .find(|row| row.gvk.group_version() == *version && wanted(row))
            .map(Arc::new)
    }
}

/// The kind of a policy's parameters; empty when it has none.
fn parameters(spec: &Value) -> (GroupVersion, &str) {
    let text = |field: &str| spec["paramKind"][field].as_str().unwrap_or("");
    (
        GroupVersion::parse(text("apiVersion")).unwrap_or_default(),
        text("kind"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition() -> Value {
        json!({
            "metadata": {"name": "widgets.example.com"},
            "spec": {
                "group": "example.com", "scope": "Namespaced",
                "names": {"plural": "widgets", "kind": "Widget"},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                    "type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}
                }}}],
            },
            "status": {"acceptedNames": {"plural": "widgets", "kind": "Widget"}, "conditions": [], "storedVersions": ["v1"]},
        })
    }

    fn controller() -> Controller {
        let config = kube::Config::new("https://127.0.0.1:1".parse().unwrap());
        let client = Client::try_from(config).unwrap();
        Controller {
            policies: Informer::fixed([]),
            client: client.clone(),
            reader: client,
            built_in: LazyLock::new(Registry::built_in),
        }
    }

    #[tokio::test]
    async fn built_in_and_custom_kinds_are_checked_and_wildcards_are_not() {
        let controller = controller();
        for (group, version, resource, expression, count) in [
            ("apps", "v1", "deployments", "object.spec.replicas > 1", 0),
            ("apps", "v1", "deployments", "object.spec.odd > 1", 1),
            ("*", "v1", "deployments", "object.spec.odd > 1", 0),
            ("example.com", "v1", "widgets", "object.spec.size > 1", 0),
            ("example.com", "v1", "widgets", "object.spec.odd > 1", 1),
            ("example.com", "v1", "unknown", "object.spec.odd > 1", 0),
        ] {
            let policy = json!({"spec": {
                "matchConstraints": {"resourceRules": [{"apiGroups": [group], "apiVersions": [version], "resources": [resource]}]},
                "validations": [{"expression": expression}],
            }});
            assert_eq!(
                controller.check(&policy, &[definition()]).len(),
                count,
                "{group} {resource} {expression}"
            );
        }
    }
}
