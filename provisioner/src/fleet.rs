//! All hosts of an inventory, connected, worked on at once.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context as _;

use crate::inventory::{Host, Inventory};
use crate::ssh::{Connection, KnownHosts, Target, Trust, is_lost};
use crate::state::State;
use crate::ui::Ui;

/// Hosts that are worked on at the same time. Each has a thread that mostly waits for its host.
pub const CONCURRENCY: usize = 128;

/// What went wrong on one host.
#[derive(Debug)]
pub struct Failure {
    pub host: String,
    pub phase: String,
    pub reason: String,
}

/// One or more hosts failed; each has been reported.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} failed in phase {phase}; correct what is said above and run the command again",
    hosts(failures)
)]
pub struct Failed {
    pub phase: String,
    pub failures: Vec<Failure>,
}

fn hosts(failures: &[Failure]) -> String {
    failures
        .iter()
        .map(|failure| failure.host.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

/// Hosts by name, each with one session that is opened when the host is first worked on.
pub struct Fleet<'a> {
    pub inventory: &'a Inventory,
    pub ui: &'a Ui,
    targets: BTreeMap<String, Target>,
    sessions: BTreeMap<String, Mutex<Option<Connection>>>,
    concurrency: usize,
}

/// What the operator knows about host keys.
pub fn trust(inventory: &Inventory, state: &State, host: &Host) -> anyhow::Result<Trust> {
    let mut known = KnownHosts::default();
    let mut files = vec![state.known_hosts()];
    match &inventory.ssh.known_hosts {
        Some(file) => files.push(file.clone()),
        None => {
            if let Some(home) = std::env::var_os("HOME") {
                files.push(std::path::PathBuf::from(home).join(".ssh/known_hosts"));
            }
            files.push("/etc/ssh/ssh_known_hosts".into());
        }
    }
    for file in files {
        known
            .add_file(&file)
            .with_context(|| format!("cannot read {}", file.display()))?;
    }
    Ok(Trust {
        pinned: host.host_key.clone(),
        known,
    })
}

pub fn target(inventory: &Inventory, state: &State, host: &Host) -> anyhow::Result<Target> {
    Ok(Target {
        host: host.address.to_string(),
        settings: host.ssh.clone(),
        trust: trust(inventory, state, host)?,
    })
}

impl<'a> Fleet<'a> {
    /// All hosts; each is connected to with the first work for it, so that none waits for another.
    pub fn connect(inventory: &'a Inventory, state: &State, ui: &'a Ui) -> anyhow::Result<Fleet<'a>> {
        Fleet::connect_to(inventory, state, ui, |_| true)
    }

    /// The chosen hosts; the others are left alone.
    pub fn connect_to(
        inventory: &'a Inventory,
        state: &State,
        ui: &'a Ui,
        chosen: impl Fn(&Host) -> bool,
    ) -> anyhow::Result<Fleet<'a>> {
        let targets = inventory
            .hosts
            .iter()
            .map(|host| Ok((host.name.clone(), target(inventory, state, host)?)))
            .collect::<anyhow::Result<BTreeMap<_, _>>>()?;
        let chosen = inventory.hosts.iter().filter(|host| chosen(host));
        Ok(Fleet {
            inventory,
            ui,
            targets,
            sessions: chosen.map(|host| (host.name.clone(), Mutex::default())).collect(),
            concurrency: CONCURRENCY,
        })
    }

    /// Connects to the hosts that answer; the others are listed with the reason.
    pub fn connect_reachable(
        inventory: &'a Inventory,
        state: &State,
        ui: &'a Ui,
    ) -> anyhow::Result<(Fleet<'a>, Vec<Failure>)> {
        let hosts: Vec<&Host> = inventory.hosts.iter().collect();
        let targets = hosts
            .iter()
            .map(|host| Ok((host.name.clone(), target(inventory, state, host)?)))
            .collect::<anyhow::Result<BTreeMap<_, _>>>()?;
        let mut sessions = BTreeMap::new();
        let mut failures = Vec::new();
        for (name, result) in parallel(&hosts, CONCURRENCY, |host| {
            Connection::open(&targets[&host.name]).map_err(|error| error.to_string())
        }) {
            match result {
                Ok(session) => drop(sessions.insert(name, Mutex::new(Some(session)))),
                Err(reason) => failures.push(Failure {
                    host: name,
                    phase: "connect".to_owned(),
                    reason,
                }),
            }
        }
        Ok((
            Fleet {
                targets,
                inventory,
                ui,
                sessions,
                concurrency: CONCURRENCY,
            },
            failures,
        ))
    }

    /// How a host is reached.
    pub fn target(&self, host: &Host) -> anyhow::Result<&Target> {
        self.targets
            .get(&host.name)
            .with_context(|| format!("{} is not in the inventory", host.name))
    }

    /// True for the hosts that this fleet is about.
    pub fn is_connected(&self, host: &Host) -> bool {
        self.sessions.contains_key(&host.name)
    }

    /// Runs `work` for the chosen hosts at once and waits for all; every failure is reported.
    pub fn each<T: Send>(
        &self,
        phase: &str,
        chosen: impl Fn(&Host) -> bool,
        work: impl Fn(&Host, &Connection) -> anyhow::Result<T> + Sync,
    ) -> Result<BTreeMap<String, T>, Failed> {
        self.run(phase, self.concurrency, chosen, work)
    }

    /// Like [`Fleet::each`], for work that may be cut at any point and begun again: a host whose connection is lost is
    /// connected to once more.
    pub fn each_repeatable<T: Send>(
        &self,
        phase: &str,
        chosen: impl Fn(&Host) -> bool,
        work: impl Fn(&Host, &Connection) -> anyhow::Result<T> + Sync,
    ) -> Result<BTreeMap<String, T>, Failed> {
        let once_more = |host: &Host, connection: &Connection| match work(host, connection) {
            Err(error) if is_lost(&error) => {
                let connection = self.reconnect(host, phase, &error)?;
                work(host, &connection)
            }
            done => done,
        };
        self.run(phase, self.concurrency, chosen, once_more)
    }

    /// Another connection to a host in the place of one that was lost; the error tells both.
    pub fn reconnect(&self, host: &Host, phase: &str, lost: &anyhow::Error) -> anyhow::Result<Connection> {
        let reason = format!("{lost:#}");
        self.ui
            .note(&format!("{}: {phase}: {reason}; connecting again", host.name));
        Connection::open(self.target(host)?).with_context(|| format!("{reason}; connecting again failed"))
    }

    /// Like [`Fleet::each`], one host after the other; stops at the first that fails.
    pub fn one_by_one<T: Send>(
        &self,
        phase: &str,
        chosen: impl Fn(&Host) -> bool,
        work: impl Fn(&Host, &Connection) -> anyhow::Result<T> + Sync,
    ) -> Result<BTreeMap<String, T>, Failed> {
        let mut done = BTreeMap::new();
        for host in self.inventory.hosts.iter().filter(|host| chosen(host)) {
            done.extend(self.run(phase, 1, |other| other.name == host.name, &work)?);
        }
        Ok(done)
    }

    fn run<T: Send>(
        &self,
        phase: &str,
        concurrency: usize,
        chosen: impl Fn(&Host) -> bool,
        work: impl Fn(&Host, &Connection) -> anyhow::Result<T> + Sync,
    ) -> Result<BTreeMap<String, T>, Failed> {
        let hosts: Vec<&Host> = self
            .inventory
            .hosts
            .iter()
            .filter(|host| self.is_connected(host) && chosen(host))
            .collect();
        let results = parallel(&hosts, concurrency, |host| {
            let session = &self.sessions[&host.name];
            let mut session = session
                .lock()
                .map_err(|_| "a thread for this host panicked".to_owned())?;
            let connection = match &mut *session {
                Some(connection) => connection,
                none => {
                    let opened = Connection::open(&self.targets[&host.name]);
                    none.insert(opened.map_err(|error| error.to_string())?)
                }
            };
            let done = work(host, connection);
            if done.as_ref().is_err_and(is_lost) {
                // What comes next for this host connects anew.
                *session = None;
            }
            done.map_err(|error| format!("{error:#}"))
        });
        gathered(self.ui, phase, results)
    }
}

