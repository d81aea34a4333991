//! From measurements to a number of replicas: pure.

use std::collections::BTreeMap;

use super::groups::{Groups, PodMetric, PodMetrics};

/// By how much the use may differ from the target before anything is changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerances {
    pub up: f64,
    pub down: f64,
}

impl Tolerances {
    pub fn allow(self, ratio: f64) -> bool {
        (1.0 - self.down..=1.0 + self.up).contains(&ratio)
    }
}

/// What the pods should use: a share of what they request, in percent, or a value, in thousandths.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    Utilization {
        percent: i64,
        requests: BTreeMap<String, i64>,
    },
    Average(i64),
}

/// The wanted number, and what was measured: percent (of a utilization only) and the average value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub replicas: i32,
    pub percent: Option<i64>,
    pub average: i64,
}

struct Use {
    ratio: f64,
    percent: Option<i64>,
    average: i64,
}

fn ratio_of(metrics: &PodMetrics, target: &Target) -> Result<Use, String> {
    let total: i64 = metrics.values().map(|metric| metric.value).sum();
    match target {
        Target::Average(value) => {
            let average = total / i64::try_from(metrics.len()).unwrap_or(1).max(1);
            Ok(Use {
                ratio: average as f64 / *value as f64,
                percent: None,
                average,
            })
        }
        Target::Utilization { percent, requests } => {
            let known: Vec<(i64, i64)> = metrics
                .iter()
                .filter_map(|(name, metric)| Some((metric.value, *requests.get(name)?)))
                .collect();
            let used: i64 = known.iter().map(|(value, _)| value).sum();
            let requested: i64 = known.iter().map(|(_, request)| request).sum();
            if requested == 0 {
                return Err("no metrics returned matched known pods".to_owned());
            }
            let current = used.saturating_mul(100) / requested;
            Ok(Use {
                ratio: current as f64 / *percent as f64,
                percent: Some(current),
                average: used / i64::try_from(known.len()).unwrap_or(1),
            })
        }
    }
}

/// For metrics that each pod has. Pods that could not be measured are taken to be such that they dampen the change:
/// idle when more pods seem needed, at their target when fewer do.
pub fn of_pods(
    current: i32,
    target: &Target,
    tolerances: Tolerances,
    groups: &Groups,
    mut metrics: PodMetrics,
) -> Result<Outcome, String> {
    metrics.retain(|name, _| !groups.ignored.contains(name) && !groups.unready.contains(name));
    if metrics.is_empty() {
        return Err("did not receive metrics for targeted pods (pods might be unready)".to_owned());
    }
    let measured = ratio_of(&metrics, target)?;
    let keep = |replicas| {
        Ok(Outcome {
            replicas,
            percent: measured.percent,
            average: measured.average,
        })
    };
    let unready_count = !groups.unready.is_empty() && measured.ratio > 1.0;
    if !unready_count && groups.missing.is_empty() {
        if tolerances.allow(measured.ratio) {
            return keep(current);
        }
        return keep(ceil(measured.ratio * groups.ready as f64));
    }
    let guess = |value: i64| PodMetric {
        value,
        at: jiff::Timestamp::UNIX_EPOCH,
        window: std::time::Duration::ZERO,
    };
    for name in &groups.missing {
        if measured.ratio < 1.0 {
            let value = match target {
                Target::Average(value) => *value,
                // A pod may be meant to use more than it requests.
                Target::Utilization { percent, requests } => requests
                    .get(name)
                    .map_or(0, |request| request * (*percent).max(100) / 100),
            };
            metrics.insert(name.clone(), guess(value));
        } else if measured.ratio > 1.0 {
            metrics.insert(name.clone(), guess(0));
        }
    }
    if unready_count {
        metrics.extend(groups.unready.iter().map(|name| (name.clone(), guess(0))));
    }
    let dampened = ratio_of(&metrics, target)?.ratio;
    let turned = (measured.ratio < 1.0 && dampened > 1.0) || (measured.ratio > 1.0 && dampened < 1.0);
    if tolerances.allow(dampened) || turned {
        return keep(current);
    }
    let wanted = ceil(dampened * metrics.len() as f64);
    let backwards = (dampened < 1.0 && wanted > current) || (dampened > 1.0 && wanted < current);
    keep(if backwards { current } else { wanted })
}

/// For one value that stands for all pods together; `ready` are the pods that bring it about.
pub fn of_value(current: i32, used: i64, target: i64, tolerances: Tolerances, ready: usize) -> i32 {
    let ratio = used as f64 / target as f64;
    match current {
        0 => ceil(ratio),
        _ if tolerances.allow(ratio) => current,
        _ => ceil(ratio * ready as f64),
    }
}

/// For one value that is shared by the pods, of which each should have `target`: the number and the present share.
pub fn of_shared_value(current: i32, used: i64, target: i64, tolerances: Tolerances) -> (i32, i64) {
    let ratio = used as f64 / (target as f64 * f64::from(current));
    let wanted = if current != 0 && tolerances.allow(ratio) {
        current
    } else {
        ceil(used as f64 / target as f64)
    };
    let share = if current > 0 {
        (used as f64 / f64::from(current)).ceil() as i64
    } else {
        0
    };
    (wanted, share)
}

fn ceil(number: f64) -> i32 {
    // Saturates; a NaN, which there would be for a target of nothing, is none.
    number.ceil() as i32
}
