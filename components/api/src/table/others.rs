use super::words::{age, name};
use crate::value::{at, flag, int, list, object, text};
use apimachinery::{meta, time};
use jiff::Timestamp;
use serde_json::{Value, json};

/// The name of a class, which may be the one that is taken when none is named.
fn maybe_default(class: &Value) -> Value {
    let says = |key: &str| meta::annotation(class, key) == Some("true");
    let default = [
        "storageclass.kubernetes.io/is-default-class",
        "storageclass.beta.kubernetes.io/is-default-class",
    ];
    match default.into_iter().any(says) {
        true => json!(format!("{} (default)", meta::name(class))),
        false => name(class),
    }
}

/// Cells of kinds of the smaller groups.
pub(super) fn cells(kind: (&str, &str), value: &Value, now: Timestamp) -> Option<Vec<Value>> {
    let count = |path: &[&str]| json!(list(value, path).len());
    let shown = |path: &[&str]| json!(text(value, path));
    let some_flag = |path: &[&str]| json!(flag(value, path));
    let mut cells = vec![name(value)];
    cells.extend(match kind.1 {
        "Lease" => vec![shown(&["spec", "holderIdentity"])],
        "RoleBinding" | "ClusterRoleBinding" => return Some(binding(value, now)),
        "CertificateSigningRequest" => return Some(signing_request(value, now)),
        "PriorityClass" => {
            return Some(vec![
                name(value),
                json!(int(value, &["value"]).unwrap_or(0)),
                some_flag(&["globalDefault"]),
                age(value, now),
                shown(&["preemptionPolicy"]),
            ]);
        }
        "PodDisruptionBudget" => {
            let limit = |field: &str| match at(value, &["spec", field]) {
                Value::String(text) => json!(text),
                Value::Number(number) => json!(number.to_string()),
                _ => json!("N/A"),
            };
            vec![
                limit("minAvailable"),
                limit("maxUnavailable"),
                json!(int(value, &["status", "disruptionsAllowed"]).unwrap_or(0)),
            ]
        }
        "RuntimeClass" => vec![shown(&["handler"])],
        "StorageClass" => {
            return Some(vec![
                maybe_default(value),
                shown(&["provisioner"]),
                shown(&["reclaimPolicy"]),
                shown(&["volumeBindingMode"]),
                some_flag(&["allowVolumeExpansion"]),
                age(value, now),
            ]);
        }
        "CSIDriver" => {
            let tokens: Vec<&str> = list(value, &["spec", "tokenRequests"])
                .iter()
                .map(|token| text(token, &["audience"]))
                .collect();
            let modes: Vec<&str> = list(value, &["spec", "volumeLifecycleModes"])
                .iter()
                .filter_map(Value::as_str)
                .collect();
            let unset = |list: Vec<&str>| {
                if list.is_empty() {
                    "<unset>".to_owned()
                } else {
                    list.join(",")
                }
            };
            vec![
                some_flag(&["spec", "attachRequired"]),
                some_flag(&["spec", "podInfoOnMount"]),
                some_flag(&["spec", "storageCapacity"]),
                json!(unset(tokens)),
                some_flag(&["spec", "requiresRepublish"]),
                json!(if modes.is_empty() {
                    "<none>".to_owned()
                } else {
                    modes.join(",")
                }),
            ]
        }
        "CSINode" => vec![count(&["spec", "drivers"])],
        "VolumeAttachment" => vec![
            shown(&["spec", "attacher"]),
            shown(&["spec", "source", "persistentVolumeName"]),
            shown(&["spec", "nodeName"]),
            some_flag(&["status", "attached"]),
        ],
        "VolumeAttributesClass" => vec![shown(&["driverName"])],
        "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration" => vec![count(&["webhooks"])],
        "ValidatingAdmissionPolicy" => vec![count(&["spec", "validations"]), param_kind(value)],
        "MutatingAdmissionPolicy" => vec![count(&["spec", "mutations"]), param_kind(value)],
        "ValidatingAdmissionPolicyBinding" | "MutatingAdmissionPolicyBinding" => {
            let reference = at(value, &["spec", "paramRef"]);
            let parameter = match (text(reference, &["namespace"]), text(reference, &["name"])) {
                _ if !reference.is_object() => "<unset>".to_owned(),
                (_, "") => go_selector(at(reference, &["selector"])),
                ("", name) => format!("*/{name}"),
                (namespace, name) => format!("{namespace}/{name}"),
            };
            vec![shown(&["spec", "policyName"]), json!(parameter)]
        }
        "APIService" => {
            let service = at(value, &["spec", "service"]);
            let backend = if service.is_object() {
                format!("{}/{}", text(service, &["namespace"]), text(service, &["name"]))
            } else {
                "Local".into()
            };
            let available = match list(value, &["status", "conditions"])
                .iter()
                .find(|condition| text(condition, &["type"]) == "Available")
            {
                Some(condition) if text(condition, &["status"]) == "True" => "True".to_owned(),
                Some(condition) => format!(
                    "{} ({})",
                    text(condition, &["status"]),
                    text(condition, &["reason"])
                ),
                None => "Unknown".to_owned(),
            };
            vec![json!(backend), json!(available)]
        }
        "FlowSchema" => return Some(flow_schema(value, now)),
        "PriorityLevelConfiguration" => priority_level(value),
        "DeviceClass" | "ResourceClaimTemplate" => Vec::new(),
        "ResourceClaim" => vec![json!(claim_state(value))],
        "ResourceSlice" => vec![
            shown(&["spec", "nodeName"]),
            shown(&["spec", "driver"]),
            shown(&["spec", "pool", "name"]),
        ],
        _ => return None,
    });
    cells.push(age(value, now));
    Some(cells)
}

