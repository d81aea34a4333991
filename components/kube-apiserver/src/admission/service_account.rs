//! ServiceAccount: a pod gets an account, its image pull secrets, and a token to use it with.

use super::{Attributes, Operation};
use crate::server::Server;
use apimachinery::{ApiError, meta};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const VOLUME_PREFIX: &str = "kube-api-access-";
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Recognized by the token endpoint as a request on behalf of a pod that didn't ask for a lifetime.
const EXPIRATION_SECONDS: i64 = 3607;
const MIRROR: &str = "kubernetes.io/config.mirror";
/// How long a pod waits for the account `default`, and how often it looks; upstream waits as long.
const DEFAULT_PATIENCE: Duration = Duration::from_millis(1500);
const DEFAULT_LOOK: Duration = Duration::from_millis(20);

fn concerns(attributes: &Attributes<'_>) -> bool {
    attributes.is("", "pods")
        && attributes.subresource.is_empty()
        && attributes.operation == Operation::Create
}

fn array<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

pub async fn mutate(server: &Server, attributes: &Attributes<'_>, pod: &mut Value) -> Result<(), ApiError> {
    if !concerns(attributes) {
        return Ok(());
    }
    if meta::annotation(pod, MIRROR).is_some() {
        return check_mirror(attributes, pod);
    }
    if pod["spec"]["serviceAccountName"]
        .as_str()
        .unwrap_or("")
        .is_empty()
    {
        pod["spec"]["serviceAccountName"] = json!("default");
    }
    pod["spec"]["serviceAccount"] = pod["spec"]["serviceAccountName"].clone();
    let name = pod["spec"]["serviceAccountName"]
        .as_str()
        .unwrap_or("")
        .to_owned();
    let Some(account) = account(server, &attributes.namespace, &name).await? else {
        let why = format!(
            "error looking up service account {}/{name}: serviceaccount {name:?} not found",
            attributes.namespace
        );
        return Err(attributes.forbidden(&why));
    };
    if wants_token(&account, pod) {
        mount_token(pod);
    }
    if array(&pod["spec"], "imagePullSecrets").is_empty() && !array(&account, "imagePullSecrets").is_empty() {
        pod["spec"]["imagePullSecrets"] = account["imagePullSecrets"].clone();
    }
    Ok(())
}

/// The account that a pod names. In a namespace that was just made its controller still has to make the default one.
async fn account(server: &Server, namespace: &str, name: &str) -> Result<Option<Arc<Value>>, ApiError> {
    let read = || server.stores.read("", "serviceaccounts", namespace, name);
    let found = read().await.map_err(ApiError::internal)?;
    if found.is_some() || name != "default" {
        return Ok(found);
    }
    let until = Instant::now() + DEFAULT_PATIENCE;
    while Instant::now() < until {
        tokio::time::sleep(DEFAULT_LOOK).await;
        let cached = server.stores.cached("", "serviceaccounts", namespace, name);
        if cached.is_some() {
            return Ok(cached);
        }
    }
    read().await.map_err(ApiError::internal)
}

fn check_mirror(attributes: &Attributes<'_>, pod: &Value) -> Result<(), ApiError> {
    if !pod["spec"]["serviceAccountName"]
        .as_str()
        .unwrap_or("")
        .is_empty()
    {
        return Err(attributes.forbidden("a mirror pod may not reference service accounts"));
    }
    if super::node_restriction::references::secrets(&pod["spec"]) {
        return Err(attributes.forbidden("a mirror pod may not reference secrets"));
    }
    let projects = |volume: &Value| {
        array(&volume["projected"], "sources")
            .iter()
            .any(|source| source.get("serviceAccountToken").is_some())
    };
    if array(&pod["spec"], "volumes").iter().any(projects) {
        return Err(attributes.forbidden("a mirror pod may not use ServiceAccountToken volume projections"));
    }
    Ok(())
}

fn wants_token(account: &Value, pod: &Value) -> bool {
    let own = pod["spec"]["automountServiceAccountToken"].as_bool();
    own.or(account["automountServiceAccountToken"].as_bool())
        .unwrap_or(true)
}

