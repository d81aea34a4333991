//! Programs and images on their way to the hosts: compressed and hashed once, sent by the operator to a few hosts, passed
//! on by those to the others. What a relay cannot deliver the operator sends itself.

mod key;
mod package;
mod relay;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;

use crate::fleet::Fleet;
use crate::inventory::Host;
use crate::shell::Shell;
use crate::ssh::Connection;
use crate::state::State;
use crate::survey::Survey;
use crate::ui::Ui;

use key::OneTimeKey;
use package::Package;
use relay::{Group, Part};

/// Uploads by the operator at the same time; more only share the same line.
const UPLOADS: usize = 16;

/// The push of one run. Relays end when it is dropped.
pub struct Push<'a> {
    fleet: &'a Fleet<'a>,
    ui: &'a Ui,
    packages: BTreeMap<String, Arc<Package>>,
    /// Hosts that lack the same.
    groups: Vec<Group>,
    uploads: (Mutex<usize>, Condvar),
    /// Hosts that have had their turn among those that pass on.
    begun: Mutex<BTreeSet<String>>,
}

impl<'a> Push<'a> {
    /// Compresses what any host lacks and decides who passes on to whom.
    pub fn prepare(fleet: &'a Fleet<'a>, state: &State, survey: &Survey, ui: &'a Ui) -> anyhow::Result<Self> {
        let packages = package::prepare(state, survey)?;
        let mut members: BTreeMap<&Package, Vec<&Host>> = BTreeMap::new();
        for host in &fleet.inventory.hosts {
            if let Some(package) = packages.get(&host.name) {
                members.entry(package).or_default().push(host);
            }
        }
        let groups = if fleet.inventory.release.relay {
            members
                .values()
                .filter_map(|hosts| Group::new(hosts, &survey.facts))
                .collect()
        } else {
            Vec::new()
        };
        Ok(Push {
            fleet,
            ui,
            packages,
            groups,
            uploads: Default::default(),
            begun: Mutex::default(),
        })
    }

    /// Returns when the host has what it lacks. May be repeated.
    pub fn to(&self, host: &Host, connection: &dyn Shell) -> anyhow::Result<()> {
        let Some(package) = self.packages.get(&host.name) else {
            return Ok(());
        };
        let first = locked(&self.begun).insert(host.name.clone());
        let group = self.groups.iter().find(|group| first && group.has(&host.name));
        match group.map(|group| (group, group.part(&host.name))) {
            None => self.upload(host, connection, package, false),
            Some((group, Part::Seed)) => {
                // Whatever becomes of it, the others must not wait for it any longer.
                let outcome = group.outcome();
                self.upload(host, connection, package, true)?;
                self.open(group, host);
                drop(outcome);
                Ok(())
            }
            Some((group, Part::Receiver { key })) => {
                let Some((source, passes_on)) = group.take_source() else {
                    return self.upload(host, connection, package, false);
                };
                self.ui
                    .host(&host.name, &format!("receives from {}", source.name));
                let outcome = passes_on.then(|| group.outcome());
                let fetched = package.fetch(connection, &source, key, passes_on);
                group.give_back(&source, fetched.is_ok());
                match fetched {
                    Ok(()) if passes_on => self.open(group, host),
                    Ok(()) => {}
                    Err(error) => {
                        drop(outcome);
                        self.ui.note(&format!(
                            "{}: {} could not pass on ({error:#}); sending it directly",
                            host.name, source.name
                        ));
                        return self.upload(host, connection, package, false);
                    }
                }
                Ok(())
            }
        }
    }

    fn upload(
        &self,
        host: &Host,
        connection: &dyn Shell,
        package: &Package,
        keep: bool,
    ) -> anyhow::Result<()> {
        let (count, free) = &self.uploads;
        let mut running = locked(count);
        while *running >= UPLOADS {
            running = free.wait(running).unwrap_or_else(PoisonError::into_inner);
        }
        *running += 1;
        drop(running);
        self.ui.transfer(&host.name, package.size());
        let sent = package.upload(connection, keep, &|bytes| self.ui.sent(&host.name, bytes));
        *locked(count) -= 1;
        free.notify_one();
        sent
    }

    /// Makes a host that has everything a relay; that it cannot be one is no failure.
    fn open(&self, group: &Group, host: &Host) {
        let opened = OneTimeKey::generate()
            .and_then(|key| {
                // The host's own session goes on with the host's own work.
                let connection = Connection::open(self.fleet.target(host)?)?;
                relay::serve(connection, host, &key, &group.allowed())
            })
            .with_context(|| format!("{} cannot pass on", host.name));
        match opened {
            Ok(source) => group.add(source),
            Err(error) => self.ui.note(&format!("{error:#}")),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
