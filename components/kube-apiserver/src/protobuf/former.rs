//! Messages of older versions that differ from those of now, for reading what was stored in them.
//!
//! Each takes the place of the one of now in a set of schemas that is the built-in one otherwise, so that everything that
//! holds such a message finds it. That works because no group has two older forms of one message.

use super::table::{Entry, Message};
use super::{ProtobufError, decode as decode_in};
use apimachinery::Type;
use apimachinery::schema::{Field, Schema, SchemaId, SchemaSet};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::LazyLock;

/// The type of a field.
enum Is {
    Text,
    Int32,
    Int64,
    IntOrString,
    /// As this field of this schema of now.
    As(&'static str, &'static str),
    /// A message that there is no more.
    Gone(&'static str),
    /// Upstream has dropped it.
    Dropped,
}
use Is::{As, Dropped, Gone, Int32, Int64, IntOrString, Text};

/// A message, by names below `io.k8s.api.`.
struct Older {
    name: &'static str,
    /// The one of now, whose other fields it has.
    now: Option<&'static str>,
    fields: &'static [(u32, &'static str, Is)],
}

const EXACT: &str = "resource.v1.ExactDeviceRequest";
const SUB_REQUEST: &str = "resource.v1.DeviceSubRequest";
const DEVICE: &str = "resource.v1.Device";

const OLDER: &[Older] = &[
    Older {
        name: "apps.v1beta1.DeploymentSpec",
        now: Some("apps.v1.DeploymentSpec"),
        fields: &[(8, "rollbackTo", Gone("apps.v1beta1.RollbackConfig"))],
    },
    Older {
        name: "apps.v1beta1.RollbackConfig",
        now: None,
        fields: &[(1, "revision", Int64)],
    },
    Older {
        name: "extensions.v1beta1.DaemonSetSpec",
        now: Some("apps.v1.DaemonSetSpec"),
        fields: &[(5, "templateGeneration", Int64)],
    },
    Older {
        name: "discovery.v1beta1.Endpoint",
        now: Some("discovery.v1.Endpoint"),
        fields: &[
            (5, "topology", As("discovery.v1.Endpoint", "deprecatedTopology")),
            (7, "hints", As("discovery.v1.Endpoint", "hints")),
        ],
    },
    Older {
        name: "flowcontrol.v1beta2.LimitedPriorityLevelConfiguration",
        now: Some("flowcontrol.v1.LimitedPriorityLevelConfiguration"),
        fields: &[(1, "assuredConcurrencyShares", Int32)],
    },
    Older {
        name: "networking.v1beta1.IngressSpec",
        now: Some("networking.v1.IngressSpec"),
        fields: &[(1, "backend", As("networking.v1.IngressSpec", "defaultBackend"))],
    },
    Older {
        name: "networking.v1beta1.IngressBackend",
        now: Some("networking.v1.IngressBackend"),
        fields: &[(1, "serviceName", Text), (2, "servicePort", IntOrString)],
    },
    Older {
        name: "node.v1alpha1.RuntimeClass",
        now: Some("node.v1.RuntimeClass"),
        fields: &[(2, "spec", Gone("node.v1alpha1.RuntimeClassSpec"))],
    },
    Older {
        name: "node.v1alpha1.RuntimeClassSpec",
        now: None,
        fields: &[
            (1, "runtimeHandler", Text),
            (2, "overhead", As("node.v1.RuntimeClass", "overhead")),
            (3, "scheduling", As("node.v1.RuntimeClass", "scheduling")),
        ],
    },
    Older {
        name: "rbac.v1alpha1.PolicyRule",
        now: Some("rbac.v1.PolicyRule"),
        fields: &[
            (2, "attributeRestrictions", Dropped),
            (3, "apiGroups", As("rbac.v1.PolicyRule", "apiGroups")),
            (4, "resources", As("rbac.v1.PolicyRule", "resources")),
            (5, "resourceNames", As("rbac.v1.PolicyRule", "resourceNames")),
            (6, "nonResourceURLs", As("rbac.v1.PolicyRule", "nonResourceURLs")),
        ],
    },
    Older {
        name: "rbac.v1alpha1.Subject",
        now: Some("rbac.v1.Subject"),
        fields: &[(2, "apiVersion", Text)],
    },
    Older {
        name: "resource.v1beta1.DeviceRequest",
        now: Some("resource.v1.DeviceRequest"),
        fields: &[
            (2, "deviceClassName", Text),
            (3, "selectors", As(EXACT, "selectors")),
            (4, "allocationMode", Text),
            (5, "count", Int64),
            (6, "adminAccess", As(EXACT, "adminAccess")),
            (
                7,
                "firstAvailable",
                As("resource.v1.DeviceRequest", "firstAvailable"),
            ),
            (8, "tolerations", As(EXACT, "tolerations")),
            (9, "capacity", As(EXACT, "capacity")),
        ],
    },
    Older {
        name: "resource.v1beta1.DeviceSubRequest",
        now: Some(SUB_REQUEST),
        fields: &[
            (7, "tolerations", As(SUB_REQUEST, "tolerations")),
            (8, "capacity", As(SUB_REQUEST, "capacity")),
        ],
    },
    Older {
        name: "resource.v1beta1.Device",
        now: Some(DEVICE),
        fields: &[(2, "basic", Gone("resource.v1beta1.BasicDevice"))],
    },
    Older {
        name: "resource.v1beta1.BasicDevice",
        now: None,
        fields: &[
            (1, "attributes", As(DEVICE, "attributes")),
            (2, "capacity", As(DEVICE, "capacity")),
            (3, "consumesCounters", As(DEVICE, "consumesCounters")),
            (4, "nodeName", As(DEVICE, "nodeName")),
            (5, "nodeSelector", As(DEVICE, "nodeSelector")),
            (6, "allNodes", As(DEVICE, "allNodes")),
            (7, "taints", As(DEVICE, "taints")),
            (8, "bindsToNode", As(DEVICE, "bindsToNode")),
            (9, "bindingConditions", As(DEVICE, "bindingConditions")),
            (
                10,
                "bindingFailureConditions",
                As(DEVICE, "bindingFailureConditions"),
            ),
            (
                11,
                "allowMultipleAllocations",
                As(DEVICE, "allowMultipleAllocations"),
            ),
            (
                12,
                "nodeAllocatableResourceMappings",
                As(DEVICE, "nodeAllocatableResourceMappings"),
            ),
        ],
    },
];

