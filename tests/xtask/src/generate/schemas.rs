//! The schema model from the recorded OpenAPI schemas.
use super::presence::Presence;
use anyhow::{Context, Result};
use apimachinery::schema::{Field, ListKind, PatchRule, Schema, Type, Union};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

const TYPE_NAMES: &str = include_str!("type_names.txt");
const OPTIONALS: &str = include_str!("optionals.txt");
/// Timestamps and amounts that upstream holds by value, and what is optional though its definition doesn't say to leave it out:
/// written as null or zero when unset.
const BY_VALUE: &[&str] = &[
    "core.v1.Event.eventTime",
    "core.v1.Event.firstTimestamp",
    "core.v1.Event.lastTimestamp",
    "events.v1.Event.eventTime",
    "events.v1.Event.deprecatedFirstTimestamp",
    "events.v1.Event.deprecatedLastTimestamp",
    "EventSeries.lastObservedTime",
    "PodCondition.lastProbeTime",
    "PodCondition.lastTransitionTime",
    "NodeCondition.lastHeartbeatTime",
    "NodeCondition.lastTransitionTime",
    "DeploymentCondition.lastUpdateTime",
    "DeploymentCondition.lastTransitionTime",
    "ReplicaSetCondition.lastTransitionTime",
    "StatefulSetCondition.lastTransitionTime",
    "DaemonSetCondition.lastTransitionTime",
    "ReplicationControllerCondition.lastTransitionTime",
    "JobCondition.lastProbeTime",
    "JobCondition.lastTransitionTime",
    "PersistentVolumeClaimCondition.lastProbeTime",
    "PersistentVolumeClaimCondition.lastTransitionTime",
    "NamespaceCondition.lastTransitionTime",
    "ContainerStateRunning.startedAt",
    "ContainerStateTerminated.startedAt",
    "ContainerStateTerminated.finishedAt",
    "CertificateSigningRequestCondition.lastUpdateTime",
    "CertificateSigningRequestCondition.lastTransitionTime",
    "HorizontalPodAutoscalerCondition.lastTransitionTime",
    "APIServiceCondition.lastTransitionTime",
    "CustomResourceDefinitionCondition.lastTransitionTime",
    "FlowSchemaCondition.lastTransitionTime",
    "PriorityLevelConfigurationCondition.lastTransitionTime",
    "VolumeError.time",
    "ResourceFieldSelector.divisor",
    "v2.HorizontalPodAutoscalerStatus.currentMetrics",
    "CustomResourceDefinitionStatus.conditions",
    "TypedLocalObjectReference.apiGroup",
    "core.v1.TypedObjectReference.apiGroup",
    "rbac.v1.ClusterRole.rules",
    "rbac.v1.Role.rules",
    "EndpointSlice.endpoints",
    "EndpointSlice.ports",
    "DeviceClaim.requests",
    "CSINodeDriver.topologyKeys",
    "TokenRequestSpec.audiences",
    "TokenRequestSpec.boundObjectRef",
    "TokenRequestSpec.expirationSeconds",
    "TokenRequestStatus.expirationTimestamp",
    "AzureFilePersistentVolumeSource.secretNamespace",
    "ContainerImage.names",
    "ProjectedVolumeSource.sources",
    "flowcontrol.v1.LimitedPriorityLevelConfiguration.nominalConcurrencyShares",
    "flowcontrol.v1.ResourcePolicyRule.namespaces",
    "IngressClassParametersReference.scope",
    "AllocatedDeviceStatus.conditions",
];
/// Structs that upstream embeds in others, and the fields that are the outer struct's own.
const EMBEDDED: &[(&str, &str, &[&str])] = &[
    ("Volume", "VolumeSource", &["name"]),
    (
        "PersistentVolumeSpec",
        "PersistentVolumeSource",
        &[
            "accessModes",
            "capacity",
            "claimRef",
            "mountOptions",
            "nodeAffinity",
            "persistentVolumeReclaimPolicy",
            "storageClassName",
            "volumeAttributesClassName",
            "volumeMode",
        ],
    ),
    (
        "EphemeralContainer",
        "EphemeralContainerCommon",
        &["targetContainerName"],
    ),
    (
        "Probe",
        "ProbeHandler",
        &[
            "failureThreshold",
            "initialDelaySeconds",
            "periodSeconds",
            "successThreshold",
            "terminationGracePeriodSeconds",
            "timeoutSeconds",
        ],
    ),
    ("IngressRule", "IngressRuleValue", &["host"]),
    ("RuleWithOperations", "Rule", &["operations"]),
    ("SecretKeySelector", "LocalObjectReference", &["key", "optional"]),
    (
        "ConfigMapKeySelector",
        "LocalObjectReference",
        &["key", "optional"],
    ),
    ("SecretEnvSource", "LocalObjectReference", &["optional"]),
    ("ConfigMapEnvSource", "LocalObjectReference", &["optional"]),
    ("SecretProjection", "LocalObjectReference", &["items", "optional"]),
    (
        "ConfigMapProjection",
        "LocalObjectReference",
        &["items", "optional"],
    ),
    (
        "ConfigMapVolumeSource",
        "LocalObjectReference",
        &["defaultMode", "items", "optional"],
    ),
];

