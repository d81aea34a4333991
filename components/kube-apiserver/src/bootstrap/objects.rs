//! The objects of every cluster: embedded, created when missing, completed when somebody took something away.

use crate::aggregator::keeper;
use crate::server::Server;
use crate::stores;
use api::Resource;
use apimachinery::managed_fields::Writer;
use apimachinery::{GroupVersion, meta, time};
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use std::io::Read;
use std::sync::OnceLock;
use storage::{Change, ObjectRef, Preconditions, StorageError, Updated};

/// Recorded from a new cluster of the reference; `xtask` of this file: see gen/README.md.
const EMBEDDED: &[u8] = include_bytes!("../gen/bootstrap-objects.json.gz");
const FLOW_CONTROL: [&str; 2] = ["FlowSchema", "PriorityLevelConfiguration"];
/// `true` lets the server keep the spec of a suggested flow-control object.
const KEEP_SPEC: &str = "apf.kubernetes.io/autoupdate-spec";
const AUTO_UPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// All embedded objects, in the order in which they are made.
pub fn embedded() -> std::io::Result<Vec<Value>> {
    let mut text = String::new();
    GzDecoder::new(EMBEDDED).read_to_string(&mut text)?;
    serde_json::from_str(&text).map_err(std::io::Error::other)
}

/// The rules of the role `system:node`, which the Node authorizer grants to every node.
pub fn node_rules() -> std::io::Result<Vec<crate::authorization::rbac::rules::PolicyRule>> {
    let role = embedded()?
        .into_iter()
        .find(|object| object["kind"] == "ClusterRole" && object["metadata"]["name"] == "system:node");
    let rules = role.map(|role| role["rules"].clone()).unwrap_or_default();
    serde_json::from_value(rules).map_err(std::io::Error::other)
}

/// Makes what is missing and completes what is there; the first failure ends the round, but for objects that can't be
/// read: nothing would change that, and a server that waits for it can't be used to delete them.
pub async fn reconcile(server: &Server) -> anyhow::Result<()> {
    let mut objects = embedded()?;
    objects.push(service_cidr(server));
    let registry = server.registry.load_full();
    objects.retain(|object| meta::kind(object) != "APIService" || keeper::is_served(&registry, object));
    for object in objects {
        let (kind, name) = (meta::kind(&object).to_owned(), meta::name(&object).to_owned());
        match reconcile_one(server, object).await {
            Err(error @ StorageError::Corrupt { .. }) => {
                tracing::error!(kind, name, %error, "a built-in object is left as it is");
            }
            done => done?,
        }
    }
    keeper::remove_unserved(server).await?;
    Ok(())
}

/// Keeps the flow-control objects of a new cluster: missing ones are made again, and specs put right.
pub async fn keep_flow_control(server: &Server) -> anyhow::Result<()> {
    for object in embedded()? {
        if FLOW_CONTROL.contains(&meta::kind(&object)) {
            reconcile_one(server, object).await?;
        }
    }
    Ok(())
}

/// Makes namespaces of the system and the default range of service addresses again when somebody has deleted them.
pub async fn keep_present(server: &Server) -> anyhow::Result<()> {
    let is_missing =
        |group: &str, plural: &str, name: &str| server.stores.cached(group, plural, "", name).is_none();
    // Unpacked only when one is missing, not each time one looks.
    if namespaces()?
        .iter()
        .any(|name| is_missing("", "namespaces", name))
    {
        for object in embedded()? {
            if meta::kind(&object) == "Namespace" && is_missing("", "namespaces", meta::name(&object)) {
                reconcile_one(server, object).await?;
            }
        }
    }
    if is_missing("networking.k8s.io", "servicecidrs", "kubernetes") {
        reconcile_one(server, service_cidr(server)).await?;
    }
    Ok(())
}

/// Names of the namespaces that every cluster has.
fn namespaces() -> std::io::Result<&'static [String]> {
    static NAMES: OnceLock<Vec<String>> = OnceLock::new();
    if let Some(names) = NAMES.get() {
        return Ok(names);
    }
    let all = embedded()?;
    let namespaces = all.iter().filter(|object| meta::kind(object) == "Namespace");
    let names = namespaces.map(|object| meta::name(object).to_owned()).collect();
    Ok(NAMES.get_or_init(|| names))
}

/// Makes a namespace like those that every cluster has, if it isn't there.
pub async fn make_namespace(server: &Server, name: &str) -> anyhow::Result<()> {
    let wanted = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": { "name": name, "labels": { "kubernetes.io/metadata.name": name } },
        "spec": { "finalizers": ["kubernetes"] },
        "status": { "phase": "Active" },
    });
    Ok(reconcile_one(server, wanted).await?)
}

fn service_cidr(server: &Server) -> Value {
    let cidrs: Vec<String> = server
        .flags
        .service_cluster_ip_range
        .iter()
        .map(|range| range.trunc().to_string())
        .collect();
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": { "name": "kubernetes", "finalizers": ["networking.k8s.io/service-cidr-finalizer"] },
        "spec": { "cidrs": cidrs },
        "status": { "conditions": [{
            "type": "Ready", "status": "True", "reason": "", "message": "Kubernetes Service CIDR is ready",
        }]},
    })
}

