//! ResourceQuota: what a namespace may use is counted before it is used.

use super::{Attributes, Operation};
use crate::server::Server;
use crate::stores::{self, Failure};
use apimachinery::{ApiError, GroupResource, Quantity, meta};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use storage::{Change, ObjectRef, Preconditions};

type Usage = BTreeMap<String, Quantity>;

fn amount(value: &Value) -> Option<Quantity> {
    Quantity::from_json(value).ok()
}

/// What an object of a kind counts as.
pub fn usage(group: &str, plural: &str, object: &Value) -> Usage {
    let mut usage = Usage::new();
    let mut add = |name: &str, value: Quantity| {
        usage.insert(name.to_owned(), value);
    };
    let one = || amount(&json!(1)).unwrap_or_default();
    let counted = if group.is_empty() {
        format!("count/{plural}")
    } else {
        format!("count/{plural}.{group}")
    };
    add(&counted, one());
    match (group, plural) {
        ("", "pods") => {
            if matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed")) {
                return Usage::from([(counted, one())]);
            }
            add("pods", one());
            for (field, prefix) in [("requests", "requests."), ("limits", "limits.")] {
                for (name, value) in super::limit_ranger::pod_total(object, field)
                    .as_object()
                    .into_iter()
                    .flatten()
                {
                    let Some(value) = amount(value) else { continue };
                    if field == "requests" && matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage")
                    {
                        add(name, value);
                    }
                    add(&format!("{prefix}{name}"), value);
                }
            }
        }
        ("", "services") => {
            add("services", one());
            let ports =
                || amount(&json!(object["spec"]["ports"].as_array().map_or(0, Vec::len))).unwrap_or_default();
            match object["spec"]["type"].as_str() {
                Some("NodePort") => add("services.nodeports", ports()),
                Some("LoadBalancer") => {
                    add("services.loadbalancers", one());
                    add("services.nodeports", ports());
                }
                _ => {}
            }
        }
        ("", "persistentvolumeclaims") => {
            add("persistentvolumeclaims", one());
            if let Some(storage) = amount(&object["spec"]["resources"]["requests"]["storage"]) {
                if let Some(class) = object["spec"]["storageClassName"].as_str() {
                    add(
                        &format!("{class}.storageclass.storage.k8s.io/persistentvolumeclaims"),
                        one(),
                    );
                    add(
                        &format!("{class}.storageclass.storage.k8s.io/requests.storage"),
                        storage,
                    );
                }
                add("requests.storage", storage);
            }
        }
        ("", "configmaps" | "secrets" | "replicationcontrollers" | "resourcequotas") => add(plural, one()),
        _ => {}
    }
    usage
}

/// Whether a quota's scopes take in an object; only pods have scopes.
pub fn in_scope(quota: &Value, plural: &str, object: &Value) -> bool {
    let spec = &object["spec"];
    let scopes = quota["spec"]["scopes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(|scope| (scope, "Exists", &Value::Null));
    let selected = quota["spec"]["scopeSelector"]["matchExpressions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|expression| {
            Some((
                expression["scopeName"].as_str()?,
                expression["operator"].as_str()?,
                &expression["values"],
            ))
        });
    let mut all = scopes.chain(selected).peekable();
    if all.peek().is_some() && plural != "pods" {
        return false;
    }
    all.all(|(scope, operator, values)| {
        let best_effort = object["status"]["qosClass"] == "BestEffort";
        let terminating = spec["activeDeadlineSeconds"].as_i64().is_some();
        match scope {
            "BestEffort" => best_effort,
            "NotBestEffort" => !best_effort,
            "Terminating" => terminating,
            "NotTerminating" => !terminating,
            "PriorityClass" => {
                let class = spec["priorityClassName"].as_str().unwrap_or("");
                let listed = values
                    .as_array()
                    .into_iter()
                    .flatten()
                    .any(|value| value == class);
                match operator {
                    "In" => listed,
                    "NotIn" => !listed,
                    "DoesNotExist" => class.is_empty(),
                    _ => !class.is_empty(),
                }
            }
            "CrossNamespacePodAffinity" => false,
            _ => false,
        }
    })
}

