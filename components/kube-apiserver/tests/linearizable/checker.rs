//! Whether a history of one register can be explained by operations that each happened at one instant between
//! their call and their answer.

use std::collections::{BTreeSet, HashSet};

/// A value, or that there is none.
pub type Value = Option<u64>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Read(Value),
    /// From one value to another, and whether the server did it.
    Change {
        from: Value,
        to: Value,
        done: bool,
    },
}

/// One call. What was never answered may have happened at any time after, or not at all.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    pub called: u64,
    pub answered: Option<u64>,
    pub kind: Kind,
}

impl Operation {
    /// The state after it happened in a state, if it can have.
    fn apply(&self, state: Value) -> Option<Value> {
        match self.kind {
            Kind::Read(seen) => (seen == state).then_some(state),
            Kind::Change { from, to, done: true } => (from == state).then_some(to),
            Kind::Change {
                from, done: false, ..
            } => (from != state).then_some(state),
        }
    }
}

/// A possible state, and which of the operations under way have happened in it.
type Possibility = (Value, BTreeSet<usize>);

/// The first answer that nothing explains, if there is one.
pub fn check(start: Value, operations: &[Operation]) -> Result<(), String> {
    // Calls before answers of the same instant: that allows more, never less.
    let mut events: Vec<(u64, bool, usize)> = Vec::new();
    for (number, operation) in operations.iter().enumerate() {
        events.push((operation.called, false, number));
        events.extend(operation.answered.map(|at| (at, true, number)));
    }
    events.sort_unstable();
    let mut possible: HashSet<Possibility> = HashSet::from([(start, BTreeSet::new())]);
    let mut under_way: BTreeSet<usize> = BTreeSet::new();
    for (_, is_answer, number) in events {
        if !is_answer {
            under_way.insert(number);
            continue;
        }
        possible = extended(possible, &under_way, operations)
            .into_iter()
            .filter_map(|(state, mut happened)| happened.remove(&number).then_some((state, happened)))
            .collect();
        under_way.remove(&number);
        if possible.is_empty() {
            return Err(format!("nothing explains {:?}", operations[number]));
        }
    }
    Ok(())
}

/// All that can have come of these by operations under way.
fn extended(
    from: HashSet<Possibility>,
    under_way: &BTreeSet<usize>,
    operations: &[Operation],
) -> HashSet<Possibility> {
    let mut all = from.clone();
    let mut work: Vec<Possibility> = from.into_iter().collect();
    while let Some((state, happened)) = work.pop() {
        for number in under_way.difference(&happened) {
            if let Some(next) = operations[*number].apply(state) {
                let mut happened = happened.clone();
                happened.insert(*number);
                let possibility = (next, happened);
                if all.insert(possibility.clone()) {
                    work.push(possibility);
                }
            }
        }
    }
    all
}

#[test]
fn histories_are_judged() {
    let read = |called, answered, seen| Operation {
        called,
        answered: Some(answered),
        kind: Kind::Read(seen),
    };
    let change = |called, answered, from, to, done| Operation {
        called,
        answered,
        kind: Kind::Change { from, to, done },
    };
    for (history, good) in [
        (
            vec![
                read(0, 1, None),
                change(2, Some(3), None, Some(1), true),
                read(4, 5, Some(1)),
            ],
            true,
        ),
        // A stale read.
        (
            vec![change(0, Some(1), None, Some(1), true), read(2, 3, None)],
            false,
        ),
        // Both may be seen while the write is under way, but not the old value after the new one.
        (
            vec![
                change(0, Some(9), None, Some(1), true),
                read(1, 2, None),
                read(3, 4, Some(1)),
            ],
            true,
        ),
        (
            vec![
                change(0, Some(9), None, Some(1), true),
                read(1, 2, Some(1)),
                read(3, 4, None),
            ],
            false,
        ),
        // A lost update.
        (
            vec![
                change(0, Some(1), None, Some(1), true),
                change(2, Some(5), Some(1), Some(2), true),
                change(2, Some(5), Some(1), Some(3), true),
            ],
            false,
        ),
        // Unanswered writes happen late or never.
        (
            vec![
                change(0, None, None, Some(1), true),
                read(2, 3, None),
                read(4, 5, Some(1)),
            ],
            true,
        ),
        (
            vec![
                change(0, None, None, Some(1), true),
                read(2, 3, None),
                read(4, 5, None),
            ],
            true,
        ),
        // Refused although the condition held all the time.
        (vec![change(0, Some(1), None, Some(1), false)], false),
    ] {
        assert_eq!(check(None, &history).is_ok(), good, "{history:?}");
    }
}
