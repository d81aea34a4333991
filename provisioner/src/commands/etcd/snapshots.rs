use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::Context as _;
use serde_json::json;

use super::{Context, Outcome};
use crate::backup;
use crate::commands::end_on_interrupt;
use crate::etcd::snapshot::{self, Snapshot};
use crate::etcd::{self, Member, Source};
use crate::fleet::Fleet;
use crate::identities::{self, OPERATOR};
use crate::inventory::{Backup, Host, Inventory, S3};
use crate::s3::Store;
use crate::state::State;

/// Take a snapshot, check it and keep it in the cluster's directory.
#[derive(clap::Args)]
pub struct Take {
    /// How many of the newest are kept.
    #[arg(long, default_value_t = 14)]
    keep: usize,
    /// Also send it to the storage that backup.s3 of the inventory names.
    #[arg(long)]
    s3: bool,
}

impl Take {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        let (inventory, state) = (context.inventory()?, context.open("etcd snapshot")?);
        let s3 = self.s3.then(|| storage(&inventory)).transpose()?;
        let taken = take(&inventory, &state, context, self.keep)?;
        let path = snapshot::folder(&state).join(&taken.file);
        let mut text = format!(
            "{} ({} KiB, revision {})\n",
            path.display(),
            taken.bytes / 1024,
            taken.revision
        );
        let mut sent = None;
        if let Some(s3) = s3 {
            let prefix = backup::prefix(s3, &inventory.cluster.name, OPERATOR);
            let folder = snapshot::folder(&state);
            let key = backup::send(&Store::open(s3)?, &prefix, &folder, &taken, self.keep)
                .with_context(|| format!("{} was taken and is kept, but not sent", path.display()))?;
            let url = format!("s3://{}/{key}", s3.bucket);
            text.push_str(&format!("sent to {url}\n"));
            sent = Some(url);
        }
        context.answer(&json!({ "path": path, "snapshot": taken, "sent": sent }), &text);
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
    let source = Source {
        cluster: inventory.cluster.name.clone(),
        encryption_keys: secrets.encryption.iter().map(|key| key.name.clone()).collect(),
    };
    snapshot::take(&snapshot::folder(state), &member, source, keep)
}

fn storage(inventory: &Inventory) -> anyhow::Result<&S3> {
    let s3 = inventory.backup.as_ref().and_then(|backup| backup.s3.as_ref());
    s3.with_context(|| format!("{} has no [backup.s3] table", inventory.path.display()))
}

fn backup_table(inventory: &Inventory) -> anyhow::Result<&Backup> {
    inventory
        .backup
        .as_ref()
        .with_context(|| format!("{} has no [backup] table", inventory.path.display()))
}

/// Show the snapshots that are kept in the cluster's directory, on the hosts or in the storage.
#[derive(clap::Args)]
pub struct List {
    /// Those that hosts took by themselves.
    #[arg(long, conflicts_with = "s3")]
    hosts: bool,
    /// Those in the storage that backup.s3 names.
    #[arg(long)]
    s3: bool,
}

impl List {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        let state = context.peek();
        if self.s3 {
            return in_storage(context);
        }
        if self.hosts {
            let inventory = context.inventory()?;
            let backup = backup_table(&inventory)?;
            let (fleet, _) = Fleet::connect_reachable(&inventory, &state, &context.ui)?;
            let taken = backup::kept_on_hosts(&fleet, &inventory, backup)?;
            let text = lines(taken.iter().map(|taken| line(&taken.snapshot)));
            context.answer(&json!({ "snapshots": taken }), &text);
            return Ok(Outcome::Done);
        }
        let snapshots = snapshot::list(&state)?;
        let text = lines(snapshots.iter().map(line));
        context.answer(&json!({ "snapshots": snapshots }), &text);
        Ok(Outcome::Done)
    }
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    let text: String = lines.collect();
    if text.is_empty() {
        return "no snapshots are kept\n".to_owned();
    }
    text
}