fn has_mount(container: &Value) -> bool {
    array(container, "volumeMounts")
        .iter()
        .any(|mount| mount["mountPath"] == MOUNT_PATH)
}

fn mount_token(pod: &mut Value) {
    let existing = array(&pod["spec"], "volumes")
        .iter()
        .find(|volume| {
            volume["name"]
                .as_str()
                .is_some_and(|name| name.starts_with(VOLUME_PREFIX))
        })
        .and_then(|volume| volume["name"].as_str())
        .map(str::to_owned);
    let name = existing
        .clone()
        .unwrap_or_else(|| meta::generated_name(VOLUME_PREFIX, rand::random()));
    let mut mounted = false;
    for list in ["initContainers", "containers"] {
        let Some(containers) = pod["spec"].get_mut(list).and_then(Value::as_array_mut) else {
            continue;
        };
        for container in containers
            .iter_mut()
            .filter(|container| container.is_object() && !has_mount(container))
        {
            let mount = json!({ "name": name, "readOnly": true, "mountPath": MOUNT_PATH });
            match container.get_mut("volumeMounts").and_then(Value::as_array_mut) {
                Some(mounts) => mounts.push(mount),
                None => container["volumeMounts"] = json!([mount]),
            }
            mounted = true;
        }
    }
    if mounted && existing.is_none() {
        let volume = token_volume(&name);
        match pod["spec"].get_mut("volumes").and_then(Value::as_array_mut) {
            Some(volumes) => volumes.push(volume),
            None => pod["spec"]["volumes"] = json!([volume]),
        }
    }
}

fn token_volume(name: &str) -> Value {
    json!({
        "name": name,
        "projected": {
            "defaultMode": 420,
            "sources": [
                { "serviceAccountToken": { "path": "token", "expirationSeconds": EXPIRATION_SECONDS } },
                { "configMap": { "name": "kube-root-ca.crt", "items": [{ "key": "ca.crt", "path": "ca.crt" }] } },
                { "downwardAPI": { "items": [{ "path": "namespace", "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.namespace" } }] } },
            ],
        },
    })
}

const ENFORCE_MOUNTABLE: &str = "kubernetes.io/enforce-mountable-secrets";

/// A pod has an account, and uses only the secrets that the account lists, where that is asked for.
pub async fn validate(
    server: &Server,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
) -> Result<(), ApiError> {
    let Some(pod) = object else { return Ok(()) };
    let ephemeral =
        attributes.operation == Operation::Update && attributes.subresource == "ephemeralcontainers";
    if !(concerns(attributes) || ephemeral) {
        return Ok(());
    }
    if meta::annotation(pod, MIRROR).is_some() {
        return check_mirror(attributes, pod);
    }
    let name = pod["spec"]["serviceAccountName"].as_str().unwrap_or("");
    if name.is_empty() {
        if ephemeral {
            return Ok(());
        }
        let why = format!(
            "no service account specified for pod {}/{}",
            attributes.namespace,
            meta::name(pod)
        );
        return Err(attributes.forbidden(&why));
    }
    // The account was there a moment ago, when the pod got its token.
    let account = server
        .stores
        .cached("", "serviceaccounts", &attributes.namespace, name);
    let Some(account) =
        account.filter(|account| meta::annotation(account, ENFORCE_MOUNTABLE).is_some_and(is_true))
    else {
        return Ok(());
    };
    match unlisted(&account, pod, ephemeral) {
        Some(why) => Err(attributes.forbidden(&why)),
        None => Ok(()),
    }
}

