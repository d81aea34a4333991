//! The administrator's kubeconfig.

use anyhow::Context as _;
use base64::Engine;
use pki::Authority;
use serde_json::json;

use crate::identities::{OPERATOR, Secrets};
use crate::inventory::Inventory;

/// A kubeconfig with embedded credentials: the administrator's, or the break-glass one.
pub fn render(inventory: &Inventory, secrets: &Secrets, break_glass: bool) -> anyhow::Result<String> {
    let profile = if break_glass { "break-glass" } else { "admin" };
    let identity = secrets
        .leaf(OPERATOR, profile)
        .context("the certificate has not been issued")?;
    let base64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let cluster = &inventory.cluster.name;
    let context = format!("{profile}@{cluster}");
    let value = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": cluster, "cluster": {
            "server": format!("https://{}", inventory.public_endpoint()),
            "certificate-authority-data": base64(secrets.trusted(Authority::Kubernetes)),
        }}],
        "users": [{ "name": profile, "user": {
            "client-certificate-data": base64(&identity.certificate),
            "client-key-data": base64(identity.key.pem()),
        }}],
        "contexts": [{ "name": context, "context": { "cluster": cluster, "user": profile } }],
        "current-context": context,
    });
    serde_yaml_ng::to_string(&value).context("cannot write YAML")
}