async fn reconcile_one(server: &Server, wanted: Value) -> Result<(), StorageError> {
    while let Updated::Deleted(_) = reconcile_once(server, &wanted).await? {}
    Ok(())
}

/// A binding to another role, which can't be changed, is deleted, to be made anew.
async fn reconcile_once(server: &Server, wanted: &Value) -> Result<Updated, StorageError> {
    let version = GroupVersion::parse(meta::api_version(wanted)).unwrap_or_default();
    let registry = server.registry.load_full();
    let kind = version.kind(meta::kind(wanted));
    let Some(row) = registry.kind(&kind) else {
        return Ok(Updated::Unchanged(None));
    };
    let store = server.stores.of(row);
    let (namespace, name) = (meta::namespace(wanted), meta::name(wanted));
    let row_ref = &**row;
    let decide = |current: Option<ObjectRef>| async move {
        let merged = match current {
            None => Some(fresh(row_ref, wanted)),
            Some(current) => {
                let existing = stores::parse(&current)?;
                if binds_another_role(&existing, wanted) {
                    return Ok::<Change, StorageError>(Change::Delete);
                }
                completed(&existing, wanted)
            }
        };
        match merged {
            None => Ok(Change::Nothing),
            Some(mut object) => {
                meta::remove(&mut object, "resourceVersion");
                Ok(Change::Write {
                    json: object.to_string().into_bytes().into(),
                    ttl: None,
                })
            }
        }
    };
    store
        .update::<_, _, StorageError>(namespace, name, &Preconditions::default(), decide)
        .await
}

fn is_kept_up_to_date(existing: &Value) -> bool {
    meta::annotation(existing, AUTO_UPDATE) != Some("false")
}

fn binds_another_role(existing: &Value, wanted: &Value) -> bool {
    wanted.get("roleRef").is_some()
        && existing.get("roleRef") != wanted.get("roleRef")
        && is_kept_up_to_date(existing)
}

fn fresh(row: &Resource, wanted: &Value) -> Value {
    let mut object = wanted.clone();
    if row.gvk.kind == "FlowSchema" {
        // Its condition is flow control's to write.
        object["status"] = json!({});
    }
    let now = time::format_time(jiff::Timestamp::now());
    meta::set(&mut object, "uid", crate::metadata::new_uid());
    meta::set(&mut object, "creationTimestamp", now.as_str());
    let manager = if row.gvk.group == "flowcontrol.apiserver.k8s.io" {
        "api-priority-and-fairness-config-producer-v1"
    } else {
        "kube-apiserver"
    };
    // A namespace's finalizer is set by the server and nobody's field.
    let finalizers = (row.gvk.kind == "Namespace").then(|| std::mem::replace(&mut object["spec"], json!({})));
    api::managed::track_whole(
        row,
        None,
        &mut object,
        Writer {
            manager,
            subresource: "",
            now: &now,
        },
    );
    if let Some(spec) = finalizers {
        object["spec"] = spec;
    }
    if let Some(conditions) = object
        .get_mut("status")
        .and_then(|status| status.get_mut("conditions"))
        .and_then(Value::as_array_mut)
    {
        conditions
            .iter_mut()
            .for_each(|condition| condition["lastTransitionTime"] = json!(now));
    }
    object
}

/// The existing object with rules, subjects and labels that it lacks; `None` if it lacks nothing.
fn completed(existing: &Value, wanted: &Value) -> Option<Value> {
    let list = match meta::kind(wanted) {
        "ClusterRole" | "Role" => "rules",
        "ClusterRoleBinding" | "RoleBinding" => "subjects",
        "ServiceCIDR" => return widened(existing, wanted),
        kind if FLOW_CONTROL.contains(&kind) => return kept_spec(existing, wanted),
        _ => return None,
    };
    if !is_kept_up_to_date(existing) {
        return None;
    }
    let mut object = existing.clone();
    if let Some(missing) = wanted[list].as_array() {
        let mut items = existing[list].as_array().cloned().unwrap_or_default();
        let absent: Vec<Value> = missing
            .iter()
            .filter(|item| !items.contains(item))
            .cloned()
            .collect();
        // A role that is aggregated gets its rules from elsewhere.
        if !absent.is_empty() && existing.get("aggregationRule").is_none() {
            items.extend(absent);
            object[list] = Value::Array(items);
        }
    }
    if let Some(missing) = wanted["aggregationRule"]["clusterRoleSelectors"].as_array() {
        let selectors = &existing["aggregationRule"]["clusterRoleSelectors"];
        let mut selectors = selectors.as_array().cloned().unwrap_or_default();
        let before = selectors.len();
        for selector in missing {
            if !selectors.contains(selector) {
                selectors.push(selector.clone());
            }
        }
        if selectors.len() > before {
            object["aggregationRule"]["clusterRoleSelectors"] = Value::Array(selectors);
        }
    }
    for (key, value) in meta::labels(wanted).into_iter().flatten() {
        if let Some(value) = value
            .as_str()
            .filter(|value| meta::label(existing, key) != Some(*value))
        {
            meta::set_label(&mut object, key, value);
        }
    }
    for (key, value) in meta::annotations(wanted).into_iter().flatten() {
        if let Some(value) = value
            .as_str()
            .filter(|_| meta::annotation(existing, key).is_none())
        {
            meta::set_annotation(&mut object, key, value);
        }
    }
    (object != *existing).then_some(object)
}