fn full(name: &str) -> String {
    format!("io.k8s.api.{name}")
}

/// Adds the messages to those of now, under the names of their own version.
pub(super) fn add(table: &mut HashMap<String, Message>) {
    for older in OLDER {
        let now = older.now.and_then(|now| table.get(&full(now)));
        let mut message = now.cloned().unwrap_or_default();
        for (number, name, _) in older.fields {
            message.insert(*number, Entry::Named((*name).to_owned()));
        }
        table.insert(full(older.name), message);
    }
}

static SCHEMAS: LazyLock<SchemaSet> = LazyLock::new(|| {
    let built_in = api::schema::built_in();
    let mut schemas: Vec<Schema> = built_in.iter().cloned().collect();
    let mut ids: HashMap<&str, SchemaId> = HashMap::new();
    for older in OLDER {
        let id = match older.now {
            Some(now) => built_in.id(&full(now)).expect("a test looks for it"),
            None => {
                schemas.push(Schema::default());
                SchemaId::try_from(schemas.len() - 1).expect("there are few schemas")
            }
        };
        ids.insert(older.name, id);
    }
    for older in OLDER {
        let schema = &mut schemas[ids[older.name] as usize];
        schema.name = full(older.name);
        for (_, name, is) in older.fields {
            let ty = match is {
                Text => Type::String,
                Int32 => Type::Int32,
                Int64 => Type::Int64,
                IntOrString => Type::IntOrString,
                Gone(name) => Type::Struct(ids[name]),
                As(schema, field) => built_in
                    .by_name(&full(schema))
                    .and_then(|schema| schema.field(field))
                    .map(|field| field.ty.clone())
                    .expect("a test looks for it"),
                Dropped => continue,
            };
            schema.fields.retain(|field| field.name != *name);
            schema.fields.push(Field::new(name, ty));
        }
        schema.fields.sort_by(|a, b| a.name.cmp(&b.name));
    }
    SchemaSet::new(schemas)
});

/// Decodes an older message of a kind whose schema of now is `schema`; the JSON has the older version's form.
pub fn decode(schema: SchemaId, raw: &[u8]) -> Result<Value, ProtobufError> {
    decode_in(&SCHEMAS, &SCHEMAS.get(schema).name, raw)
}

#[cfg(test)]
mod tests;
