//! How far the number of replicas may go at once: pure.

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::HPAScalingRules;

use super::history::{History, changed_within, within};

/// A condition's status, reason and message.
pub type Verdict = (bool, &'static str, &'static str);

/// The bounds of the autoscaler.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub current: i32,
    pub min: i32,
    pub max: i32,
}

/// Rules of both directions; each None without `behavior`.
pub struct Rules<'a> {
    pub up: Option<&'a HPAScalingRules>,
    pub down: Option<&'a HPAScalingRules>,
    /// Seconds, where the rules say nothing.
    pub down_window: i64,
}

fn window(rules: Option<&HPAScalingRules>, default: i64) -> i64 {
    rules
        .and_then(|rules| rules.stabilization_window_seconds)
        .map_or(default, i64::from)
}

/// The number that recent recommendations allow, with the verdict on AbleToScale.
pub fn stabilize(
    desired: i32,
    current: i32,
    rules: &Rules<'_>,
    history: &History,
    now: Timestamp,
) -> (i32, Verdict) {
    let recent = |seconds: i64| {
        history
            .recommendations
            .iter()
            .filter(move |(at, _)| within(*at, seconds, now))
            .map(|(_, number)| *number)
    };
    let lowest = recent(window(rules.up, 0)).fold(desired, i32::min);
    let highest = recent(window(rules.down, rules.down_window)).fold(desired, i32::max);
    // Between the two nothing changes.
    let stable = if current < lowest {
        lowest
    } else {
        current.min(highest)
    };
    let verdict = if stable == desired {
        (true, "ReadyForNewScale", "recommended size matches current size")
    } else if stable < desired {
        (
            true,
            "ScaleUpStabilized",
            "recent recommendations were lower than current one, applying the lowest recent recommendation",
        )
    } else {
        (
            true,
            "ScaleDownStabilized",
            "recent recommendations were higher than current one, applying the highest recent recommendation",
        )
    };
    (stable, verdict)
}

/// The number within the bounds and the rates, with the verdict on ScalingLimited.
pub fn limit(
    desired: i32,
    bounds: Bounds,
    rules: &Rules<'_>,
    history: &History,
    now: Timestamp,
) -> (i32, Verdict) {
    let Bounds { current, min, max } = bounds;
    let within_range = (
        false,
        "DesiredWithinRange",
        "the desired count is within the acceptable range",
    );
    if desired > current || (rules.up.is_none() && desired > max) {
        let rate = match rules.up {
            Some(up) => highest(current, up, history, now).max(current),
            // Without rules: twice as many, but four at least.
            None => current.saturating_mul(2).max(4),
        };
        let (most, reason, message) = if max > rate {
            (
                rate,
                "ScaleUpLimit",
                "the desired replica count is increasing faster than the maximum scale rate",
            )
        } else {
            (
                max,
                "TooManyReplicas",
                "the desired replica count is more than the maximum replica count",
            )
        };
        if desired > most {
            return (most, (true, reason, message));
        }
    }
    if desired < current || (rules.down.is_none() && desired < min) {
        let rate = rules
            .down
            .map_or(i32::MIN, |down| lowest(current, down, history, now).min(current));
        let (least, reason, message) = if min < rate {
            (
                rate,
                "ScaleDownLimit",
                "the desired replica count is decreasing faster than the maximum scale rate",
            )
        } else {
            (
                min,
                "TooFewReplicas",
                "the desired replica count is less than the minimum replica count",
            )
        };
        if desired < least {
            return (least, (true, reason, message));
        }
    }
    (desired, within_range)
}

/// The most replicas that the policies allow now.
fn highest(current: i32, rules: &HPAScalingRules, history: &History, now: Timestamp) -> i32 {
    if is_disabled(rules) {
        return current;
    }
    let proposals = rules.policies.iter().flatten().map(|policy| {
        let before = period_start(current, history, policy.period_seconds, now);
        match policy.type_.as_str() {
            "Pods" => before.saturating_add(policy.value),
            _ => (f64::from(before) * (1.0 + f64::from(policy.value) / 100.0)).ceil() as i32,
        }
    });
    match rules.select_policy.as_deref() {
        Some("Min") => proposals.min().unwrap_or(i32::MAX),
        _ => proposals.max().unwrap_or(i32::MIN),
    }
}

/// The fewest replicas that the policies allow now.
fn lowest(current: i32, rules: &HPAScalingRules, history: &History, now: Timestamp) -> i32 {
    if is_disabled(rules) {
        return current;
    }
    let proposals = rules.policies.iter().flatten().map(|policy| {
        let before = period_start(current, history, policy.period_seconds, now);
        match policy.type_.as_str() {
            "Pods" => before.saturating_sub(policy.value),
            _ => (f64::from(before) * (1.0 - f64::from(policy.value) / 100.0)) as i32,
        }
    });
    // Min is the smallest change, which for a decrease is the largest number.
    match rules.select_policy.as_deref() {
        Some("Min") => proposals.max().unwrap_or(i32::MIN),
        _ => proposals.min().unwrap_or(i32::MAX),
    }
}

fn is_disabled(rules: &HPAScalingRules) -> bool {
    rules.select_policy.as_deref() == Some("Disabled")
}

/// How many replicas there were when the period began.
fn period_start(current: i32, history: &History, seconds: i32, now: Timestamp) -> i32 {
    let added = changed_within(&history.increases, seconds, now);
    let removed = changed_within(&history.decreases, seconds, now);
    current.saturating_sub(added).saturating_add(removed)
}
