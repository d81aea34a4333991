//! From hosts as they are to a running cluster: the phases in their order.

pub mod addons;

use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::api::{self, Api};
use crate::fleet::Fleet;
use crate::identities::{OPERATOR, Secrets};
use crate::inventory::{Host, Inventory, Role};
use crate::plan::Scope;
use crate::rollout::{Options, Rollout};
use crate::state::State;
use crate::survey::{Survey, ask, compare};
use crate::ui::Ui;

const NODES_DEADLINE: Duration = Duration::from_secs(120);

/// Brings all hosts to what the inventory says. Safe to repeat after any interruption.
pub fn run(inventory: &Inventory, state: &State, ui: &Ui) -> anyhow::Result<()> {
    let interrupted = state.interrupted()?;
    let operation = state.simple_operation("bootstrap", &serde_json::json!({}))?;
    if let Some(phase) = interrupted {
        ui.note(&format!(
            "the last run stopped in phase {phase:?}; going on from what the hosts hold"
        ));
    }
    ui.phase(state, "facts");
    let fleet = Fleet::connect(inventory, state, ui)?;
    let (facts, skew) = ask(&fleet)?;
    ui.phase(state, "plan");
    let mut survey = compare(facts, skew, inventory, state, false)?;
    preflight(inventory, &survey, ui)?;
    let changes = bring(&fleet, inventory, state, ui, &mut survey, "bootstrap")?;
    operation.finish()?;
    ui.summary(if changes == 0 {
        "nothing to change"
    } else {
        "the cluster is up"
    });
    Ok(())
}

/// Brings the connected hosts of a survey to what it says they should be. Returns how much was changed.
pub fn bring(
    fleet: &Fleet<'_>,
    inventory: &Inventory,
    state: &State,
    ui: &Ui,
    survey: &mut Survey,
    cause: &str,
) -> anyhow::Result<usize> {
    let rollout = Rollout {
        fleet,
        inventory,
        state,
        ui,
        options: Options::named(cause),
    };
    let connected = inventory.hosts.iter().filter(|host| fleet.is_connected(host));
    let scope = Scope {
        hosts: connected.map(|host| host.name.clone()).collect(),
        roles: Vec::new(),
    };
    carry_out(&rollout, survey, &scope)
}

/// Carries out a survey's plans, then brings the objects in the API and the nodes to what they should be.
/// Returns how much was changed.
pub fn carry_out(rollout: &Rollout<'_>, survey: &mut Survey, scope: &Scope) -> anyhow::Result<usize> {
    let Rollout {
        inventory, state, ui, ..
    } = rollout;
    let mut changes = survey.plans.values().filter(|plan| !plan.is_empty()).count();
    rollout.run(survey)?;
    ui.phase(state, "add-ons");
    let api = rollout.api(survey)?;
    let mut objects = addons::access(survey)?;
    objects.extend(addons::objects(inventory, survey)?);
    changes += addons::apply(&api, &objects, ui)?;
    ui.phase(state, "nodes");
    changes += nodes(inventory, &api, scope)?;
    ui.phase(state, "verify");
    addons::verify(&api, inventory)?;
    Ok(changes)
}

/// Objects in the API, by name, that [`carry_out`] would create or change.
pub fn pending_objects(
    inventory: &Inventory,
    survey: &Survey,
    api: &Api,
    scope: &Scope,
) -> anyhow::Result<Vec<String>> {
    let mut objects = addons::access(survey)?;
    objects.extend(addons::objects(inventory, survey)?);
    let mut pending = Vec::new();
    for object in &objects {
        if api.differs(object)? {
            let text = |field: &serde_json::Value| field.as_str().unwrap_or_default().to_owned();
            pending.push(format!(
                "{} {}",
                text(&object["kind"]),
                text(&object["metadata"]["name"])
            ));
        }
    }
    for node in api.nodes()? {
        let named = |host: &&Host| node["metadata"]["name"] == host.name && scope.covers(host);
        let host = inventory.hosts.iter().find(named);
        if let Some(host) = host.filter(|host| api::label_patch(&node, &labels(host)).is_some()) {
            pending.push(format!("Node {}", host.name));
        }
    }
    Ok(pending)
}

/// Tells every host's problems, then refuses.
pub fn preflight(inventory: &Inventory, survey: &Survey, ui: &Ui) -> anyhow::Result<()> {
    let findings = survey.preflight(inventory);
    for finding in &findings {
        ui.error(Some(&finding.host), "preflight", &finding.text);
    }
    anyhow::ensure!(
        findings.is_empty(),
        "preflight found {} problems; no host was changed: correct them and run the command again",
        findings.len()
    );
    Ok(())
}

/// Waits until every node is ready and has its labels. Returns how many nodes were changed.
fn nodes(inventory: &Inventory, api: &Api, scope: &Scope) -> anyhow::Result<usize> {
    let deadline = Instant::now() + NODES_DEADLINE;
    let wanted: Vec<&Host> = inventory.nodes().filter(|host| scope.covers(host)).collect();
    let mut missing = String::new();
    let nodes = api.wait("all nodes are ready", deadline, || {
        let nodes = api.nodes()?;
        let waiting: Vec<&str> = wanted
            .iter()
            .filter(|host| {
                !nodes
                    .iter()
                    .any(|node| node["metadata"]["name"] == host.name && api::is_ready(node))
            })
            .map(|host| host.name.as_str())
            .collect();
        missing = waiting.join(", ");
        if waiting.is_empty() {
            Ok(Some(nodes))
        } else {
            Ok(None)
        }
    });
    let nodes = nodes.with_context(|| {
        format!(
            "not ready: {missing}. On the host, journalctl -u kubelet -u containerd -u pod-network says why"
        )
    })?;
    let mut changed = 0;
    for host in wanted {
        let Some(node) = nodes.iter().find(|node| node["metadata"]["name"] == host.name) else {
            continue;
        };
        if let Some(patch) = api::label_patch(node, &labels(host)) {
            api.patch(&format!("/api/v1/nodes/{}", host.name), &patch)?;
            changed += 1;
        }
    }
    Ok(changed)
}

/// An API server on a host, with the break-glass identity: RBAC may not be there yet.
pub fn connect(fleet: &Fleet<'_>, host: &Host, secrets: &Secrets) -> anyhow::Result<Api> {
    let identity = secrets
        .leaf(OPERATOR, "break-glass")
        .context("there is no break-glass certificate")?;
    let authority = secrets.trusted(pki::Authority::Kubernetes);
    Api::connect(fleet.target(host)?, 6443, authority, identity)
}

fn labels(host: &Host) -> Vec<(String, String)> {
    let mut labels: Vec<(String, String)> = host
        .labels
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if host.has(Role::ControlPlane) {
        labels.push(("node-role.kubernetes.io/control-plane".to_owned(), String::new()));
    }
    labels
}