/// As Go reads it.
fn is_true(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

/// The first secret of a pod that its account doesn't list.
fn unlisted(account: &Value, pod: &Value, ephemeral: bool) -> Option<String> {
    let name = meta::name(account);
    let listed =
        |field: &str, secret: &str| array(account, field).iter().any(|entry| entry["name"] == secret);
    let spec = &pod["spec"];
    let not = format!("is not allowed because service account {name} does not reference that secret");
    let lists: &[(&str, &str)] = if ephemeral {
        &[("ephemeralContainers", "ephemeral container")]
    } else {
        for volume in array(spec, "volumes") {
            if let Some(secret) = volume["secret"]["secretName"].as_str()
                && !listed("secrets", secret)
            {
                return Some(format!("volume with secret.secretName={secret:?} {not}"));
            }
        }
        &[("initContainers", "init container"), ("containers", "container")]
    };
    for (list, noun) in lists {
        for container in array(spec, list) {
            let own = container["name"].as_str().unwrap_or("");
            for variable in array(container, "env") {
                if let Some(secret) = variable["valueFrom"]["secretKeyRef"]["name"].as_str()
                    && !listed("secrets", secret)
                {
                    let variable = variable["name"].as_str().unwrap_or("");
                    return Some(format!(
                        "{noun} {own} with envVar {variable} referencing secret.secretName={secret:?} {not}"
                    ));
                }
            }
            for from in array(container, "envFrom") {
                if let Some(secret) = from["secretRef"]["name"].as_str()
                    && !listed("secrets", secret)
                {
                    return Some(format!(
                        "{noun} {own} with envFrom referencing secret.secretName={secret:?} {not}"
                    ));
                }
            }
        }
    }
    if ephemeral {
        return None;
    }
    array(spec, "imagePullSecrets")
        .iter()
        .enumerate()
        .find(|(_, secret)| !listed("imagePullSecrets", secret["name"].as_str().unwrap_or("")))
        .map(|(index, secret)| {
            let secret = secret["name"].as_str().unwrap_or("");
            format!("imagePullSecrets[{index}].name={secret:?} is not allowed because service account {name} does not reference that imagePullSecret")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_without_a_mount_get_one_volume() {
        let mut pod = json!({"spec": {"containers": [{"name": "a"}, {"name": "b", "volumeMounts": [{"name": "x", "mountPath": MOUNT_PATH}]}]}});
        mount_token(&mut pod);
        assert_eq!(array(&pod["spec"], "volumes").len(), 1);
        assert_eq!(
            pod["spec"]["containers"][0]["volumeMounts"][0]["mountPath"],
            MOUNT_PATH
        );
        assert_eq!(array(&pod["spec"]["containers"][1], "volumeMounts").len(), 1);
        mount_token(&mut pod);
        assert_eq!(array(&pod["spec"], "volumes").len(), 1);
    }

    #[test]
    fn only_listed_secrets_are_used_where_that_is_asked_for() {
        let account = json!({"metadata": {"name": "a"}, "secrets": [{"name": "s"}], "imagePullSecrets": [{"name": "p"}]});
        let volume = |secret: &str| json!({"spec": {"volumes": [{"secret": {"secretName": secret}}]}});
        let variable = json!({"spec": {"containers": [{"name": "c", "env": [{"name": "V", "valueFrom": {"secretKeyRef": {"name": "x"}}}]}]}});
        for (pod, expected) in [
            (volume("s"), None),
            (
                volume("x"),
                Some(
                    "volume with secret.secretName=\"x\" is not allowed because service account a does not reference that secret",
                ),
            ),
            (
                variable,
                Some(
                    "container c with envVar V referencing secret.secretName=\"x\" is not allowed because service account a does not reference that secret",
                ),
            ),
            (
                json!({"spec": {"imagePullSecrets": [{"name": "p"}, {"name": "q"}]}}),
                Some(
                    "imagePullSecrets[1].name=\"q\" is not allowed because service account a does not reference that imagePullSecret",
                ),
            ),
        ] {
            assert_eq!(unlisted(&account, &pod, false).as_deref(), expected);
        }
    }

    #[test]
    fn the_pod_decides_before_the_account() {
        for (pod, account, expected) in [
            (json!(null), json!(null), true),
            (json!(null), json!(false), false),
            (json!(true), json!(false), true),
            (json!(false), json!(true), false),
        ] {
            let pod_value = json!({"spec": {"automountServiceAccountToken": pod}});
            assert_eq!(
                wants_token(&json!({"automountServiceAccountToken": account}), &pod_value),
                expected,
                "{pod} {account}"
            );
        }
    }
}
