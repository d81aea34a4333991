//! On the host itself: everything that a worker gets over SSH, without the operator.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use super::{Token, discover, request};
use crate::api::{self, Api};
use crate::artifacts;
use crate::bundle::{self, Kind, Prepared, PublicKey};
use crate::desired::{Artifact, Desired, Stage};
use crate::facts::{self, Facts};
use crate::guard::{self, Way};
use crate::inventory::{Host, Inventory};
use crate::plan::{HostPlan, plan};
use crate::render::{self, Cluster};
use crate::shell::{Shell, ThisHost};
use crate::state::{Record, State};
use crate::templates::Templates;
use crate::ui::Ui;
use crate::{apply, preflight, rollout};

const CAUSE: &str = "node join-here";
/// Kept only while it works.
const SCRATCH: &str = "/var/lib/hardway-join";
const NODE_DEADLINE: Duration = Duration::from_secs(120);

/// What the command was told.
pub struct Here<'a> {
    pub endpoint: &'a str,
    pub token: Token,
    pub hashes: &'a [String],
    pub binaries: Option<&'a Path>,
    pub bundle: Option<(&'a Path, PublicKey)>,
    pub ui: &'a Ui,
}

/// Takes this host into the cluster; repeat it with another token to renew what it holds. Returns the node's name and
/// how much was changed.
pub fn join(here: &Here<'_>) -> anyhow::Result<(String, usize)> {
    let done = steps(here);
    let _ = std::fs::remove_dir_all(SCRATCH);
    done
}

fn steps(here: &Here<'_>) -> anyhow::Result<(String, usize)> {
    let ui = here.ui;
    ui.note(&format!("asking {} whom to believe", here.endpoint));
    let authority = discover::discover(here.endpoint, &here.token, here.hashes)?;
    let offer = discover::offer(here.endpoint, &authority, &here.token)?;
    let inventory = offer.inventory()?;
    let host = inventory
        .hosts
        .iter()
        .find(|host| host.name == offer.name)
        .with_context(|| format!("the offer is for {}, which it does not describe", offer.name))?;
    let state = State::peek(&Path::new(SCRATCH).join("hosts.toml"), &Default::default());
    let prepared = match &here.bundle {
        None => None,
        Some((path, key)) => {
            ui.note("checking the bundle");
            Some(bundle::prepare(path, key, &state.cache())?)
        }
    };
    let facts = gathered(&inventory, host, prepared.as_ref(), ui)?;
    let binaries = prepared.as_ref().map(Prepared::binaries);
    let release = artifacts::collect_for_worker(binaries.as_deref().or(here.binaries), &state)?;
    ui.note("asking for the kubelet's certificate");
    let kubelet = request::kubelet_client(here.endpoint, &authority, &here.token, &offer, &inventory)?;
    let secrets = offer.secrets(&authority, kubelet.clone())?;
    let templates = Templates::load()?;
    let record = Record::default();
    let cluster = Cluster {
        inventory: &inventory,
        secrets: &secrets,
        release: &release,
        templates: &templates,
        record: &record,
    };
    let desired = render::desired(&cluster, host, &facts)?;
    let changes = plan(&host.name, &desired, &facts, 0);
    if !changes.is_empty() {
        carry_out(&inventory, host, &desired, &changes, &facts, ui)?;
    }
    let api = Api::with_certificate(here.endpoint, &authority, &kubelet)?;
    let path = format!("/api/v1/nodes/{}", host.name);
    let deadline = std::time::Instant::now() + NODE_DEADLINE;
    api.wait("the node is ready", deadline, || {
        Ok(api::is_ready(&api.get(&path)?).then_some(()))
    })
    .context("journalctl -u kubelet -u containerd -u pod-network says why")?;
    Ok((host.name.clone(), usize::from(!changes.is_empty())))
}

