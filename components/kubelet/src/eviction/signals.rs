//! What is watched, and when there is too little of it: pure.

use std::collections::BTreeMap;
use std::time::Duration;

use component_config::kubelet::KubeletConfiguration;

use crate::pod::resources::parse;

/// Something that a node can run out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    Memory,
    /// Of what all pods may use together.
    AllocatableMemory,
    NodeFs,
    NodeFsInodes,
    ImageFs,
    ImageFsInodes,
    ContainerFs,
    ContainerFsInodes,
    Pids,
}

use Signal::*;

/// Names as in the configuration, and the resource that they are about.
const NAMES: [(Signal, &str, &str); 9] = [
    (Memory, "memory.available", "memory"),
    (AllocatableMemory, "allocatableMemory.available", "memory"),
    (NodeFs, "nodefs.available", "ephemeral-storage"),
    (NodeFsInodes, "nodefs.inodesFree", "inodes"),
    (ImageFs, "imagefs.available", "ephemeral-storage"),
    (ImageFsInodes, "imagefs.inodesFree", "inodes"),
    (ContainerFs, "containerfs.available", "ephemeral-storage"),
    (ContainerFsInodes, "containerfs.inodesFree", "inodes"),
    (Pids, "pid.available", "pids"),
];

impl Signal {
    fn find(name: &str) -> Option<Self> {
        NAMES
            .iter()
            .find(|(_, known, _)| *known == name)
            .map(|(signal, ..)| *signal)
    }

    fn row(self) -> (&'static str, &'static str) {
        NAMES
            .iter()
            .find(|(signal, ..)| *signal == self)
            .map_or(("", ""), |(_, name, resource)| (name, resource))
    }

    pub fn name(self) -> &'static str {
        self.row().0
    }

    pub fn resource(self) -> &'static str {
        self.row().1
    }

    pub fn is_disk(self) -> bool {
        matches!(self.resource(), "ephemeral-storage" | "inodes")
    }
}

/// How much there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    pub available: u64,
    pub capacity: u64,
}

pub type Observations = BTreeMap<Signal, Observation>;

/// A part of the capacity, or a number of bytes or pieces.
#[derive(Clone, Debug, PartialEq)]
pub enum Amount {
    Percent(f64),
    Absolute(u64),
}

impl Amount {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        match text.strip_suffix('%') {
            Some(percent) => percent
                .parse()
                .ok()
                .filter(|percent| (0.0..=100.0).contains(percent))
                .map(Amount::Percent),
            None => parse(text)
                .filter(|value| *value >= 0.0)
                .map(|value| Amount::Absolute(value as u64)),
        }
    }

    pub fn of(&self, capacity: u64) -> u64 {
        match self {
            Amount::Percent(percent) => (capacity as f64 * percent / 100.0) as u64,
            Amount::Absolute(value) => *value,
        }
    }
}

/// A limit below which something is done.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    pub signal: Signal,
    pub amount: Amount,
    /// How long it must be crossed before pods have to go; None is a hard one: at once.
    pub grace: Option<Duration>,
    /// What must be free beyond the limit before all is well again.
    pub reclaim: Option<Amount>,
}

impl Threshold {
    /// Whether too little is left; `recovering` when it was so before, which asks for more.
    pub fn is_crossed(&self, seen: Observation, recovering: bool) -> bool {
        let extra = match &self.reclaim {
            Some(reclaim) if recovering => reclaim.of(seen.capacity),
            _ => 0,
        };
        seen.available < self.amount.of(seen.capacity).saturating_add(extra)
    }
}

/// A setting that means nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    #[error("{setting}: {name:?} is not an eviction signal")]
    Signal { setting: &'static str, name: String },
    #[error("{setting}: {name}: {text:?} is neither a quantity nor a percentage")]
    Amount {
        setting: &'static str,
        name: String,
        text: String,
    },
    #[error("evictionSoftGracePeriod: {name}: {text:?} is not a duration")]
    Grace { name: String, text: String },
    #[error("evictionSoft: {name} has no grace period in evictionSoftGracePeriod")]
    NoGrace { name: String },
}

/// What eviction goes by.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub thresholds: Vec<Threshold>,
    /// Longest grace period of pods that a soft threshold evicts, in seconds; 0 is none.
    pub longest_grace: u64,
    /// How long a pressure is said to last after it was last seen.
    pub transition: Duration,
}