/// The embedded struct that a field belongs to.
fn embedded(short: &str, name: &str) -> Option<String> {
    if short == "NamedRuleWithOperations" {
        return match name {
            "resourceNames" => None,
            "operations" => Some("RuleWithOperations".into()),
            _ => Some("RuleWithOperations.Rule".into()),
        };
    }
    EMBEDDED
        .iter()
        .find(|(outer, _, own)| *outer == short && !own.contains(&name))
        .map(|(_, inner, _)| (*inner).to_owned())
}

/// Fields that are required or whose zero default is declared, although upstream leaves the zero out.
const LEFT_OUT: &[&str] = &[
    "ReplicationControllerSpec.minReadySeconds",
    "networking.v1.IPAddressSpec.parentRef",
    "admissionregistration.v1.ValidatingAdmissionPolicyBindingSpec.validationActions",
    "core.v1.LocalObjectReference.name",
];

/// Fields that have no named type, although one of the same name elsewhere has.
const PLAIN_TEXTS: &[&str] = &["rbac.v1.Subject.kind"];

/// All schemas; structs refer to each other by position.
pub fn model(raw: &Value, presence: &Presence) -> Result<Vec<Schema>> {
    let all = raw.as_object().context("schemas are no object")?;
    let ids: HashMap<&str, u32> = all.keys().map(String::as_str).zip(0..).collect();
    let types: BTreeMap<&str, &str> = TYPE_NAMES
        .lines()
        .filter_map(|line| line.split_once(' '))
        .collect();
    let optionals: Vec<&str> = OPTIONALS.lines().collect();
    let builder = Builder {
        all,
        ids,
        types,
        optionals,
        presence,
    };
    all.iter()
        .map(|(name, definition)| builder.schema(name, definition))
        .collect()
}

struct Builder<'a> {
    all: &'a serde_json::Map<String, Value>,
    ids: HashMap<&'a str, u32>,
    types: BTreeMap<&'a str, &'a str>,
    optionals: Vec<&'a str>,
    presence: &'a Presence,
}

