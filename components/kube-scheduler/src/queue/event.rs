//! What can happen in the cluster that lets a waiting pod fit.

use crate::model::{Node, Pod};

pub enum ClusterEvent<'a> {
    NodeAdded(&'a Node),
    NodeChanged {
        old: &'a Node,
        new: &'a Node,
    },
    NodeGone(&'a Node),
    /// A pod got a node.
    PodPlaced(&'a Pod),
    /// A pod on a node was changed.
    PodChanged {
        old: &'a Pod,
        new: &'a Pod,
    },
    /// A pod left its node.
    PodGone(&'a Pod),
    /// Claims, volumes, classes or attach limits.
    Storage,
    /// Labels of a namespace.
    Namespace,
}