impl Settings {
    /// Reads the configuration's maps.
    pub fn read(configuration: &KubeletConfiguration) -> Result<Self, SettingsError> {
        let reclaim = amounts("evictionMinimumReclaim", &configuration.eviction_minimum_reclaim)?;
        let mut graces = BTreeMap::new();
        for (name, text) in &configuration.eviction_soft_grace_period {
            let setting = "evictionSoftGracePeriod";
            let signal = Signal::find(name).ok_or_else(|| SettingsError::Signal {
                setting,
                name: name.clone(),
            })?;
            let grace = component_config::flags::parse_duration(text).map_err(|_| SettingsError::Grace {
                name: name.clone(),
                text: text.clone(),
            })?;
            graces.insert(signal, grace);
        }
        let mut thresholds = Vec::new();
        for (signal, amount) in amounts("evictionHard", &configuration.eviction_hard)? {
            if is_off(&amount) {
                continue;
            }
            let threshold = Threshold {
                signal,
                amount,
                grace: None,
                reclaim: reclaim.get(&signal).cloned(),
            };
            if signal == Memory {
                thresholds.push(Threshold {
                    signal: AllocatableMemory,
                    ..threshold.clone()
                });
            }
            thresholds.push(threshold);
        }
        for (signal, amount) in amounts("evictionSoft", &configuration.eviction_soft)? {
            let no_grace = || SettingsError::NoGrace {
                name: signal.name().to_owned(),
            };
            let grace = Some(*graces.get(&signal).ok_or_else(no_grace)?);
            thresholds.push(Threshold {
                signal,
                amount,
                grace,
                reclaim: reclaim.get(&signal).cloned(),
            });
        }
        Ok(Self {
            thresholds,
            longest_grace: u64::try_from(configuration.eviction_max_pod_grace_period).unwrap_or(0),
            transition: configuration.eviction_pressure_transition_period.0,
        })
    }
}

/// 0 % and 100 % switch a threshold off.
fn is_off(amount: &Amount) -> bool {
    matches!(amount, Amount::Percent(percent) if *percent <= 0.0 || *percent >= 100.0)
}

fn amounts(
    setting: &'static str,
    map: &BTreeMap<String, String>,
) -> Result<BTreeMap<Signal, Amount>, SettingsError> {
    map.iter()
        .map(|(name, text)| {
            let signal = Signal::find(name).ok_or_else(|| SettingsError::Signal {
                setting,
                name: name.clone(),
            })?;
            let amount = Amount::read(text);
            let wrong = || SettingsError::Amount {
                setting,
                name: name.clone(),
                text: text.clone(),
            };
            Ok((signal, amount.ok_or_else(wrong)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn settings_become_thresholds() {
        let configuration = KubeletConfiguration {
            eviction_hard: map(&[("memory.available", "100Mi"), ("imagefs.available", "0%")]),
            eviction_soft: map(&[("nodefs.available", "15%")]),
            eviction_soft_grace_period: map(&[("nodefs.available", "1m30s")]),
            eviction_minimum_reclaim: map(&[("nodefs.available", "1Gi")]),
            ..KubeletConfiguration::default()
        };
        let settings = Settings::read(&configuration).unwrap();
        let memory = |signal| Threshold {
            signal,
            amount: Amount::Absolute(100 << 20),
            grace: None,
            reclaim: None,
        };
        let disk = Threshold {
            signal: NodeFs,
            amount: Amount::Percent(15.0),
            grace: Some(Duration::from_secs(90)),
            reclaim: Some(Amount::Absolute(1 << 30)),
        };
        assert_eq!(
            settings.thresholds,
            [memory(AllocatableMemory), memory(Memory), disk]
        );
    }

    #[test]
    fn what_means_nothing_is_refused_by_name() {
        for (hard, soft, want) in [
            (
                map(&[("memory", "1")]),
                map(&[]),
                "evictionHard: \"memory\" is not an eviction signal",
            ),
            (
                map(&[("memory.available", "lots")]),
                map(&[]),
                "evictionHard: memory.available: \"lots\" is neither a quantity nor a percentage",
            ),
            (
                map(&[]),
                map(&[("pid.available", "1")]),
                "evictionSoft: pid.available has no grace period in evictionSoftGracePeriod",
            ),
        ] {
            let configuration = KubeletConfiguration {
                eviction_hard: hard,
                eviction_soft: soft,
                ..KubeletConfiguration::default()
            };
            assert_eq!(Settings::read(&configuration).unwrap_err().to_string(), want);
        }
    }

    #[test]
    fn recovering_asks_for_more() {
        let threshold = Threshold {
            signal: NodeFs,
            amount: Amount::Percent(10.0),
            grace: None,
            reclaim: Some(Amount::Absolute(5)),
        };
        for (available, recovering, want) in [
            (9, false, true),
            (10, false, false),
            (12, true, true),
            (15, true, false),
        ] {
            assert_eq!(
                threshold.is_crossed(
                    Observation {
                        available,
                        capacity: 100
                    },
                    recovering
                ),
                want,
                "{available}"
            );
        }
    }
}
