use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::api::{Api, Applied, documents};
use crate::artifacts::Release;
use crate::inventory::Inventory;
use crate::survey::Survey;
use crate::templates::Templates;
use crate::ui::Ui;

const DEADLINE: Duration = Duration::from_secs(90);

/// What the hosts' own daemons and the administrator may do.
pub fn access(survey: &Survey) -> anyhow::Result<Vec<Value>> {
    documents(&survey.templates.render("rbac.yaml", &json!({}))?)
}

/// All manifests: (file name, YAML).
pub fn manifests(
    inventory: &Inventory,
    release: &Release,
    templates: &Templates,
) -> anyhow::Result<Vec<(String, String)>> {
    let mut found = vec![("rbac.yaml".to_owned(), templates.render("rbac.yaml", &json!({}))?)];
    let dns = templates.render("cluster-dns.yaml", &dns_values(inventory, release))?;
    found.push(("cluster-dns.yaml".to_owned(), dns));
    Ok(found)
}

fn dns_values(inventory: &Inventory, release: &Release) -> Value {
    json!({
        "dns_ip": inventory.cluster.dns_ip,
        "cluster_domain": inventory.cluster.cluster_domain,
        "dns_image": release.dns_image(),
        "replicas": inventory.nodes().count().min(2),
    })
}

/// Cluster DNS.
pub fn objects(inventory: &Inventory, survey: &Survey) -> anyhow::Result<Vec<Value>> {
    let values = dns_values(inventory, &survey.release);
    documents(&survey.templates.render("cluster-dns.yaml", &values)?)
}

/// Applies objects in their order. Returns how many changed.
pub fn apply(api: &Api, objects: &[Value], ui: &Ui) -> anyhow::Result<usize> {
    let mut changed = 0;
    for object in objects {
        let done = api.apply(object)?;
        if done != Applied::Unchanged {
            changed += 1;
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            ui.note(
                &format!("{} {name}: {done:?}", object["kind"].as_str().unwrap_or_default()).to_lowercase(),
            );
        }
    }
    Ok(changed)
}

/// Waits until cluster DNS answers on at least one node.
pub fn verify(api: &Api, _inventory: &Inventory) -> anyhow::Result<()> {
    api.wait("cluster DNS is ready", Instant::now() + DEADLINE, || {
        let deployment = api.get("/apis/apps/v1/namespaces/kube-system/deployments/cluster-dns")?;
        let count = |field: &str| deployment["status"][field].as_i64().unwrap_or_default();
        let current =
            count("observedGeneration") >= deployment["metadata"]["generation"].as_i64().unwrap_or(1);
        let wanted = deployment["spec"]["replicas"].as_i64().unwrap_or(1);
        Ok((current && count("readyReplicas") >= wanted).then_some(()))
    })
}