fn param_kind(policy: &Value) -> Value {
    let kind = at(policy, &["spec", "paramKind"]);
    if !kind.is_object() {
        return json!("<unset>");
    }
    json!(format!(
        "{}/{}",
        text(kind, &["apiVersion"]),
        text(kind, &["kind"])
    ))
}

fn binding(binding: &Value, now: Timestamp) -> Vec<Value> {
    let subjects = |kind: &str| {
        let subjects = list(binding, &["subjects"])
            .iter()
            .filter(|subject| text(subject, &["kind"]) == kind);
        let shown = |subject: &Value| {
            if kind == "ServiceAccount" {
                format!("{}/{}", text(subject, &["namespace"]), text(subject, &["name"]))
            } else {
                text(subject, &["name"]).to_owned()
            }
        };
        json!(subjects.map(shown).collect::<Vec<_>>().join(", "))
    };
    let role = format!(
        "{}/{}",
        text(binding, &["roleRef", "kind"]),
        text(binding, &["roleRef", "name"])
    );
    vec![
        name(binding),
        json!(role),
        age(binding, now),
        subjects("User"),
        subjects("Group"),
        subjects("ServiceAccount"),
    ]
}

fn signing_request(request: &Value, now: Timestamp) -> Vec<Value> {
    let is = |kind: &str| {
        list(request, &["status", "conditions"])
            .iter()
            .any(|condition| text(condition, &["type"]) == kind)
    };
    let mut state = match () {
        () if is("Denied") => "Denied",
        () if is("Approved") => "Approved",
        () => "Pending",
    }
    .to_owned();
    if is("Failed") {
        state.push_str(",Failed");
    }
    if !text(request, &["status", "certificate"]).is_empty() {
        state.push_str(",Issued");
    }
    let duration = int(request, &["spec", "expirationSeconds"])
        .map_or_else(|| "<none>".to_owned(), time::human_duration);
    vec![
        name(request),
        age(request, now),
        json!(text(request, &["spec", "signerName"])),
        json!(text(request, &["spec", "username"])),
        json!(duration),
        json!(state),
    ]
}

fn flow_schema(schema: &Value, now: Timestamp) -> Vec<Value> {
    let dangling = list(schema, &["status", "conditions"])
        .iter()
        .find(|condition| text(condition, &["type"]) == "Dangling");
    let method = Some(text(schema, &["spec", "distinguisherMethod", "type"]))
        .filter(|method| !method.is_empty())
        .unwrap_or("<none>");
    vec![
        name(schema),
        json!(text(schema, &["spec", "priorityLevelConfiguration", "name"])),
        json!(int(schema, &["spec", "matchingPrecedence"]).unwrap_or(0)),
        json!(method),
        age(schema, now),
        json!(dangling.map_or("?", |condition| text(condition, &["status"]))),
    ]
}

/// A LabelSelector as Go's own text of the type.
fn go_selector(selector: &Value) -> String {
    let labels: String = object(selector, &["matchLabels"])
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}: {},", value.as_str().unwrap_or_default()))
        .collect();
    let expressions: String = list(selector, &["matchExpressions"])
        .iter()
        .map(|expression| {
            let values: Vec<&str> = list(expression, &["values"])
                .iter()
                .filter_map(Value::as_str)
                .collect();
            format!(
                "LabelSelectorRequirement{{Key:{},Operator:{},Values:[{}],}},",
                text(expression, &["key"]),
                text(expression, &["operator"]),
                values.join(" ")
            )
        })
        .collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
}

fn priority_level(level: &Value) -> Vec<Value> {
    let shares = int(level, &["spec", "limited", "nominalConcurrencyShares"]);
    let queuing = |field: &str| match int(level, &["spec", "limited", "limitResponse", "queuing", field]) {
        Some(number) => json!(number),
        None => json!("<none>"),
    };
    vec![
        json!(text(level, &["spec", "type"])),
        shares.map_or_else(|| json!("<none>"), |shares| json!(shares)),
        queuing("queues"),
        queuing("handSize"),
        queuing("queueLengthLimit"),
    ]
}

fn claim_state(claim: &Value) -> String {
    let mut states = Vec::new();
    if meta::deletion_timestamp(claim).is_some() {
        states.push("deleted");
    }
    if at(claim, &["status", "allocation"]).is_object() {
        states.push("allocated");
    } else if meta::deletion_timestamp(claim).is_none() {
        states.push("pending");
    }
    if !list(claim, &["status", "reservedFor"]).is_empty() {
        states.push("reserved");
    }
    states.join(",")
}
