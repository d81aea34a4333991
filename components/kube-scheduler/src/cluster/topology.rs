//! Topology keys with the values of each node numbered densely.

use ahash::AHashMap;

use super::nodes::NodeSlot;
use crate::model::selector::Labels;

/// A topology key that some pod has asked about.
pub type KeyId = usize;
/// A value of a topology key.
pub type Domain = u32;
/// The domain of a node that lacks the key.
pub const NO_DOMAIN: Domain = Domain::MAX;

#[derive(Default)]
pub struct Topology {
    ids: AHashMap<String, KeyId>,
    rows: Vec<Row>,
}

/// One key: the domain of every node slot, and the number of nodes in every domain.
#[derive(Default)]
pub struct Row {
    pub key: String,
    pub of_node: Vec<Domain>,
    pub nodes_in: Vec<u32>,
    /// Nodes that have the key.
    pub nodes_with_key: usize,
    values: AHashMap<String, Domain>,
    names: Vec<String>,
    free: Vec<Domain>,
}

impl Row {
    pub fn domain(&self, node: NodeSlot) -> Domain {
        self.of_node.get(node as usize).copied().unwrap_or(NO_DOMAIN)
    }

    /// One more than the largest domain number.
    pub fn domain_limit(&self) -> usize {
        self.nodes_in.len()
    }

    fn put(&mut self, node: NodeSlot, value: Option<&String>) {
        let node = node as usize;
        if self.of_node.len() <= node {
            self.of_node.resize(node + 1, NO_DOMAIN);
        }
        let old = std::mem::replace(&mut self.of_node[node], NO_DOMAIN);
        if old != NO_DOMAIN {
            self.nodes_in[old as usize] -= 1;
            self.nodes_with_key -= 1;
            if self.nodes_in[old as usize] == 0 {
                self.values.remove(&self.names[old as usize]);
                self.free.push(old);
            }
        }
        let Some(value) = value else { return };
        let domain = match self.values.get(value) {
            Some(domain) => *domain,
            None => {
                let domain = match self.free.pop() {
                    Some(domain) => {
                        self.names[domain as usize].clone_from(value);
                        domain
                    }
                    None => {
                        self.names.push(value.clone());
                        self.nodes_in.push(0);
                        (self.names.len() - 1) as Domain
                    }
                };
                self.values.insert(value.clone(), domain);
                domain
            }
        };
        self.nodes_in[domain as usize] += 1;
        self.nodes_with_key += 1;
        self.of_node[node] = domain;
    }
}

impl Topology {
    /// The number of the key, numbering the nodes' values when it is new.
    pub fn key<'n>(&mut self, key: &str, nodes: impl Iterator<Item = (NodeSlot, &'n Labels)>) -> KeyId {
        if let Some(id) = self.ids.get(key) {
            return *id;
        }
        let mut row = Row {
            key: key.to_owned(),
            ..Row::default()
        };
        for (node, labels) in nodes {
            row.put(node, labels.get(key));
        }
        self.rows.push(row);
        self.ids.insert(key.to_owned(), self.rows.len() - 1);
        self.rows.len() - 1
    }

    pub fn row(&self, key: KeyId) -> &Row {
        &self.rows[key]
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Moves the node to the domain its labels say; None takes it out of all. Returns (old, new).
    pub(super) fn place(&mut self, key: KeyId, node: NodeSlot, labels: Option<&Labels>) -> (Domain, Domain) {
        let row = &mut self.rows[key];
        let old = row.domain(node);
        let value = labels.and_then(|labels| labels.get(&row.key)).cloned();
        if old != NO_DOMAIN && value.as_ref() == Some(&row.names[old as usize]) {
            return (old, old);
        }
        row.put(node, value.as_ref());
        (old, row.domain(node))
    }
}
