//! Who owns whom, by uid. Pure: changes go in, what has to be looked at comes out.

use ahash::{AHashMap, AHashSet};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::ObjectMeta;

pub const FOREGROUND: &str = "foregroundDeletion";
pub const ORPHAN: &str = "orphan";
/// How many uids that are known not to exist are remembered.
const ABSENT: usize = 500;

/// Where an object is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    pub api_version: String,
    pub kind: String,
    /// Empty for cluster-scoped objects.
    pub namespace: String,
    pub name: String,
    pub uid: String,
}

#[derive(Clone, Debug)]
pub struct Node {
    pub identity: Identity,
    pub owners: Vec<OwnerReference>,
    pub dependents: AHashSet<String>,
    /// Known only from a dependent's reference, not seen itself yet.
    pub is_virtual: bool,
    pub being_deleted: bool,
    /// Waits for its dependents to go first.
    pub deletes_dependents: bool,
}

/// What to look at after a change.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Effects {
    pub delete: Vec<Identity>,
    pub orphan: Vec<Identity>,
}

#[derive(Debug, Default)]
pub struct Graph {
    nodes: AHashMap<String, Node>,
    absent: AHashSet<String>,
}

impl Graph {
    pub fn get(&self, uid: &str) -> Option<&Node> {
        self.nodes.get(uid)
    }

    pub fn dependents(&self, uid: &str) -> Vec<&Node> {
        let Some(node) = self.nodes.get(uid) else {
            return Vec::new();
        };
        node.dependents
            .iter()
            .filter_map(|uid| self.nodes.get(uid))
            .collect()
    }

    /// Dependents that keep an owner from going before them.
    pub fn blocking_dependents(&self, uid: &str) -> Vec<&Node> {
        let blocks = |node: &&Node| {
            node.owners
                .iter()
                .any(|owner| owner.uid == uid && owner.block_owner_deletion == Some(true))
        };
        self.dependents(uid).into_iter().filter(blocks).collect()
    }

    pub fn is_absent(&self, uid: &str) -> bool {
        self.absent.contains(uid)
    }

    /// An object was found not to exist.
    pub fn note_absent(&mut self, uid: &str) {
        if self.absent.len() >= ABSENT {
            self.absent.clear();
        }
        self.absent.insert(uid.to_owned());
    }

    /// An object was added or changed.
    pub fn upsert(&mut self, identity: Identity, meta: &ObjectMeta) -> Effects {
        let mut effects = Effects::default();
        let uid = identity.uid.clone();
        let owners = meta.owner_references.clone().unwrap_or_default();
        let has = |finalizer: &str| meta.finalizers.iter().flatten().any(|own| own == finalizer);
        let deleting = meta.deletion_timestamp.is_some();
        let (before, was_foreground, was_deleting) = match self.nodes.get(&uid) {
            Some(node) => (
                node.owners.clone(),
                node.deletes_dependents,
                node.being_deleted && !node.is_virtual,
            ),
            None => (Vec::new(), false, false),
        };
        let known = self.nodes.contains_key(&uid);
        let node = self.nodes.entry(uid.clone()).or_insert_with(|| Node {
            identity: identity.clone(),
            owners: Vec::new(),
            dependents: AHashSet::new(),
            is_virtual: false,
            being_deleted: false,
            deletes_dependents: false,
        });
        node.identity = identity.clone();
        node.is_virtual = false;
        node.owners = owners.clone();
        node.being_deleted |= deleting;
        let foreground = deleting && has(FOREGROUND);
        node.deletes_dependents |= foreground;
        for owner in owners
            .iter()
            .filter(|owner| before.iter().all(|old| old.uid != owner.uid))
        {
            self.link(&identity, owner, &mut effects);
        }
        for old in &before {
            let now = owners.iter().find(|owner| owner.uid == old.uid);
            if now.is_none()
                && let Some(owner) = self.nodes.get_mut(&old.uid)
            {
                owner.dependents.remove(&uid);
            }
            // An owner that was blocked by this object may be free to go now.
            let unblocked = old.block_owner_deletion == Some(true)
                && now.is_none_or(|now| now.block_owner_deletion != Some(true));
            if unblocked
                && let Some(owner) = self.nodes.get(&old.uid)
                && owner.deletes_dependents
            {
                effects.delete.push(owner.identity.clone());
            }
        }
        if foreground && !was_foreground {
            effects
                .delete
                .extend(self.dependents(&uid).iter().map(|node| node.identity.clone()));
            effects.delete.push(identity.clone());
        }
        if deleting && has(ORPHAN) && !was_deleting {
            effects.orphan.push(identity);
        } else if !known && owners.iter().any(|owner| self.absent.contains(&owner.uid)) {
            // Its owner went before it was seen.
            effects.delete.push(identity);
        }
        effects
    }

    fn link(&mut self, dependent: &Identity, owner: &OwnerReference, effects: &mut Effects) {
        let node = self.nodes.entry(owner.uid.clone()).or_insert_with(|| {
            let identity = Identity {
                api_version: owner.api_version.clone(),
                kind: owner.kind.clone(),
                namespace: dependent.namespace.clone(),
                name: owner.name.clone(),
                uid: owner.uid.clone(),
            };
            // Nobody has seen the owner yet; looking at it tells whether it exists.
            effects.delete.push(identity.clone());
            Node {
                identity,
                owners: Vec::new(),
                dependents: AHashSet::new(),
                is_virtual: true,
                being_deleted: false,
                deletes_dependents: false,
            }
        });
        node.dependents.insert(dependent.uid.clone());
        let elsewhere = !node.is_virtual
            && !node.identity.namespace.is_empty()
            && node.identity.namespace != dependent.namespace;
        let mistaken =
            !node.is_virtual && (node.identity.kind != owner.kind || node.identity.name != owner.name);
        if elsewhere || mistaken || node.deletes_dependents {
            effects.delete.push(dependent.clone());
        }
    }

    /// An object has gone, or was found not to exist.
    pub fn remove(&mut self, uid: &str) -> Effects {
        let mut effects = Effects::default();
        let Some(node) = self.nodes.remove(uid) else {
            return effects;
        };
        if !node.dependents.is_empty() {
            self.note_absent(uid);
        }
        for dependent in &node.dependents {
            if let Some(dependent) = self.nodes.get(dependent) {
                effects.delete.push(dependent.identity.clone());
            }
        }
        for reference in &node.owners {
            let Some(owner) = self.nodes.get_mut(&reference.uid) else {
                continue;
            };
            owner.dependents.remove(uid);
            if owner.deletes_dependents {
                effects.delete.push(owner.identity.clone());
            } else if owner.is_virtual && owner.dependents.is_empty() {
                self.nodes.remove(&reference.uid);
            }
        }
        effects
    }

    /// Uids of the seen objects of a kind, to find out what is gone after a new list.
    pub fn seen_of(&self, api_version: &str, kind: &str) -> Vec<String> {
        let same = |node: &&Node| {
            !node.is_virtual && node.identity.api_version == api_version && node.identity.kind == kind
        };
        self.nodes
            .values()
            .filter(same)
            .map(|node| node.identity.uid.clone())
            .collect()
    }
}
