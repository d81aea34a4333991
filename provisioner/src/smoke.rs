//! The smoke test: what the last lab of "the hard way" does by hand, on a running cluster, and cleaned up after.

mod checks;
mod objects;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use http::Method;
use serde::Serialize;
use serde_json::Value;

use crate::api::{self, Api};
use crate::artifacts;
use crate::desired::Artifact;
use crate::fleet::Fleet;
use crate::inventory::Inventory;
use crate::rollout::any_api;
use crate::state::State;
use crate::survey::Survey;
use crate::ui::Ui;

const DEADLINE: Duration = Duration::from_secs(120);

/// One thing that was tried.
#[derive(Clone, Debug, Serialize)]
pub struct Tried {
    pub name: &'static str,
    pub milliseconds: u128,
    /// What was seen.
    pub seen: String,
    pub error: Option<String>,
}

/// With what the checks work.
pub struct Smoke<'a> {
    pub fleet: &'a Fleet<'a>,
    pub inventory: &'a Inventory,
    pub survey: &'a Survey,
    pub ui: &'a Ui,
    api: Api,
    namespace: String,
    image: Artifact,
}

/// A pod of the smoke test that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    pub pod: String,
    pub node: String,
    pub address: String,
}

/// Tries everything; what was made is removed again, also when something fails.
pub fn run(
    fleet: &Fleet<'_>,
    inventory: &Inventory,
    state: &State,
    survey: &Survey,
    ui: &Ui,
) -> anyhow::Result<Vec<Tried>> {
    let record = state.record()?;
    let image = artifacts::smoke_image(crate::survey::binaries(inventory, &record), state)?;
    let smoke = Smoke {
        fleet,
        inventory,
        survey,
        ui,
        api: any_api(fleet, inventory, &survey.secrets).context("no API server answers")?,
        namespace: format!("hardway-smoke-{:08x}", rand::random::<u32>()),
        image,
    };
    smoke.load_image()?;
    let result = smoke.tries();
    let cleaned = smoke.clean_up();
    let mut tried = result?;
    tried.push(cleaned);
    Ok(tried)
}

impl Smoke<'_> {
    fn reference(&self) -> &str {
        self.image.image.as_deref().unwrap_or_default()
    }

    fn path(&self, rest: &str) -> String {
        format!("/api/v1/namespaces/{}/{rest}", self.namespace)
    }

    fn load_image(&self) -> anyhow::Result<()> {
        let reference = self.reference();
        let present = format!("ctr -n k8s.io images ls -q | grep -qx {reference}");
        let import = format!("{present} || ctr -n k8s.io images import - >&2");
        self.fleet.each(
            "loading the image",
            |host| host.is_node(),
            |_, connection| {
                let mut archive = std::fs::File::open(&self.image.source)
                    .with_context(|| format!("cannot read {}", self.image.source.display()))?;
                connection.check("loading the image", &import, &mut archive, &|_| {})?;
                Ok(())
            },
        )?;
        Ok(())
    }

    fn tries(&self) -> anyhow::Result<Vec<Tried>> {
        let mut tried = vec![self.try_one("objects are accepted", || self.create())];
        if tried.iter().any(|one| one.error.is_some()) {
            return Ok(tried);
        }
        tried.push(self.try_one("a Secret is encrypted in etcd", || self.secret_in_etcd()));
        tried.push(self.try_one("a Deployment comes up", || self.deployment()));
        let mut probes = Vec::new();
        tried.push(self.try_one("a DaemonSet runs on every node", || {
            probes = self.probes()?;
            let nodes: Vec<&str> = probes.iter().map(|probe| probe.node.as_str()).collect();
            Ok(nodes.join(", "))
        }));
        let Some(first) = probes.first() else {
            return Ok(tried);
        };
        tried.push(self.try_one("logs", || self.logs(first)));
        tried.push(self.try_one("exec", || self.exec(first)));
        tried.push(self.try_one("port-forward", || self.port_forward(first)));
        tried.push(self.try_one("DNS and ClusterIP", || self.dns(&probes)));
        tried.push(self.try_one("NodePort on every node", || self.node_port(first)));
        tried.push(self.try_one("pod to pod between all nodes", || self.pairs(&probes)));
        Ok(tried)
    }

    fn try_one(&self, name: &'static str, work: impl FnOnce() -> anyhow::Result<String>) -> Tried {
        let begun = Instant::now();
        let result = work();
        let (seen, error) = match result {
            Ok(seen) => (seen, None),
            Err(error) => (String::new(), Some(format!("{error:#}"))),
        };
        let tried = Tried {
            name,
            milliseconds: begun.elapsed().as_millis(),
            seen,
            error,
        };
        let mark = if tried.error.is_some() { "FAILED" } else { "ok" };
        self.ui.note(&format!("{mark:<7} {name}"));
        tried
    }

    fn clean_up(&self) -> Tried {
        self.try_one("cleaned up", || {
            let path = format!("/api/v1/namespaces/{}", self.namespace);
            self.api.exchange(Method::DELETE, &path, &Value::Null)?;
            api::wait(
                "the namespace is gone",
                Instant::now() + DEADLINE,
                || match self.api.get(&path) {
                    Err(error) if api::is_status(&error, http::StatusCode::NOT_FOUND) => Ok(Some(())),
                    other => other.map(|_| None),
                },
            )?;
            let remove = format!("ctr -n k8s.io images rm --sync {} >&2", self.reference());
            self.fleet.each(
                "removing the image",
                |host| host.is_node(),
                |_, connection| Ok(connection.script("removing the image", &remove)?),
            )?;
            Ok(String::new())
        })
    }
}
