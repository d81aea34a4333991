use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::{Context, Outcome};
use crate::api;
use crate::certs::{self, Collected, Finding, Row};
use crate::fleet::Fleet;
use crate::inventory::Inventory;
use crate::outside::{self, Outsider};
use crate::plan::Action;
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
    let of_outsiders = outside::certificates(&fleet, &outsiders)?;
    let certificates = Collected {
        rows: certs::judged(&fleet, state, of_outsiders, EXPIRY_WARNING)?,
        unreachable,
    };
    findings.extend(certificates.rows.iter().flat_map(certificate_findings));
    let now = SystemTime::now();
    if json {
        let rows = &certs::json(&certificates, now)["certificates"];
        let report = json!({ "hosts": hosts, "outsiders": outsiders, "etcd": etcd, "certificates": rows, "findings": findings });
        ui.print(&format!("{report}\n"));
    } else {
        let summary = certs::summary(&certificates.rows, now);
        ui.print(&text(&hosts, &outsiders, &etcd, summary.as_deref(), &findings));
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
        .filter(|unit| matches!(unit.action, Action::Restart | Action::Reload))
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

/// What is wrong with a certificate on a host, and what to do.
fn certificate_findings(row: &Row) -> Vec<String> {
    let found = row.findings.iter().map(|finding| {
        let remedy = match finding {
            Finding::Expired | Finding::ExpiresSoon if row.certificate.authority => {
                "; run hardway certs rotate --all"
            }
            Finding::Expired => "; run hardway certs rotate, with --rescue when no API server answers",
            Finding::ExpiresSoon => "; run hardway certs rotate",
            _ => "",
        };
        format!("{}: {}: {finding}{remedy}", row.host, row.place)
    });
    found.collect()
}

fn text(
    hosts: &[Value],
    outsiders: &[Outsider],
    etcd: &[Value],
    certificates: Option<&str>,
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
    lines.extend(certificates.map(str::to_owned));
    for finding in findings {
        lines.push(format!("differs: {finding}"));
    }
    if findings.is_empty() {
        lines.push("all is as it should be".to_owned());
    }
    lines.join("\n") + "\n"
}