/// Counts a new or grown object against every quota of its namespace.
pub async fn admit(
    server: &Server,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    let Some(object) = object else { return Ok(()) };
    let relevant = attributes.row.namespaced
        && attributes.subresource.is_empty()
        && matches!(attributes.operation, Operation::Create | Operation::Update);
    if !relevant {
        return Ok(());
    }
    let bounds = &server.admission.bounds;
    let quotas = bounds.of(server, "resourcequotas", &attributes.namespace).await?;
    if quotas.is_empty() {
        return Ok(());
    }
    let (group, plural) = (attributes.row.gvk.group.as_str(), attributes.row.plural.as_str());
    let wanted = usage(group, plural, object);
    let held = old.map(|old| usage(group, plural, old)).unwrap_or_default();
    let mut more = Usage::new();
    for (name, value) in wanted {
        let delta = match held.get(&name) {
            Some(before) => value - *before,
            None => value,
        };
        if delta.sign() > 0 {
            more.insert(name, delta);
        }
    }
    if more.is_empty() {
        return Ok(());
    }
    for quota in quotas.iter().filter(|quota| in_scope(quota, plural, object)) {
        require_all(attributes, quota, plural, object)?;
        let relevant: Usage = more
            .iter()
            .filter(|(name, _)| quota["status"]["hard"].get(name.as_str()).is_some())
            .map(|(name, value)| (name.clone(), *value))
            .collect();
        if !relevant.is_empty() {
            charge(server, attributes, meta::name(quota), &relevant).await?;
        }
    }
    Ok(())
}

/// A quota on CPU or memory makes pods say how much they want. Upstream regrets it, and asks for nothing else.
fn require_all(
    attributes: &Attributes<'_>,
    quota: &Value,
    plural: &str,
    object: &Value,
) -> Result<(), ApiError> {
    if plural != "pods" || attributes.operation != Operation::Create {
        return Ok(());
    }
    let missing = unsaid(&quota["status"]["hard"], object);
    if missing.is_empty() {
        return Ok(());
    }
    let containers: Vec<&str> = object["spec"]["containers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|container| container["name"].as_str())
        .collect();
    let each: Vec<String> = missing
        .iter()
        .map(|name| format!("{name} for: {}", containers.join(",")))
        .collect();
    Err(attributes.forbidden(&format!(
        "failed quota: {}: must specify {}",
        meta::name(quota),
        each.join("; ")
    )))
}

/// What a quota is on and the pod should say, but does not.
fn unsaid<'q>(hard: &'q Value, pod: &Value) -> Vec<&'q str> {
    let counted = usage("", "pods", pod);
    let compute = |name: &str| {
        let resource = name
            .strip_prefix("requests.")
            .or_else(|| name.strip_prefix("limits."));
        matches!(resource.unwrap_or(name), "cpu" | "memory")
    };
    let names = hard
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str());
    names
        .filter(|name| compute(name) && !counted.contains_key(*name))
        .collect()
}

async fn charge(
    server: &Server,
    attributes: &Attributes<'_>,
    name: &str,
    more: &Usage,
) -> Result<(), ApiError> {
    let Some(store) = server.stores.named("", "resourcequotas") else {
        return Ok(());
    };
    let decide = |current: Option<ObjectRef>| async move {
        let Some(current) = current else {
            return Ok(Change::Nothing);
        };
        let mut quota = stores::parse(&current)?;
        if let Err(why) = add_to(&mut quota, more) {
            return Err(Failure::Api(attributes.forbidden(&why)));
        }
        meta::remove(&mut quota, "resourceVersion");
        Ok(if attributes.dry_run {
            Change::Nothing
        } else {
            Change::Write {
                json: quota.to_string().into_bytes().into(),
                ttl: None,
            }
        })
    };
    match store
        .update::<_, _, Failure>(&attributes.namespace, name, &Preconditions::default(), decide)
        .await
    {
        Ok(_) => Ok(()),
        Err(failure) => Err(failure.into_api_error(&GroupResource::new("", "resourcequotas"), name)),
    }
}

