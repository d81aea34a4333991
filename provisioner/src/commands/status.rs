use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::{Context, Outcome};
use crate::api;
use crate::fleet::Fleet;
use crate::inventory::Inventory;
use crate::outside::{self, Outsider};
use crate::rollout::{any_api, etcd_member};
use crate::state::State;
use crate::survey::{Survey, survey};
use crate::ui::Ui;

/// A certificate with less than this left is a finding.
const EXPIRY_WARNING: Duration = Duration::from_secs(30 * 86_400);

/// Show units, versions, certificates, etcd and nodes; exit code 3 when something differs.
#[derive(clap::Args)]
pub struct Arguments {}

impl Arguments {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        let (inventory, state) = (context.inventory()?, context.open("status")?);
        run(&inventory, &state, &context.ui, context.json).map(Outcome::differs_if)
    }
}

/// Shows the cluster's state; true when something differs from what it should be.
fn run(inventory: &Inventory, state: &State, ui: &Ui, json: bool) -> anyhow::Result<bool> {
    let (fleet, unreachable) = Fleet::connect_reachable(inventory, state, ui)?;
    let survey = survey(&fleet, inventory, state, true)?;
    let mut findings: Vec<String> = unreachable
        .iter()
        .map(|failure| format!("{}: unreachable: {}", failure.host, failure.reason))
        .collect();
    let api = any_api(&fleet, inventory, &survey.secrets);
    let nodes = match &api {
        Ok(api) => api.nodes().unwrap_or_else(|error| {
            findings.push(format!("nodes cannot be listed: {error:#}"));
            Vec::new()
        }),
        Err(error) => {
            findings.push(format!("no API server answers: {error:#}"));
            Vec::new()
        }
    };
    let mut hosts = Vec::new();
    for host in &inventory.hosts {
        if survey.facts.contains_key(&host.name) {
            hosts.push(host_status(inventory, &survey, &host.name, &nodes, &mut findings));
        }
    }
    let outsiders = outside::of_nodes(inventory, &nodes);
    for outsider in outsiders.iter().filter(|outsider| !outsider.ready) {
        findings.push(format!("{}: the node is not ready", outsider.name));
    }
    let etcd = etcd_health(&fleet, inventory, &survey, &mut findings);
    let certificates = certificates(&survey, &mut findings)?;
    if json {
        let report = json!({ "hosts": hosts, "outsiders": outsiders, "etcd": etcd, "certificates": certificates, "findings": findings });
        ui.print(&format!("{report}\n"));
    } else {
        ui.print(&text(&hosts, &outsiders, &etcd, &certificates, &findings));
    }
    Ok(!findings.is_empty())
}

fn host_status(
    inventory: &Inventory,
    survey: &Survey,
    name: &str,
    nodes: &[Value],
    findings: &mut Vec<String>,
) -> Value {
    let (facts, desired, plan) = (&survey.facts[name], &survey.desired[name], &survey.plans[name]);
    let mut units = BTreeMap::new();
    for unit in &desired.units {
        let found = facts.unit(unit.name);
        if found.state != "active" {
            findings.push(format!("{name}: {} is {}", unit.name, found.state));
        }
        units.insert(unit.name, found.state);
    }
    for file in &plan.files {
        findings.push(format!("{name}: {} differs ({:?})", file.path, file.change).to_lowercase());
    }
    for unit in plan
        .units
        .iter()
        .filter(|unit| unit.action == crate::plan::Action::Restart)
    {
        findings.push(format!(
            "{name}: {} runs with what is no longer current",
            unit.name
        ));
    }
    if let Some(back) = plan.unconfirmed {
        findings.push(format!(
            "{name}: generation {} has not passed its health gate, the host goes back to {back} by itself; run hardway \
             bootstrap",
            facts.generation_number()
        ));
    } else if plan.files.is_empty() && !plan.is_empty() && plan.units.is_empty() {
        findings.push(format!(
            "{name}: bootstrap would change links, users, programs or kernel settings"
        ));
    }
    let node = nodes.iter().find(|node| node["metadata"]["name"] == name);
    let ready = node.is_some_and(api::is_ready);
    let is_node = inventory
        .hosts
        .iter()
        .any(|host| host.name == name && host.is_node());
    if is_node && !ready && !nodes.is_empty() {
        findings.push(format!(
            "{name}: the node is {}",
            if node.is_some() { "not ready" } else { "missing" }
        ));
    }
    json!({
        "name": name,
        "os": facts.os,
        "kernel": facts.kernel,
        "containerd": facts.containerd_version,
        "kubelet": node.map(|node| node["status"]["nodeInfo"]["kubeletVersion"].clone()),
        "generation": facts.generation_number(),
        "units": units,
        "ready": is_node.then_some(ready),
    })
}

