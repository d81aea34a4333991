//! Who passes on to whom, among hosts that lack the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, PoisonError};

use anyhow::Context as _;

use super::key::OneTimeKey;
use super::locked;
use crate::facts::Facts;
use crate::inventory::Host;
use crate::ssh::{Connection, Running};

const RELAY: &str = include_str!("../../../templates/scripts/relay.sh");
/// Fewer are served sooner by the operator.
const SMALLEST_GROUP: usize = 4;
/// Hosts that the operator sends to itself, however many there are.
const MOST_SEEDS: usize = 3;
/// Hosts that a seed is worth.
const HOSTS_PER_SEED: usize = 8;
/// Transfers from one relay at the same time.
const AT_ONCE: usize = 8;
/// A host that has received passes on too when each relay has more than this many hosts before it.
const QUEUE: usize = 16;
/// A relay that failed this often without a success is not asked any more.
const PATIENCE: usize = 2;

/// How a relay is reached and known.
#[derive(Clone, Debug)]
pub struct Address {
    pub name: String,
    pub address: String,
    pub port: u16,
    /// As in known_hosts.
    pub key: String,
}

/// A relay that listens.
pub struct Source {
    at: Address,
    busy: usize,
    failures: usize,
    successes: usize,
    /// Ends the relay.
    _running: Option<Running>,
}

/// What a host of a group does.
pub enum Part<'g> {
    Seed,
    Receiver { key: &'g OneTimeKey },
}

/// Hosts that lack the same.
pub struct Group {
    seeds: BTreeSet<String>,
    /// Each with the key that relays know it by.
    receivers: BTreeMap<String, OneTimeKey>,
    state: Mutex<Progress>,
    changed: Condvar,
}

struct Progress {
    sources: Vec<Source>,
    /// Relays that are being made.
    coming: usize,
    /// Receivers that have not asked yet.
    waiting: usize,
}

/// One relay less is to come when it is dropped.
pub struct Outcome<'g>(&'g Group);

impl Drop for Outcome<'_> {
    fn drop(&mut self) {
        locked(&self.0.state).coming -= 1;
        self.0.changed.notify_all();
    }
}

/// Seeds for this many hosts: a number that does not grow with the hosts.
fn seeds(hosts: usize) -> usize {
    if hosts < SMALLEST_GROUP {
        return 0;
    }
    hosts.div_ceil(HOSTS_PER_SEED).min(MOST_SEEDS)
}

impl Group {
    /// None when passing on is not worth it, or no host has what it takes. Seeds come first in the hosts' order, so
    /// that one that is waited for has been begun.
    pub fn new(hosts: &[&Host], facts: &BTreeMap<String, Facts>) -> Option<Group> {
        let has = |host: &&&Host, tool: &str| {
            facts
                .get(&host.name)
                .is_some_and(|facts| facts.tool(tool).is_some())
        };
        let seeds: BTreeSet<String> = hosts
            .iter()
            .filter(|host| has(host, "sshd"))
            .take(seeds(hosts.len()))
            .map(|host| host.name.clone())
            .collect();
        let receivers = hosts
            .iter()
            .filter(|host| has(host, "ssh") && !seeds.contains(&host.name))
            .map(|host| Some((host.name.clone(), OneTimeKey::generate().ok()?)))
            .collect::<Option<BTreeMap<_, _>>>()?;
        (!seeds.is_empty() && !receivers.is_empty()).then(|| Group {
            state: Mutex::new(Progress {
                sources: Vec::new(),
                coming: seeds.len(),
                waiting: receivers.len(),
            }),
            changed: Condvar::new(),
            seeds,
            receivers,
        })
    }

    pub fn has(&self, host: &str) -> bool {
        self.seeds.contains(host) || self.receivers.contains_key(host)
    }

    pub fn part(&self, host: &str) -> Part<'_> {
        match self.receivers.get(host) {
            Some(key) => Part::Receiver { key },
            None => Part::Seed,
        }
    }

    /// authorized_keys of a relay.
    pub fn allowed(&self) -> String {
        self.receivers
            .values()
            .map(|key| {
                format!(
                    "restrict,command=\"sh /run/hardway-relay/serve\" {}\n",
                    key.public
                )
            })
            .collect()
    }

    /// For a relay that was counted as coming.
    pub fn outcome(&self) -> Outcome<'_> {
        Outcome(self)
    }

    pub fn add(&self, source: Source) {
        locked(&self.state).sources.push(source);
        self.changed.notify_all();
    }

    /// Waits for a relay that is free, and says whether the host shall become one too (it counts as coming then). None
    /// when there is none and none to come.
    pub fn take_source(&self) -> Option<(Address, bool)> {
        let mut state = locked(&self.state);
        state.waiting -= 1;
        loop {
            let (relays, coming) = (state.sources.len() + state.coming, state.coming);
            let usable = |source: &&mut Source| source.successes > 0 || source.failures < PATIENCE;
            let free = state.sources.iter_mut().filter(usable);
            match free.min_by_key(|source| source.busy) {
                Some(source) if source.busy < AT_ONCE => {
                    source.busy += 1;
                    let at = source.at.clone();
                    let passes_on = state.waiting > QUEUE * relays;
                    state.coming += usize::from(passes_on);
                    return Some((at, passes_on));
                }
                None if coming == 0 => return None,
                _ => {}
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub fn give_back(&self, at: &Address, worked: bool) {
        let mut state = locked(&self.state);
        let used = state.sources.iter_mut().find(|source| source.at.name == at.name);
        if let Some(source) = used {
            source.busy -= 1;
            source.successes += usize::from(worked);
            source.failures += usize::from(!worked);
        }
        self.changed.notify_all();
    }
}

/// Makes a relay of a host that kept what it received.
pub fn serve(connection: Connection, host: &Host, key: &OneTimeKey, allowed: &str) -> anyhow::Result<Source> {
    let address = host.address.to_string();
    let input = format!("{}--\n{allowed}--\n", key.private);
    let script = RELAY.replace("@ADDRESS@", &address);
    let running = connection.start("passing on", &script, input.as_bytes())?;
    let port = running
        .first_line
        .trim()
        .parse()
        .with_context(|| format!("it said {:?}, not its port", running.first_line))?;
    let at = Address {
        name: host.name.clone(),
        address,
        port,
        key: key.public.clone(),
    };
    Ok(Source {
        at,
        busy: 0,
        failures: 0,
        successes: 0,
        _running: Some(running),
    })
}

#[cfg(test)]
mod tests;
