//! What the probes of a pod's containers have found, by container ID.

use std::collections::HashMap;

/// The three kinds of probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProbeKind {
    Startup,
    Liveness,
    Readiness,
}

impl ProbeKind {
    /// As it stands in messages.
    pub fn word(self) -> &'static str {
        match self {
            ProbeKind::Startup => "Startup",
            ProbeKind::Liveness => "Liveness",
            ProbeKind::Readiness => "Readiness",
        }
    }
}

/// Results of one container instance; None until a threshold was reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProbeResults {
    pub started: Option<bool>,
    pub alive: Option<bool>,
    pub ready: Option<bool>,
}

/// Results by container ID.
pub type ProbeTable = HashMap<String, ProbeResults>;

impl ProbeResults {
    pub fn set(&mut self, kind: ProbeKind, success: bool) {
        match kind {
            ProbeKind::Startup => self.started = Some(success),
            ProbeKind::Liveness => self.alive = Some(success),
            ProbeKind::Readiness => self.ready = Some(success),
        }
    }
}
