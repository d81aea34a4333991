use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::Context as _;
use serde_json::json;

use super::{Context, Outcome};
use crate::commands::end_on_interrupt;
use crate::etcd::snapshot::{self, Snapshot};
use crate::etcd::{self, Member};
use crate::fleet::Fleet;
use crate::identities;
use crate::inventory::Inventory;
use crate::state::State;

/// Take a snapshot, check it and keep it in the cluster's directory.
#[derive(clap::Args)]
pub struct Take {
    /// How many of the newest are kept.
    #[arg(long, default_value_t = 14)]
    keep: usize,
}

impl Take {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        let (inventory, state) = (context.inventory()?, context.open("etcd snapshot")?);
        let taken = take(&inventory, &state, context, self.keep)?;
        let path = snapshot::folder(&state).join(&taken.file);
        let text = format!(
            "{} ({} KiB, revision {})\n",
            path.display(),
            taken.bytes / 1024,
            taken.revision
        );
        context.answer(&json!({ "path": path, "snapshot": taken }), &text);
        Ok(Outcome::Done)
    }
}

/// A snapshot from a member that follows, when there is one: the leader has enough to do.
fn take(inventory: &Inventory, state: &State, context: &Context, keep: usize) -> anyhow::Result<Snapshot> {
    let (fleet, _) = Fleet::connect_reachable(inventory, state, &context.ui)?;
    let secrets = identities::prepare(inventory, state, SystemTime::now(), true)?;
    let mut chosen = None;
    for host in inventory.etcd_members() {
        let Ok(member) = Member::connect(&fleet, host, &secrets) else {
            continue;
        };
        match (member.is_healthy(), member.status()) {
            (Ok(true), Ok(status)) if status.id != status.leader => {
                chosen = Some(member);
                break;
            }
            (Ok(true), Ok(_)) => chosen = Some(member),
            _ => {}
        }
    }
    let member = chosen.context("no member of etcd is healthy")?;
    let keys = secrets.encryption.iter().map(|key| key.name.clone()).collect();
    snapshot::take(state, &member, &inventory.cluster.name, keys, keep)
}

/// Show the snapshots that are kept.
#[derive(clap::Args)]
pub struct List {}

impl List {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        let state = context.peek();
        let snapshots = snapshot::list(&state)?;
        let text: String = snapshots
            .iter()
            .map(|snapshot| {
                format!(
                    "{:<40} {:.0}  {:>8} KiB  revision {:<10} from {}\n",
                    snapshot.file,
                    snapshot.taken,
                    snapshot.bytes / 1024,
                    snapshot.revision,
                    snapshot.member
                )
            })
            .collect();
        context.answer(&json!({ "snapshots": snapshots }), &text);
        Ok(Outcome::Done)
    }
}

/// The file that was named, or the newest that is kept.
fn chosen(state: &State, named: Option<&PathBuf>) -> anyhow::Result<PathBuf> {
    if let Some(path) = named {
        return Ok(path.clone());
    }
    let newest = snapshot::list(state)?
        .pop()
        .context("no snapshot is kept; take one with hardway etcd snapshot, or name a file")?;
    Ok(snapshot::folder(state).join(newest.file))
}

/// Restore a snapshot into a scratch directory on one host, start an etcd on it and count; the cluster is not touched.
#[derive(clap::Args)]
pub struct Drill {
    /// The snapshot; the newest when not given.
    snapshot: Option<PathBuf>,
    /// The host to do it on; a member of etcd.
    #[arg(long)]
    host: Option<String>,
}

impl Drill {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        let (inventory, state) = (context.inventory()?, context.peek());
        let path = chosen(&state, self.snapshot.as_ref())?;
        let members = inventory.etcd_members();
        let host = match &self.host {
            Some(name) => members.iter().find(|host| host.name == *name),
            None => members.last(),
        };
        let host = host.context("that host is not a member of etcd")?;
        let fleet = Fleet::connect_to(&inventory, &state, &context.ui, |other| other.name == host.name)?;
        let drilled = etcd::drill(&fleet, host, &path)?;
        context.answer(
            &json!({ "snapshot": path, "host": host.name, "keys": drilled.keys, "revision": drilled.revision }),
            &format!(
                "{} can be restored: {} keys, revision {}\n",
                path.display(),
                drilled.keys,
                drilled.revision
            ),
        );
        Ok(Outcome::Done)
    }
}

/// Replace etcd's data on all members with a snapshot; on hosts that are fresh, bring them up with it.
#[derive(clap::Args)]
pub struct Restore {
    /// The snapshot; the newest when not given.
    snapshot: Option<PathBuf>,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

impl Restore {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        let (inventory, state) = (context.inventory()?, context.open("etcd restore")?);
        let path = chosen(&state, self.snapshot.as_ref())?;
        if !self.yes {
            confirm(&inventory.cluster.name, &path)?;
        }
        end_on_interrupt()?;
        etcd::restore(&inventory, &state, &context.ui, &path)?;
        Ok(Outcome::Done)
    }
}

fn confirm(cluster: &str, path: &std::path::Path) -> anyhow::Result<()> {
    anyhow::ensure!(
        std::io::stdin().is_terminal(),
        "restore replaces all objects of the cluster {cluster} with those in {}; without a terminal to ask on, confirm \
         it with --yes",
        path.display()
    );
    eprint!(
        "This replaces all objects of the cluster with those in {}.\nType the cluster's name ({cluster}) to go on: ",
        path.display()
    );
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .context("cannot read the answer")?;
    anyhow::ensure!(answer.trim() == cluster, "not confirmed; nothing was changed");
    Ok(())
}
