//! What has been loaded, and the scripts that bring it up to date.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;

use ahash::{AHashMap, AHashSet};
use client::informer::Key as ServiceKey;

use crate::nftables::TABLE;
use crate::nftables::base;
use crate::nftables::chains::{Chain, family};
use crate::nftables::element::{Element, Key, Place};
use crate::nftables::service::ServiceRules;
use crate::options::Options;

/// The rules of all Services in one family. Scripts are made from what changed since the last one.
pub struct Ruleset {
    options: Options,
    services: AHashMap<Arc<ServiceKey>, ServiceRules>,
    /// Who wants an element. Two Services may claim the same address and port; the first by name gets it.
    claims: AHashMap<Key, BTreeSet<Arc<ServiceKey>>>,
    /// Shared chains in the kernel. They stay: there are few of them, and they will be needed again.
    shared: BTreeSet<Chain>,
}

/// Changes as lines, in the order in which the kernel takes them.
#[derive(Default)]
struct Script {
    declarations: String,
    elements: Changes,
    rules: String,
    removals: String,
}

#[derive(Default)]
struct Changes {
    delete: BTreeMap<Place, Vec<String>>,
    add: BTreeMap<Place, Vec<String>>,
}

impl Ruleset {
    pub fn new(options: Options) -> Ruleset {
        Ruleset {
            options,
            services: AHashMap::new(),
            claims: AHashMap::new(),
            shared: BTreeSet::new(),
        }
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    /// A script that makes everything anew.
    pub fn full(&mut self) -> String {
        let mut script = Script::default();
        for chain in &self.shared {
            self.declare_shared(*chain, &mut script);
        }
        for rules in self.services.values() {
            self.declare_own(rules, None, &mut script);
        }
        for (key, claimants) in &self.claims {
            if let Some(element) = self.effective(key, claimants) {
                script
                    .elements
                    .add
                    .entry(key.place)
                    .or_default()
                    .push(element_text(element));
            }
        }
        format!("{}{}", base::script(&self.options), self.text(script))
    }

    /// Takes in changed Services (None: gone) and returns the script for them; empty if nothing is to be done.
    pub fn update(
        &mut self,
        changes: impl IntoIterator<Item = (ServiceKey, Option<ServiceRules>)>,
    ) -> String {
        let mut script = Script::default();
        // Effective values from before, for every element that is touched.
        let mut touched: AHashMap<Key, Option<Element>> = AHashMap::new();
        let mut removed_chains: BTreeSet<String> = BTreeSet::new();
        let mut removed_sets: BTreeSet<String> = BTreeSet::new();
        for (key, rules) in changes {
            let key = Arc::new(key);
            let old = self.services.remove(&key).unwrap_or_default();
            let new = rules.unwrap_or_default();
            if old == new {
                self.put(key, new);
                continue;
            }
            for element in old.elements.iter().chain(&new.elements) {
                if !touched.contains_key(&element.key) {
                    // The old rules are out of the table already.
                    let before = self.claims.get(&element.key).and_then(|claimants| {
                        let first = claimants.first()?;
                        if *first == key {
                            find(&old, &element.key)
                        } else {
                            self.lookup(first, &element.key)
                        }
                    });
                    touched.insert(element.key.clone(), before.cloned());
                }
            }
            for element in &old.elements {
                if let Some(claimants) = self.claims.get_mut(&element.key) {
                    claimants.remove(&key);
                    if claimants.is_empty() {
                        self.claims.remove(&element.key);
                    }
                }
            }
            for element in &new.elements {
                self.claims
                    .entry(element.key.clone())
                    .or_default()
                    .insert(key.clone());
            }
            for chain in new.shared.clone() {
                self.share(chain, &mut script);
            }
            self.declare_own(&new, Some(&old), &mut script);
            removed_chains.extend(
                old.chains
                    .keys()
                    .filter(|name| !new.chains.contains_key(*name))
                    .cloned(),
            );
            removed_sets.extend(
                old.sets
                    .keys()
                    .filter(|name| !new.sets.contains_key(*name))
                    .cloned(),
            );
            self.put(key, new);
        }
        for (key, before) in touched {
            let after = self
                .claims
                .get(&key)
                .and_then(|claimants| self.effective(&key, claimants));
            if before.as_ref() == after {
                continue;
            }
            if before.is_some() {
                script
                    .elements
                    .delete
                    .entry(key.place)
                    .or_default()
                    .push(key.text.to_string());
            }
            if let Some(element) = after {
                script
                    .elements
                    .add
                    .entry(key.place)
                    .or_default()
                    .push(element_text(element));
            }
        }
        let at = format!("{} {TABLE}", family(&self.options));
        for chain in &removed_chains {
            let _ = writeln!(script.rules, "flush chain {at} {chain}");
            let _ = writeln!(script.removals, "delete chain {at} {chain}");
        }
        for set in &removed_sets {
            let _ = writeln!(script.removals, "delete set {at} {set}");
        }
        self.text(script)
    }

    /// How many Services have rules.
    pub fn len(&self) -> usize {
        self.services.len()
    }

    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// Names of the Services that have rules.
    pub fn services(&self) -> AHashSet<ServiceKey> {
        self.services.keys().map(|key| (**key).clone()).collect()
    }

    fn put(&mut self, key: Arc<ServiceKey>, rules: ServiceRules) {
        if rules != ServiceRules::default() {
            self.services.insert(key, rules);
        }
    }

    fn lookup(&self, service: &Arc<ServiceKey>, key: &Key) -> Option<&Element> {
        self.services.get(service).and_then(|rules| find(rules, key))
    }

    fn effective(&self, key: &Key, claimants: &BTreeSet<Arc<ServiceKey>>) -> Option<&Element> {
        claimants.first().and_then(|first| self.lookup(first, key))
    }

    fn share(&mut self, chain: Chain, script: &mut Script) {
        if self.shared.contains(&chain) {
            return;
        }
        for needed in chain.needs() {
            self.share(needed, script);
        }
        self.declare_shared(chain, script);
        self.shared.insert(chain);
    }

    fn declare_shared(&self, chain: Chain, script: &mut Script) {
        let table = format!("{} {TABLE}", family(&self.options));
        if let Some((name, definition)) = chain.map(&self.options) {
            let _ = writeln!(script.declarations, "add map {table} {name} {{ {definition} ; }}");
        }
        let at = format!("{table} {}", chain.name());
        let _ = writeln!(script.declarations, "add chain {at}");
        for rule in chain.rules(&self.options) {
            let _ = writeln!(script.rules, "add rule {at} {rule}");
        }
    }

    fn declare_own(&self, new: &ServiceRules, old: Option<&ServiceRules>, script: &mut Script) {
        let at = format!("{} {TABLE}", family(&self.options));
        for (name, definition) in &new.sets {
            if old.and_then(|old| old.sets.get(name)) == Some(definition) {
                continue;
            }
            let _ = writeln!(script.declarations, "add set {at} {name} {{ {definition} ; }}");
        }
        for (name, lines) in &new.chains {
            let before = old.and_then(|old| old.chains.get(name));
            if before == Some(lines) {
                continue;
            }
            if before.is_none() {
                let _ = writeln!(script.declarations, "add chain {at} {name}");
            } else {
                let _ = writeln!(script.rules, "flush chain {at} {name}");
            }
            for line in lines {
                let _ = writeln!(script.rules, "add rule {at} {name} {line}");
            }
        }
    }

    fn text(&self, script: Script) -> String {
        let at = format!("{} {TABLE}", family(&self.options));
        let mut text = script.declarations;
        for (verb, changes) in [("delete", &script.elements.delete), ("add", &script.elements.add)] {
            for (place, elements) in changes {
                // Lines of bounded length keep nft's parser and memory in bounds.
                for some in elements.chunks(1000) {
                    let _ = writeln!(
                        text,
                        "{verb} element {at} {} {{ {} }}",
                        place.name(),
                        some.join(", ")
                    );
                }
            }
        }
        text.push_str(&script.rules);
        text.push_str(&script.removals);
        text
    }
}

fn find<'a>(rules: &'a ServiceRules, key: &Key) -> Option<&'a Element> {
    rules
        .elements
        .binary_search_by(|element| element.key.cmp(key))
        .ok()
        .map(|index| &rules.elements[index])
}

fn element_text(element: &Element) -> String {
    match &element.value {
        Some(value) => format!("{} : {value}", element.key.text),
        None => element.key.text.to_string(),
    }
}
