//! What has been loaded, and the input for iptables-restore that brings it up to date.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};

use ahash::{AHashMap, AHashSet};
use client::informer::Key as ServiceKey;

use crate::iptables::Table;
use crate::iptables::base;
use crate::iptables::names::is_service_chain;
use crate::iptables::service::{ServiceRules, Shared};
use crate::options::Options;

type ChainKey = (Table, String);

/// The rules of all Services in one family. Only chains that changed are written.
pub struct Ruleset {
    options: Options,
    services: BTreeMap<ServiceKey, ServiceRules>,
    /// Fingerprints of the chains in the kernel.
    loaded: AHashMap<ChainKey, u64>,
    hasher: RandomState,
}

impl Ruleset {
    pub fn new(options: Options) -> Ruleset {
        Ruleset {
            options,
            services: BTreeMap::new(),
            loaded: AHashMap::new(),
            hasher: RandomState::new(),
        }
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Takes in changed Services (None: gone) and returns the input for iptables-restore; empty if nothing is
    /// to be done.
    pub fn update(
        &mut self,
        changes: impl IntoIterator<Item = (ServiceKey, Option<ServiceRules>)>,
    ) -> String {
        let mut own: AHashSet<String> = AHashSet::new();
        let mut shared_changed = false;
        for (key, rules) in changes {
            let old = self.services.remove(&key).unwrap_or_default();
            let new = rules.unwrap_or_default();
            own.extend(old.chains.keys().chain(new.chains.keys()).cloned());
            shared_changed |= old.shared != new.shared;
            if new != ServiceRules::default() {
                self.services.insert(key, new);
            }
        }
        let mut wanted: Vec<(ChainKey, Option<Vec<String>>)> = Vec::new();
        let mut chains: AHashMap<&String, &Vec<String>> = AHashMap::new();
        // A chain's name is a hash of its Service's name, so no two Services share one.
        for rules in self.services.values() {
            chains.extend(rules.chains.iter().filter(|(name, _)| own.contains(*name)));
        }
        for name in own.iter() {
            let lines = chains.get(name).map(|lines| (*lines).clone());
            wanted.push(((Table::Nat, name.clone()), lines));
        }
        if shared_changed {
            wanted.extend(self.shared_chains().map(|(key, lines)| (key, Some(lines))));
        }
        self.write(wanted)
    }

    /// Input that makes everything anew and removes the given chains, if they are of a Service and not wanted.
    pub fn full(&mut self, present: impl IntoIterator<Item = ChainKey>) -> String {
        self.loaded.clear();
        let mut wanted: BTreeMap<ChainKey, Option<Vec<String>>> = BTreeMap::new();
        wanted.extend(
            present
                .into_iter()
                .filter(|(_, name)| is_service_chain(name))
                .map(|key| {
                    // Known to be there, so that its removal is written.
                    self.loaded.insert(key.clone(), 0);
                    (key, None)
                }),
        );
        for (table, name, lines) in base::chains(&self.options) {
            wanted.insert((table, name.to_owned()), Some(lines));
        }
        wanted.extend(self.shared_chains().map(|(key, lines)| (key, Some(lines))));
        for rules in self.services.values() {
            wanted.extend(
                rules
                    .chains
                    .iter()
                    .map(|(name, lines)| ((Table::Nat, name.clone()), Some(lines.clone()))),
            );
        }
        self.write(wanted)
    }

    /// Names of the Services that have rules.
    pub fn services(&self) -> AHashSet<ServiceKey> {
        self.services.keys().cloned().collect()
    }

    pub fn len(&self) -> usize {
        self.services.len()
    }

    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    fn shared_chains(&self) -> impl Iterator<Item = (ChainKey, Vec<String>)> {
        Shared::ALL.into_iter().map(|shared| {
            let (table, name) = shared.chain();
            let of_services = self.services.values().flat_map(|rules| &rules.shared);
            let of_chain = of_services.filter(|(chain, _)| *chain == shared);
            let mut lines: Vec<String> = of_chain.map(|(_, line)| line.clone()).collect();
            if shared == Shared::NatServices {
                lines.extend(base::node_port_tail(&self.options));
            }
            ((table, name.to_owned()), lines)
        })
    }

    /// Writes what differs from what is loaded; None removes a chain.
    fn write(&mut self, wanted: impl IntoIterator<Item = (ChainKey, Option<Vec<String>>)>) -> String {
        let mut tables: BTreeMap<Table, [String; 3]> = BTreeMap::new();
        for (key, lines) in wanted {
            let [declarations, rules, removals] = tables.entry(key.0).or_default();
            let name = &key.1;
            // Writing to a String cannot fail.
            let Some(lines) = lines else {
                if self.loaded.remove(&key).is_some() {
                    let _ = writeln!(declarations, ":{name} - [0:0]");
                    let _ = writeln!(removals, "-X {name}");
                }
                continue;
            };
            let fingerprint = self.hasher.hash_one(&lines);
            if self.loaded.get(&key) == Some(&fingerprint) {
                continue;
            }
            let _ = writeln!(declarations, ":{name} - [0:0]");
            for line in lines {
                let _ = writeln!(rules, "-A {name} {line}");
            }
            self.loaded.insert(key, fingerprint);
        }
        let mut text = String::new();
        for (table, [declarations, rules, removals]) in tables {
            if !declarations.is_empty() {
                let _ = write!(text, "*{}\n{declarations}{rules}{removals}COMMIT\n", table.name());
            }
        }
        text
    }
}
