//! From hosts as they are to a running cluster: the phases in their order.

mod addons;

use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::api::{self, Api};
use crate::apply;
use crate::desired::Stage;
use crate::fleet::Fleet;
use crate::identities::OPERATOR;
use crate::inventory::{Host, Inventory, Role};
use crate::plan::{Action, HostPlan};
use crate::state::State;
use crate::survey::{Survey, survey};
use crate::ui::Ui;

const API_DEADLINE: Duration = Duration::from_secs(90);
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
    ui.phase(state, "connect");
    let fleet = Fleet::connect(inventory, state, ui)?;
    ui.phase(state, "facts and plan");
    let mut survey = survey(&fleet, inventory, state, false)?;
    preflight(inventory, &survey, ui)?;
    let run = Run {
        fleet: &fleet,
        inventory,
        state,
        ui,
    };
    let mut changes = survey.plans.values().filter(|plan| !plan.is_empty()).count();
    if changes > 0 {
        ui.phase(state, "push");
        run.push(&survey)?;
        ui.phase(state, "hosts");
        run.hosts(&mut survey)?;
        ui.phase(state, "etcd");
        run.etcd(&mut survey)?;
    }
    ui.phase(state, "control plane");
    let api = run.api_servers(&survey)?;
    let objects = addons::access(&survey)?;
    changes += addons::apply(&api, &objects, ui)?;
    if survey
        .plans
        .values()
        .any(|plan| !plan.starts(Stage::Clients).is_empty())
    {
        ui.phase(state, "clients of the API");
        run.clients(&survey)?;
    }
    ui.phase(state, "add-ons");
    let objects = addons::objects(inventory, &survey)?;
    changes += addons::apply(&api, &objects, ui)?;
    ui.phase(state, "nodes");
    changes += run.nodes(&api)?;
    ui.phase(state, "verify");
    addons::verify(&api, inventory)?;
    operation.finish()?;
    ui.summary(if changes == 0 {
        "nothing to change"
    } else {
        "the cluster is up"
    });
    Ok(())
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

struct Run<'a> {
    fleet: &'a Fleet<'a>,
    inventory: &'a Inventory,
    state: &'a State,
    ui: &'a Ui,
}