/// Adds to what is used, unless that exceeds the quota.
fn add_to(quota: &mut Value, more: &Usage) -> Result<(), String> {
    let hard = quota["status"]["hard"].as_object().cloned().unwrap_or_default();
    let mut used = quota["status"]["used"].as_object().cloned().unwrap_or_default();
    let mut exceeded: Vec<(&String, String, String, String)> = Vec::new();
    for (name, delta) in more {
        let Some(limit) = hard.get(name).and_then(amount) else {
            continue;
        };
        let before = used.get(name).and_then(amount).unwrap_or_default();
        let after = before + *delta;
        if after > limit {
            exceeded.push((name, delta.to_string(), before.to_string(), limit.to_string()));
        }
        used.insert(name.clone(), json!(after.to_string()));
    }
    if !exceeded.is_empty() {
        let [requested, used, limited] = [1, 2, 3].map(|column| {
            let pick = |(name, requested, used, limited): &(&String, String, String, String)| {
                format!("{name}={}", [requested, used, limited][column - 1])
            };
            exceeded.iter().map(pick).collect::<Vec<_>>().join(",")
        });
        return Err(format!(
            "exceeded quota: {}, requested: {requested}, used: {used}, limited: {limited}",
            meta::name(quota)
        ));
    }
    quota["status"]["used"] = Value::Object(used);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_count_with_their_requests() {
        let pod = json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "250m"}, "limits": {"cpu": "1"}}}]}});
        let counted = usage("", "pods", &pod);
        for (name, expected) in [
            ("pods", "1"),
            ("cpu", "250m"),
            ("requests.cpu", "250m"),
            ("limits.cpu", "1"),
            ("count/pods", "1"),
        ] {
            assert_eq!(
                counted.get(name).map(ToString::to_string).as_deref(),
                Some(expected),
                "{name}"
            );
        }
        assert_eq!(usage("apps", "deployments", &json!({})).len(), 1);
    }

    #[test]
    fn a_quota_fills_up() {
        let mut quota =
            json!({"metadata": {"name": "q"}, "status": {"hard": {"pods": "2"}, "used": {"pods": "1"}}});
        let more = usage("", "pods", &json!({"spec": {}}));
        add_to(&mut quota, &more).unwrap();
        assert_eq!(quota["status"]["used"]["pods"], "2");
        assert_eq!(
            add_to(&mut quota, &more).unwrap_err(),
            "exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2"
        );
    }

    /// Not so for other resources: a quota on the storage of claims is none of a pod's business.
    #[test]
    fn a_pod_must_only_say_how_much_cpu_and_memory_it_wants() {
        let hard = json!({
            "pods": "5", "cpu": "1", "limits.cpu": "1", "limits.memory": "1Gi", "requests.memory": "1Gi", "requests.storage": "10Gi",
            "ephemeral-storage": "50Gi", "requests.ephemeral-storage": "50Gi", "requests.example.com/dongle": "3",
        });
        let pod =
            json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "250m"}}}]}});
        assert_eq!(
            unsaid(&hard, &pod),
            ["limits.cpu", "limits.memory", "requests.memory"]
        );
    }

    #[test]
    fn scopes_are_about_pods() {
        let quota = json!({"spec": {"scopes": ["BestEffort"]}});
        assert!(in_scope(
            &quota,
            "pods",
            &json!({"spec": {}, "status": {"qosClass": "BestEffort"}})
        ));
        assert!(!in_scope(
            &quota,
            "pods",
            &json!({"spec": {}, "status": {"qosClass": "Burstable"}})
        ));
        assert!(!in_scope(&quota, "services", &json!({})));
        assert!(in_scope(&json!({"spec": {}}), "services", &json!({})));
    }
}