fn gathered<T>(
    ui: &Ui,
    phase: &str,
    results: Vec<(String, Result<T, String>)>,
) -> Result<BTreeMap<String, T>, Failed> {
    let mut done = BTreeMap::new();
    let mut failures = Vec::new();
    for (host, result) in results {
        match result {
            Ok(value) => drop(done.insert(host, value)),
            Err(reason) => {
                ui.error(Some(&host), phase, &reason);
                failures.push(Failure {
                    host,
                    phase: phase.to_owned(),
                    reason,
                });
            }
        }
    }
    if failures.is_empty() {
        Ok(done)
    } else {
        Err(Failed {
            phase: phase.to_owned(),
            failures,
        })
    }
}

/// Calls `work` for every host on at most `limit` threads.
fn parallel<T: Send>(
    hosts: &[&Host],
    limit: usize,
    work: impl Fn(&Host) -> Result<T, String> + Sync,
) -> Vec<(String, Result<T, String>)> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(hosts.len()));
    std::thread::scope(|scope| {
        for _ in 0..limit.min(hosts.len()) {
            scope.spawn(|| {
                while let Some(host) = hosts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = work(host);
                    if let Ok(mut results) = results.lock() {
                        results.push((host.name.clone(), result));
                    }
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_default();
    results.sort_by(|a, b| a.0.cmp(&b.0));
    results
}
