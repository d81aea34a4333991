//! Changes of the graph, timed under upstream's name.

use super::graph::Kind;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use std::time::Duration;
use storage::metrics::AtomicHistogram;

/// Upstream's, from 0.1 ms to 0.2 s.
const DURATIONS: [f64; 12] = [
    0.0001, 0.0002, 0.0004, 0.0008, 0.0016, 0.0032, 0.0064, 0.0128, 0.0256, 0.0512, 0.1024, 0.2048,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    operation: &'static str,
}

const OPERATIONS: [&str; 8] = [
    "AddPod",
    "DeletePod",
    "AddPV",
    "DeletePV",
    "AddVolumeAttachment",
    "DeleteVolumeAttachment",
    "AddResourceSlice",
    "DeleteResourceSlice",
];

type Durations = Family<OperationLabels, AtomicHistogram, fn() -> AtomicHistogram>;

#[derive(Debug)]
pub struct Actions {
    family: Durations,
    /// One for each of [`OPERATIONS`].
    durations: [AtomicHistogram; OPERATIONS.len()],
}

impl Default for Actions {
    fn default() -> Self {
        let family = Durations::new_with_constructor(|| AtomicHistogram::new(&DURATIONS));
        let durations =
            OPERATIONS.map(|operation| family.get_or_create_owned(&OperationLabels { operation }));
        Self { family, durations }
    }
}

impl Actions {
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "node_authorizer_graph_actions_duration_seconds",
            "Time to change what is known of nodes and the objects that they need",
            self.family.clone(),
        );
    }

    /// An object of one of the kinds came into the graph, or went.
    pub fn done(&self, kind: Kind, gone: bool, elapsed: Duration) {
        let first = match kind {
            Kind::Volume => 2,
            Kind::Attachment => 4,
            Kind::Slice => 6,
            _ => 0,
        };
        self.durations[first + usize::from(gone)].observe(elapsed.as_secs_f64());
    }
}