impl Run<'_> {
    /// Nothing is switched on any host before every host has what it needs.
    fn push(&self, survey: &Survey) -> anyhow::Result<()> {
        self.compress(survey)?;
        self.fleet.each(
            "push",
            |_| true,
            |host, connection| {
                let name = &host.name;
                apply::push(
                    connection,
                    self.state,
                    self.ui,
                    &survey.desired[name],
                    &survey.plans[name],
                    &survey.facts[name],
                )
            },
        )?;
        Ok(())
    }

    /// Each file is compressed once, by one of as many threads as there are files, before hosts ask for it.
    fn compress(&self, survey: &Survey) -> anyhow::Result<()> {
        let mut wanted = std::collections::BTreeMap::new();
        for (host, plan) in &survey.plans {
            let codec = apply::codec(&survey.facts[host]);
            for artifact in &survey.desired[host].artifacts {
                if plan.pushes.iter().any(|push| push.sha256 == artifact.sha256) {
                    wanted.insert((artifact.sha256.clone(), codec), artifact);
                }
            }
        }
        std::thread::scope(|scope| {
            let threads: Vec<_> = wanted
                .iter()
                .map(|((_, codec), artifact)| {
                    scope.spawn(|| crate::artifacts::compressed(self.state, artifact, *codec))
                })
                .collect();
            for thread in threads {
                thread
                    .join()
                    .map_err(|_| anyhow::anyhow!("a compression thread panicked"))??;
            }
            Ok(())
        })
    }

    fn hosts(&self, survey: &mut Survey) -> anyhow::Result<()> {
        // Recorded first: a number that was begun is never given again.
        for (host, plan) in &survey.plans {
            if let Some(number) = plan.generation {
                survey.record.generations.insert(host.clone(), number);
            }
        }
        self.state.save(&survey.record)?;
        let survey = &*survey;
        self.fleet.each(
            "hosts",
            |_| true,
            |host, connection| {
                let (desired, plan) = (&survey.desired[&host.name], &survey.plans[&host.name]);
                if plan.is_empty() {
                    return Ok(());
                }
                self.ui.host(&host.name, "activate");
                apply::activate(connection, desired, plan, &survey.facts[&host.name])?;
                apply::start(connection, plan, Stage::Host)?;
                apply::import_images(connection, desired, plan)
            },
        )?;
        Ok(())
    }

    fn etcd(&self, survey: &mut Survey) -> anyhow::Result<()> {
        let members: Vec<String> = self
            .inventory
            .etcd_members()
            .iter()
            .map(|host| host.name.clone())
            .collect();
        if survey.record.etcd_members.is_empty() {
            survey.record.etcd_members = members.clone();
            self.state.save(&survey.record)?;
        }
        self.staged(survey, "etcd", Stage::Etcd, &|_, _| Ok(()))?;
        if survey.record.etcd_started != members {
            survey.record.etcd_started = members;
            self.state.save(&survey.record)?;
        }
        Ok(())
    }

    /// Starts what does not run on all hosts at once; restarts what runs on one host after the other.
    fn staged(
        &self,
        survey: &Survey,
        phase: &str,
        stage: Stage,
        ready: &(dyn Fn(&Host, &Survey) -> anyhow::Result<()> + Sync),
    ) -> anyhow::Result<()> {
        let acts = |host: &Host, action: Action| {
            survey.plans[&host.name]
                .starts(stage)
                .iter()
                .any(|unit| unit.action == action)
        };
        let work = |host: &Host, connection: &crate::ssh::Connection| {
            let plan: &HostPlan = &survey.plans[&host.name];
            self.ui.host(&host.name, phase);
            apply::start(connection, plan, stage)?;
            ready(host, survey)
        };
        self.fleet.each(phase, |host| acts(host, Action::Start), work)?;
        let restarts = |host: &Host| acts(host, Action::Restart) && !acts(host, Action::Start);
        self.fleet.one_by_one(phase, restarts, work)?;
        Ok(())
    }

    fn api_servers(&self, survey: &Survey) -> anyhow::Result<Api> {
        let ready = |host: &Host, survey: &Survey| {
            connect(self.fleet, host, survey)?.wait_ready(Instant::now() + API_DEADLINE)
        };
        self.staged(survey, "control plane", Stage::ApiServer, &ready)?;
        let host = self
            .inventory
            .control_planes()
            .next()
            .context("the inventory has no control plane")?;
        let api = connect(self.fleet, host, survey)?;
        api.wait_ready(Instant::now() + API_DEADLINE)?;
        Ok(api)
    }

    fn clients(&self, survey: &Survey) -> anyhow::Result<()> {
        self.fleet.each(
            "clients of the API",
            |_| true,
            |host, connection| {
                let plan = &survey.plans[&host.name];
                if plan.starts(Stage::Clients).is_empty() {
                    return Ok(());
                }
                self.ui.host(&host.name, "start");
                apply::start(connection, plan, Stage::Clients)
            },
        )?;
        Ok(())
    }

    /// Waits until every node is ready and has its labels. Returns how many nodes were changed.
    fn nodes(&self, api: &Api) -> anyhow::Result<usize> {
        let deadline = Instant::now() + NODES_DEADLINE;
        let wanted: Vec<&Host> = self.inventory.nodes().collect();
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
            format!("not ready: {missing}. On the host, journalctl -u kubelet -u containerd -u pod-network says why")
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
}

/// An API server on a host, with the break-glass identity: RBAC may not be there yet.
pub fn connect(fleet: &Fleet<'_>, host: &Host, survey: &Survey) -> anyhow::Result<Api> {
    let identity = survey
        .secrets
        .leaf(OPERATOR, "break-glass")
        .context("there is no break-glass certificate")?;
    let authority = survey.secrets.authority(pki::Authority::Kubernetes).certificate();
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