/// Facts of this host, once it has the packages that it needs and nothing stands in the way.
fn gathered(
    inventory: &Inventory,
    host: &Host,
    prepared: Option<&Prepared>,
    ui: &Ui,
) -> anyhow::Result<Facts> {
    let found = facts::gather(&ThisHost)?;
    // What packages will mend is no reason to refuse; the rest is, before they are installed.
    let lacking = bundle::wanted(inventory, host, &found);
    let (found, installs) = match prepared {
        Some(prepared) if !lacking.is_empty() => {
            refuse(preflight_of(inventory, host, &found), ui, |text| {
                text.starts_with("lacks ")
            })?;
            ui.note(&format!("installing {}", lacking.join(", ")));
            let folder = prepared.folder.join(Kind::Package.folder());
            bundle::install(&ThisHost, &prepared.manifest, &folder, &lacking)?;
            (facts::gather(&ThisHost)?, true)
        }
        _ => (found, false),
    };
    refuse(preflight_of(inventory, host, &found), ui, |_| false).with_context(|| {
        if installs {
            "packages were installed"
        } else {
            "nothing was changed"
        }
    })?;
    Ok(found)
}

fn preflight_of(inventory: &Inventory, host: &Host, facts: &Facts) -> Vec<String> {
    let facts = BTreeMap::from([(host.name.clone(), facts.clone())]);
    preflight::check(inventory, &facts, &BTreeMap::new(), &BTreeMap::new())
        .into_iter()
        .map(|finding| finding.text)
        .collect()
}

fn refuse(findings: Vec<String>, ui: &Ui, passes: impl Fn(&str) -> bool) -> anyhow::Result<()> {
    let findings: Vec<String> = findings.into_iter().filter(|text| !passes(text)).collect();
    for text in &findings {
        ui.error(None, "preflight", &format!("this host {text}"));
    }
    anyhow::ensure!(findings.is_empty(), "preflight found {} problems", findings.len());
    Ok(())
}

fn carry_out(
    inventory: &Inventory,
    host: &Host,
    desired: &Desired,
    changes: &HostPlan,
    facts: &Facts,
    ui: &Ui,
) -> anyhow::Result<()> {
    ui.note("installing the release");
    for artifact in &desired.artifacts {
        if changes.pushes.iter().any(|push| push.sha256 == artifact.sha256) {
            place(artifact)?;
        }
    }
    let way = Way::of(changes, facts);
    if let Some(way) = way {
        guard::arm(&ThisHost, way, inventory.release.confirm_within, CAUSE)?;
    }
    let Err(error) = switch(inventory, host, desired, changes, facts, ui) else {
        return match way {
            Some(_) => Ok(guard::disarm(&ThisHost)?),
            None => Ok(()),
        };
    };
    let Some(way) = way else { return Err(error) };
    ui.note("going back");
    let back = apply::go_back(&ThisHost, Some(way.back_to), &format!("failed-{CAUSE}"));
    match back.and_then(|_| Ok(guard::disarm(&ThisHost)?)) {
        Ok(()) => Err(error.context(format!("this host is back on generation {}", way.back_to))),
        Err(second) => Err(error.context(format!("going back failed as well ({second:#})"))),
    }
}

/// Switches, starts what has to be started and waits until all of it runs.
fn switch(
    inventory: &Inventory,
    host: &Host,
    desired: &Desired,
    changes: &HostPlan,
    facts: &Facts,
    ui: &Ui,
) -> anyhow::Result<()> {
    apply::activate(&ThisHost, desired, changes, facts, CAUSE)?;
    for stage in Stage::ALL {
        apply::start(&ThisHost, changes, stage)?;
        if stage == Stage::Host {
            apply::import_images(&ThisHost, desired, changes)?;
        }
    }
    ui.note("waiting until everything runs");
    rollout::local(inventory, host, &desired.unit_names(), &ThisHost)
}

/// Puts a file where a push over SSH would have put it.
fn place(artifact: &Artifact) -> anyhow::Result<()> {
    let script = apply::place_script(&artifact.sha256);
    let mut file =
        File::open(&artifact.source).with_context(|| format!("cannot read {}", artifact.source.display()))?;
    ThisHost.check(&format!("placing {}", artifact.name), &script, &mut file, &|_| {})?;
    Ok(())
}