impl Builder<'_> {
    fn schema(&self, name: &str, definition: &Value) -> Result<Schema> {
        let parts: Vec<_> = name.rsplit('.').collect();
        let required: Vec<&str> = definition["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let mut fields = Vec::new();
        for (field, property) in definition["properties"].as_object().into_iter().flatten() {
            fields.push(
                self.field(
                    name,
                    parts[0],
                    field,
                    property,
                    required.contains(&field.as_str()),
                )
                .with_context(|| format!("{name}.{field}"))?,
            );
        }
        let unions = definition["x-kubernetes-unions"]
            .as_array()
            .into_iter()
            .flatten()
            .map(union)
            .collect();
        Ok(Schema {
            name: name.to_owned(),
            short: parts[0].to_owned(),
            package: parts.get(1).copied().unwrap_or("").to_owned(),
            fields,
            atomic: definition["x-kubernetes-map-type"] == "atomic",
            preserve_unknown: false,
            unions,
            ..Schema::default()
        })
    }

    fn field(
        &self,
        schema: &str,
        short: &str,
        name: &str,
        property: &Value,
        required: bool,
    ) -> Result<Field> {
        let ty = self.ty(property)?;
        let default = property.get("default").cloned();
        let by_value_listed = listed(BY_VALUE, schema, name);
        let zero = default.as_ref().is_some_and(|value| {
            matches!(value, Value::Bool(false))
                || value == ""
                || value == 0
                || value.as_object().is_some_and(serde_json::Map::is_empty)
        });
        let key = format!("{short}.{name}");
        let scalar = matches!(
            ty,
            Type::String | Type::Bool | Type::Int32 | Type::Int64 | Type::Double
        );
        let by_value = zero && !matches!(ty, Type::List(..) | Type::Map(..));
        let pointer = match &ty {
            Type::Struct(_) => !zero,
            _ if scalar && zero => false,
            _ if scalar && matches!(name, "apiVersion" | "kind") => false,
            _ if scalar && self.listed_optional(schema, name) => true,
            // A field that was missing in some recorded protobuf is optional there.
            _ if scalar => match self.presence.get(schema) {
                Some(seen) => seen.fields.get(name).copied().unwrap_or(0) < seen.instances,
                None => false,
            },
            Type::List(..) | Type::Map(..) | Type::Bytes => false,
            _ => !zero,
        };
        let patch = property
            .get("x-kubernetes-patch-strategy")
            .and_then(Value::as_str)
            .map(|strategy| PatchRule {
                merge: strategy.split(',').any(|part| part == "merge"),
                replace: strategy.split(',').any(|part| part == "replace"),
                retain_keys: strategy.split(',').any(|part| part == "retainKeys"),
                merge_key: property
                    .get("x-kubernetes-patch-merge-key")
                    .and_then(Value::as_str)
                    .map(str::to_owned),
            });
        let always = ((by_value || required) && !listed(LEFT_OUT, schema, name)) || by_value_listed;
        Ok(Field {
            name: name.to_owned(),
            always,
            pointer: pointer && !(by_value_listed && ty == Type::Quantity),
            required,
            default: default.filter(|_| !zero),
            zero_default: zero && scalar && !always,
            atomic: match property.get("x-kubernetes-map-type").and_then(Value::as_str) {
                Some(kind) if !matches!(ty, Type::Map(..)) => Some(kind == "atomic"),
                _ => None,
            },
            type_name: self
                .types
                .get(key.as_str())
                .filter(|_| !listed(PLAIN_TEXTS, schema, name))
                .map(|name| (*name).to_owned()),
            patch,
            embedded: embedded(short, name),
            ty,
        })
    }

    /// Known optional fields that the recordings can't tell, as `Pod.spec` or `core.v1.Pod.spec`.
    fn listed_optional(&self, schema: &str, name: &str) -> bool {
        let full = format!("{schema}.{name}");
        self.optionals
            .iter()
            .any(|line| full.strip_suffix(line).is_some_and(|rest| rest.ends_with('.')))
    }

    fn ty(&self, property: &Value) -> Result<Type> {
        if let Some(target) = property["$ref"]
            .as_str()
            .or_else(|| property["allOf"].get(0).and_then(|first| first["$ref"].as_str()))
        {
            return self.reference(target.trim_start_matches("#/components/schemas/"));
        }
        Ok(
            match (
                property["type"].as_str().unwrap_or(""),
                property["format"].as_str().unwrap_or(""),
            ) {
                ("string", "byte") => Type::Bytes,
                ("string", "date-time") => Type::Time,
                ("string", _) => Type::String,
                ("boolean", _) => Type::Bool,
                ("integer", "int64") => Type::Int64,
                ("integer", _) => Type::Int32,
                ("number", _) => Type::Double,
                ("array", _) => Type::List(Box::new(self.ty(&property["items"])?), list_kind(property)),
                ("object", _) if property.get("additionalProperties").is_some() => Type::Map(
                    Box::new(self.ty(&property["additionalProperties"])?),
                    property["x-kubernetes-map-type"] == "atomic",
                ),
                _ => Type::Any,
            },
        )
    }

    fn reference(&self, name: &str) -> Result<Type> {
        Ok(match name.rsplit('.').next().unwrap_or("") {
            "Quantity" => Type::Quantity,
            "IntOrString" => Type::IntOrString,
            "MicroTime" => Type::MicroTime,
            "Time" if name.contains("meta.v1") => Type::Time,
            "Duration" if name.contains("meta.v1") => Type::Duration,
            _ => {
                let definition = self.all.get(name).with_context(|| format!("no schema {name}"))?;
                let structure = definition.get("properties").is_some()
                    || name.ends_with("CustomResourceSubresourceStatus");
                if structure {
                    Type::Struct(*self.ids.get(name).context("no number")?)
                } else {
                    Type::Any
                }
            }
        })
    }
}

/// Whether the field is listed by the end of its full name.
fn listed(lines: &[&str], schema: &str, name: &str) -> bool {
    let full = format!("{schema}.{name}");
    lines
        .iter()
        .any(|line| full.strip_suffix(line).is_some_and(|rest| rest.ends_with('.')))
}

fn list_kind(property: &Value) -> ListKind {
    let keys = || {
        property["x-kubernetes-list-map-keys"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    };
    match property["x-kubernetes-list-type"].as_str() {
        Some("map") => ListKind::Map(keys()),
        Some("set") => ListKind::Set,
        Some(_) => ListKind::Atomic,
        None if property["x-kubernetes-patch-strategy"]
            .as_str()
            .is_some_and(|strategy| strategy.contains("merge")) =>
        {
            match property["x-kubernetes-patch-merge-key"].as_str() {
                Some(key) => ListKind::Map(vec![key.to_owned()]),
                None => ListKind::Set,
            }
        }
        None => ListKind::Atomic,
    }
}

fn union(raw: &Value) -> Union {
    Union {
        discriminator: raw["discriminator"].as_str().map(str::to_owned),
        members: raw["fields-to-discriminateBy"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(field, value)| (field.clone(), value.as_str().unwrap_or("").to_owned()))
            .collect(),
    }
}