fn in_storage(context: &Context) -> anyhow::Result<Outcome> {
    let inventory = context.inventory()?;
    let s3 = storage(&inventory)?;
    let below = backup::prefix(s3, &inventory.cluster.name, "");
    let mut objects = Store::open(s3)?.list(below.trim_end_matches('/'))?;
    objects.retain(|object| object.key.ends_with(".db"));
    let url = |key: &str| format!("s3://{}/{key}", s3.bucket);
    let text = lines(
        objects
            .iter()
            .map(|object| format!("{} {:>8} KiB\n", url(&object.key), object.bytes / 1024)),
    );
    let answers: Vec<_> = objects
        .iter()
        .map(|object| json!({ "url": url(&object.key), "bytes": object.bytes }))
        .collect();
    context.answer(&json!({ "snapshots": answers }), &text);
    Ok(Outcome::Done)
}

fn line(snapshot: &Snapshot) -> String {
    format!(
        "{:<40} {:.0}  {:>8} KiB  revision {:<10} from {}\n",
        snapshot.file,
        snapshot.taken,
        snapshot.bytes / 1024,
        snapshot.revision,
        snapshot.member
    )
}

/// Fetch the newest snapshot that hosts took by themselves into the cluster's directory, and check it.
#[derive(clap::Args)]
pub struct Pull {
    /// From this host; from every member of etcd when not given.
    #[arg(long)]
    host: Option<String>,
}

impl Pull {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        let (inventory, state) = (context.inventory()?, context.open("etcd pull")?);
        let backup = backup_table(&inventory)?;
        let members = inventory.etcd_members();
        let wanted = |host: &Host| self.host.as_ref().is_none_or(|name| *name == host.name);
        anyhow::ensure!(
            members.iter().any(|host| wanted(host)),
            "{} is not a member of etcd",
            self.host.as_deref().unwrap_or_default()
        );
        let fleet = Fleet::connect_to(&inventory, &state, &context.ui, |host| {
            inventory.runs_etcd(host) && wanted(host)
        })?;
        let taken = backup::kept_on_hosts(&fleet, &inventory, backup)?;
        let mut paths = Vec::new();
        for host in members.into_iter().filter(|host| wanted(host)) {
            let newest = taken.iter().rfind(|taken| taken.host == host.name);
            match newest {
                Some(newest) => paths.push(backup::pull(&fleet, &state, backup, host, &newest.snapshot)?),
                None => context.ui.note(&format!("{} has taken none yet", host.name)),
            }
        }
        let text: String = paths.iter().map(|path| format!("{}\n", path.display())).collect();
        context.answer(&json!({ "paths": paths }), &text);
        Ok(Outcome::Done)
    }
}

/// Take a snapshot of this host's etcd; what the timer on a host runs.
#[derive(clap::Args)]
pub struct OnHost {
    #[arg(long, value_name = "FILE")]
    settings: PathBuf,
}

impl OnHost {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        let (taken, sent) = backup::run(&self.settings)?;
        let mut text = line(&taken);
        if let Some(url) = &sent {
            text.push_str(&format!("sent to {url}\n"));
        }
        context.answer(&json!({ "snapshot": taken, "sent": sent }), &text);
        Ok(Outcome::Done)
    }
}

/// The file that was named, or the newest that is kept; what is in the storage is fetched first.
fn chosen(inventory: &Inventory, state: &State, named: Option<&PathBuf>) -> anyhow::Result<PathBuf> {
    if let Some(path) = named {
        return match path.to_str().filter(|text| text.starts_with("s3://")) {
            Some(url) => backup::fetch(storage(inventory)?, url, &state.cache().join("snapshots")),
            None => Ok(path.clone()),
        };
    }
    let newest = snapshot::list(state)?
        .pop()
        .context("no snapshot is kept; take one with hardway etcd snapshot, or name a file")?;
    Ok(snapshot::folder(state).join(newest.file))
}

/// Restore a snapshot into a scratch directory on one host, start an etcd on it and count; the cluster is not touched.
#[derive(clap::Args)]
pub struct Drill {
    /// The snapshot, a file or s3://bucket/key; the newest when not given.
    snapshot: Option<PathBuf>,
    /// The host to do it on; a member of etcd.
    #[arg(long)]
    host: Option<String>,
}

impl Drill {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        let (inventory, state) = (context.inventory()?, context.peek());
        let path = chosen(&inventory, &state, self.snapshot.as_ref())?;
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
    /// The snapshot, a file or s3://bucket/key; the newest when not given.
    snapshot: Option<PathBuf>,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

impl Restore {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        let (inventory, state) = (context.inventory()?, context.open("etcd restore")?);
        let path = chosen(&inventory, &state, self.snapshot.as_ref())?;
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
