//! Comparing a custom object with the one that it replaces: what is as it was is not held against an update. The time
//! that this takes is counted for the whole process, one observation for each checked update.

use cel::timing::Times;
use serde_json::Value;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// From 10 µs on, each four times the one before, to 2.6 s; upstream's.
const BOUNDS: [f64; 10] = [
    0.000_01, 0.000_04, 0.000_16, 0.000_64, 0.002_56, 0.010_24, 0.040_96, 0.163_84, 0.655_36, 2.621_44,
];

static COMPARISONS: Times = Times::new(&BOUNDS);

thread_local! {
    /// What the check that runs on this thread has compared so far; a check does not wait for anything.
    static SPENT: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// What comparing took.
pub fn comparisons() -> &'static Times {
    &COMPARISONS
}

/// Whether a value is the one that stood in its place.
pub(super) fn is_as_before(old: Option<&Value>, new: &Value) -> bool {
    let Some(old) = old else { return false };
    let began = Instant::now();
    let same = old == new;
    SPENT.set(SPENT.get() + began.elapsed());
    same
}

/// Runs the checks of an update, if it is one, and counts what its comparisons took.
pub(super) fn counted<T>(update: bool, check: impl FnOnce() -> T) -> T {
    if !update {
        return check();
    }
    SPENT.set(Duration::ZERO);
    let outcome = check();
    COMPARISONS.add(SPENT.take());
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_update_is_counted_once_however_much_it_compares() {
        let count = || comparisons().counts().sum::<u64>();
        let before = count();
        let value = json!({"a": [1, 2]});
        assert!(!counted(false, || is_as_before(None, &value)));
        assert!(counted(true, || {
            is_as_before(Some(&value), &value) && !is_as_before(Some(&json!(1)), &value)
        }));
        // Other tests of this process check updates meanwhile.
        assert!(count() > before);
    }
}