fn etcd_health(
    fleet: &Fleet<'_>,
    inventory: &Inventory,
    survey: &Survey,
    findings: &mut Vec<String>,
) -> Vec<Value> {
    let mut members = Vec::new();
    for host in inventory.etcd_members() {
        let health = etcd_member(fleet, &survey.secrets, host);
        if let Err(error) = &health {
            findings.push(format!("{}: {error:#}", host.name));
        }
        let healthy = health.is_ok();
        members.push(json!({ "name": host.name, "healthy": healthy }));
    }
    members
}

fn certificates(survey: &Survey, findings: &mut Vec<String>) -> anyhow::Result<Vec<Value>> {
    let now = SystemTime::now();
    let mut rows = Vec::new();
    for (host, name, certificate) in survey.secrets.certificates() {
        let found = pki::inspect(certificate)?;
        let remaining = found.remaining(now);
        let days = remaining.as_secs() / 86_400;
        if remaining < EXPIRY_WARNING {
            findings.push(format!(
                "{host}: certificate {name} expires in {days} days; run hardway bootstrap"
            ));
        }
        rows.push(json!({ "host": host, "name": name, "days": days }));
    }
    Ok(rows)
}

fn text(
    hosts: &[Value],
    outsiders: &[Outsider],
    etcd: &[Value],
    certificates: &[Value],
    findings: &[String],
) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let mut lines: Vec<String> = Vec::new();
    for host in hosts {
        let ready = match host["ready"].as_bool() {
            Some(true) => "Ready",
            Some(false) => "NotReady",
            None => "-",
        };
        lines.push(format!(
            "{:<16} {:<9} generation {:<4} {:<12} containerd {:<12} kubelet {}",
            text(&host["name"]),
            ready,
            host["generation"],
            text(&host["os"]),
            text(&host["containerd"]),
            text(&host["kubelet"]),
        ));
        for (unit, state) in host["units"].as_object().into_iter().flatten() {
            lines.push(format!("  {unit:<32} {}", text(state)));
        }
    }
    for outsider in outsiders {
        let ready = if outsider.ready { "Ready" } else { "NotReady" };
        lines.push(format!(
            "{:<16} {ready:<9} took itself in {} kubelet {}",
            outsider.name, outsider.os, outsider.kubelet
        ));
    }
    for member in etcd {
        let health = if member["healthy"] == true {
            "healthy"
        } else {
            "NOT HEALTHY"
        };
        lines.push(format!("etcd {:<16} {health}", text(&member["name"])));
    }
    if let Some(first) = certificates.iter().min_by_key(|row| row["days"].as_u64()) {
        lines.push(format!(
            "{} certificates; the first to expire is {} of {}, in {} days",
            certificates.len(),
            text(&first["name"]),
            text(&first["host"]),
            first["days"]
        ));
    }
    for finding in findings {
        lines.push(format!("differs: {finding}"));
    }
    if findings.is_empty() {
        lines.push("all is as it should be".to_owned());
    }
    lines.join("\n") + "\n"
}