/// The default range of one family gets the second one when the flag has got it. Another difference is the operator's to
/// settle, as it is with upstream: addresses may have been given from either.
fn widened(existing: &Value, wanted: &Value) -> Option<Value> {
    let ranges = |object: &Value| object["spec"]["cidrs"].as_array().cloned().unwrap_or_default();
    let (before, after) = (ranges(existing), ranges(wanted));
    if before == after || meta::deletion_timestamp(existing).is_some() {
        return None;
    }
    if !(before.len() == 1 && after.len() == 2 && before[0] == after[0]) {
        tracing::warn!(
            "ServiceCIDR {} has {before:?} and --service-cluster-ip-range {after:?}: set the flag to the same, or delete the \
             object so that it is made again",
            meta::name(existing)
        );
        return None;
    }
    let mut object = existing.clone();
    object["spec"]["cidrs"] = Value::from(after);
    Some(object)
}

/// The existing flow-control object with the spec it must have; `None` if it may stay as it is.
fn kept_spec(existing: &Value, wanted: &Value) -> Option<Value> {
    let mandatory = crate::flow_control::configuration::MANDATORY.contains(&meta::name(wanted));
    let keep = match meta::annotation(existing, KEEP_SPEC) {
        _ if mandatory => true,
        Some(text) => text == "true",
        // Nobody has said anything, and nobody has changed anything.
        None => meta::generation(existing) == 1,
    };
    let mut spec = wanted["spec"].clone();
    if spec["type"] == "Exempt" && !existing["spec"]["exempt"].is_null() {
        // The exempt level's shares are the administrator's.
        spec["exempt"] = existing["spec"]["exempt"].clone();
    }
    let marked = meta::annotation(existing, KEEP_SPEC).is_some();
    if !keep || (existing["spec"] == spec && (marked || !mandatory)) {
        return None;
    }
    let mut object = existing.clone();
    if object["spec"] != spec {
        object["spec"] = spec;
        crate::metadata::bump_generation(&mut object);
    }
    if mandatory {
        meta::set_annotation(&mut object, KEEP_SPEC, "true");
    }
    Some(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_objects_are_readable_and_named() {
        let objects = embedded().unwrap();
        assert!(objects.len() > 150);
        assert!(
            objects
                .iter()
                .all(|object| !meta::name(object).is_empty() && !meta::kind(object).is_empty())
        );
        assert!(node_rules().unwrap().len() > 10);
    }

    #[test]
    fn what_was_taken_away_comes_back_unless_told_not_to() {
        let wanted = json!({"kind": "ClusterRole", "metadata": {"name": "r", "labels": {"a": "b"}}, "rules": [{"verbs": ["get"]}, {"verbs": ["list"]}]});
        let mut existing = json!({"kind": "ClusterRole", "metadata": {"name": "r"}, "rules": [{"verbs": ["get"]}, {"verbs": ["own"]}]});
        let completed_role = completed(&existing, &wanted).unwrap();
        assert_eq!(completed_role["rules"].as_array().unwrap().len(), 3);
        assert_eq!(completed(&completed_role, &wanted), None);
        meta::set_annotation(&mut existing, AUTO_UPDATE, "false");
        assert_eq!(completed(&existing, &wanted), None);
    }

    #[test]
    fn flow_control_specs_are_kept_where_they_may_be() {
        let object = |name: &str, annotation: &str, precedence: i32, generation: i64| {
            let mut object = json!({"kind": "FlowSchema", "metadata": {"name": name, "generation": generation}, "spec": {"matchingPrecedence": precedence}});
            if !annotation.is_empty() {
                meta::set_annotation(&mut object, KEEP_SPEC, annotation);
            }
            object
        };
        for (name, annotation, precedence, generation, changes) in [
            ("catch-all", "true", 10, 1, false),
            ("catch-all", "true", 11, 2, true),
            ("catch-all", "false", 11, 2, true),
            ("probes", "true", 11, 2, true),
            ("probes", "false", 11, 2, false),
            ("probes", "", 11, 1, true),
            ("probes", "", 11, 2, false),
        ] {
            let existing = object(name, annotation, precedence, generation);
            let kept = completed(&existing, &object(name, "true", 10, 1));
            assert_eq!(kept.is_some(), changes, "{existing}");
            if let Some(kept) = kept {
                assert_eq!(kept["spec"]["matchingPrecedence"], 10);
                assert_eq!(meta::generation(&kept), generation + 1);
                assert_eq!(completed(&kept, &object(name, "true", 10, 1)), None);
            }
        }
    }
}
