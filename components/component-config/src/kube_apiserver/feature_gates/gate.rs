//! A feature gate through the versions.

use crate::versions::Version;

/// How finished a feature is; the words are those of upstream's metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Alpha,
    Beta,
    Stable,
    Deprecated,
}

impl Stage {
    pub fn name(self) -> &'static str {
        match self {
            Self::Alpha => "ALPHA",
            Self::Beta => "BETA",
            Self::Stable => "",
            Self::Deprecated => "DEPRECATED",
        }
    }
}

/// What a gate is in one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    pub stage: Stage,
    pub default: bool,
    /// Whether it can't be set to anything else.
    pub locked: bool,
}

pub(super) const fn on(stage: Stage) -> Spec {
    spec(stage, true, false)
}

pub(super) const fn off(stage: Stage) -> Spec {
    spec(stage, false, false)
}

pub(super) const fn locked_on(stage: Stage) -> Spec {
    spec(stage, true, true)
}

pub(super) const fn locked_off(stage: Stage) -> Spec {
    spec(stage, false, true)
}

const fn spec(stage: Stage, default: bool, locked: bool) -> Spec {
    Spec {
        stage,
        default,
        locked,
    }
}

/// What a gate was from a version on.
#[derive(Clone, Copy, Debug)]
pub(super) enum History {
    Always(Spec),
    /// Minors of version 1, the oldest first.
    Since(&'static [(u32, Spec)]),
}

/// One gate.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    pub name: &'static str,
    pub(super) history: History,
}

impl Gate {
    /// One that is the same in all versions that can be emulated.
    pub(super) const fn always(name: &'static str, spec: Spec) -> Self {
        Self {
            name,
            history: History::Always(spec),
        }
    }

    pub(super) const fn new(name: &'static str, since: &'static [(u32, Spec)]) -> Self {
        Self {
            name,
            history: History::Since(since),
        }
    }

    /// What the gate is in `version`; `None` before there was one.
    pub fn at(&self, version: Version) -> Option<Spec> {
        match self.history {
            History::Always(spec) => Some(spec),
            History::Since(since) => since
                .iter()
                .rev()
                .find(|(minor, _)| Version::new(1, *minor) <= version)
                .map(|(_, spec)| *spec),
        }
    }
}
