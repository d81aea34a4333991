//! The operator's side: what stands in the API for hosts that take themselves in.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pki::Authority;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Member, Offer, Token};
use crate::api::{Api, documents};
use crate::identities::Secrets;
use crate::inventory::Inventory;
use crate::templates::Templates;

/// The key of the offer in its Secret.
pub(super) const OFFER: &str = "offer.json";
const SYSTEM: &str = "/api/v1/namespaces/kube-system";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/kube-system";
const TYPE: &str = "bootstrap.kubernetes.io/token";
const GROUP: &str = "system:bootstrappers:hardway:default-node-token";
/// The controller manager signs within a second or two.
const SIGNED_WITHIN: Duration = Duration::from_secs(30);

pub(super) fn offer_name(id: &str) -> String {
    format!("hardway-join-{id}")
}

fn token_name(id: &str) -> String {
    format!("bootstrap-token-{id}")
}

/// Makes a token for one host, good for `lifetime`, with what the host needs. When the token goes, its offer goes too.
pub fn create(
    api: &Api,
    inventory: &Inventory,
    secrets: &Secrets,
    member: &Member,
    lifetime: Duration,
) -> anyhow::Result<(Token, jiff::Timestamp)> {
    let known = inventory.hosts.iter().any(|host| host.name == member.name);
    anyhow::ensure!(
        !known,
        "{} is in the inventory; a host that can be reached joins with hardway node join {}",
        member.name,
        member.name
    );
    let offer = serde_json::to_string(&Offer::make(inventory, secrets, member)?)?;
    let templates = Templates::load()?;
    for object in documents(&templates.render("node-bootstrap.yaml", &json!({ "group": GROUP }))?)? {
        api.apply(&object)?;
    }
    api.apply(&cluster_info(inventory, secrets))?;
    let token = Token::generate();
    let expires =
        jiff::Timestamp::now() + jiff::SignedDuration::try_from(lifetime).context("--ttl is too long")?;
    let made = api.post(
        &format!("{SYSTEM}/secrets"),
        &token_secret(&token, &member.name, expires),
    )?;
    let owner = json!([{
        "apiVersion": "v1", "kind": "Secret", "name": token_name(&token.id), "uid": made["metadata"]["uid"],
    }]);
    let metadata =
        json!({ "name": offer_name(&token.id), "namespace": "kube-system", "ownerReferences": owner });
    api.post(
        &format!("{SYSTEM}/secrets"),
        &json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": metadata,
            "data": { OFFER: STANDARD.encode(&offer) },
        }),
    )?;
    api.post(
        &format!("{RBAC}/roles"),
        &json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata,
            "rules": [{
                "apiGroups": [""], "resources": ["secrets"], "resourceNames": [offer_name(&token.id)], "verbs": ["get"],
            }],
        }),
    )?;
    api.post(
        &format!("{RBAC}/rolebindings"),
        &json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata,
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": offer_name(&token.id),
            },
            "subjects": [{
                "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": format!("system:bootstrap:{}", token.id),
            }],
        }),
    )?;
    let signature = format!("jws-kubeconfig-{}", token.id);
    api.wait(
        "the controller manager has signed cluster-info with the token",
        Instant::now() + SIGNED_WITHIN,
        || {
            let info = api.get("/api/v1/namespaces/kube-public/configmaps/cluster-info")?;
            Ok(info["data"][&signature].is_string().then_some(()))
        },
    )
    .context("do the hosts have this hardway's flags? hardway bootstrap brings them")?;
    Ok((token, expires))
}

/// For whom a token is; it is found again by this.
fn description(host: &str) -> String {
    format!("hardway: for {host}")
}

fn token_secret(token: &Token, host: &str, expires: jiff::Timestamp) -> Value {
    let encoded = |text: &str| STANDARD.encode(text);
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": TYPE,
        "metadata": { "name": token_name(&token.id), "namespace": "kube-system" },
        "data": {
            "token-id": encoded(&token.id),
            "token-secret": encoded(&token.secret),
            "description": encoded(&description(host)),
            "expiration": encoded(&expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
            "usage-bootstrap-authentication": encoded("true"),
            "usage-bootstrap-signing": encoded("true"),
            "auth-extra-groups": encoded(GROUP),
        },
    })
}

/// What a host reads before it believes anybody.
fn cluster_info(inventory: &Inventory, secrets: &Secrets) -> Value {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "",
            "cluster": {
                "certificate-authority-data": STANDARD.encode(secrets.trusted(Authority::Kubernetes)),
                "server": format!("https://{}", inventory.public_endpoint()),
            },
        }],
        "contexts": [],
        "current-context": "",
        "users": [],
    });
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": "cluster-info", "namespace": "kube-public" },
        // JSON is YAML.
        "data": { "kubeconfig": config.to_string() },
    })
}

/// A token as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    pub id: String,
    pub description: String,
    /// Empty when it lasts for ever.
    pub expires: String,
    pub usages: Vec<String>,
}

pub fn list(api: &Api) -> anyhow::Result<Vec<Summary>> {
    let found = api.get(&format!(
        "{SYSTEM}/secrets?fieldSelector=type%3D{}",
        TYPE.replace('/', "%2F")
    ))?;
    let items = found["items"].as_array().into_iter().flatten();
    Ok(items.map(summary).collect())
}

fn summary(secret: &Value) -> Summary {
    let field = |name: &str| {
        let bytes = STANDARD.decode(secret["data"][name].as_str().unwrap_or_default());
        String::from_utf8(bytes.unwrap_or_default()).unwrap_or_default()
    };
    Summary {
        id: field("token-id"),
        description: field("description"),
        expires: field("expiration"),
        usages: ["authentication", "signing"]
            .into_iter()
            .filter(|usage| field(&format!("usage-bootstrap-{usage}")) == "true")
            .map(str::to_owned)
            .collect(),
    }
}

/// Takes a token back at once, with all that was made for it.
pub fn delete(api: &Api, id: &str) -> anyhow::Result<()> {
    let known = list(api)?.iter().any(|token| token.id == id);
    anyhow::ensure!(
        known,
        "there is no token {id}; hardway node token list shows them"
    );
    for path in [
        format!("{SYSTEM}/secrets/{}", token_name(id)),
        format!("{SYSTEM}/secrets/{}", offer_name(id)),
        format!("{RBAC}/rolebindings/{}", offer_name(id)),
        format!("{RBAC}/roles/{}", offer_name(id)),
    ] {
        api.delete(&path)?;
    }
    Ok(())
}

/// Takes back every token that was made for a host.
pub fn delete_for(api: &Api, host: &str) -> anyhow::Result<()> {
    let wanted = description(host);
    for token in list(api)?.iter().filter(|token| token.description == wanted) {
        delete(api, &token.id)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_shown_without_its_secret() {
        let token = Token::parse("abcdef.0123456789abcdef").unwrap();
        let secret = token_secret(&token, "edge-1", "2027-01-01T00:00:00Z".parse().unwrap());
        let shown = summary(&secret);
        assert_eq!((shown.id.as_str(), shown.usages.len()), ("abcdef", 2));
        assert_eq!(shown.expires, "2027-01-01T00:00:00Z");
        assert!(!serde_json::to_string(&shown).unwrap().contains(&token.secret));
    }
}
