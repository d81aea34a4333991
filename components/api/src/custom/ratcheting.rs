//! Comparing a custom object with the one that it replaces: what is as it was is not held against an update. The time
//! that this takes is counted for the whole process, one observation for each checked update.

use super::schema::{ListType, Schema};
use cel::timing::Times;
use serde_json::Value;
use std::cell::{Cell, OnceCell};
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

/// Whether a value is as the one that stood in its place was. As upstream has it, an object of which the schema doesn't tell all
/// that is in it never is, and a list whose elements have keys may have them in another order.
pub(super) fn is_as_before(schema: &Schema, old: Option<&Value>, new: &Value) -> bool {
    let Some(old) = old else { return false };
    let began = Instant::now();
    let same = is_same(schema, old, new);
    SPENT.set(SPENT.get() + began.elapsed());
    same
}

fn is_same(schema: &Schema, old: &Value, new: &Value) -> bool {
    match (old, new, &schema.list_type) {
        (Value::Object(old), Value::Object(new), _) => {
            old.len() == new.len()
                && new
                    .iter()
                    .all(|(key, new)| match (old.get(key), schema.below(key)) {
                        (Some(old), Some(below)) => is_same(below, old, new),
                        _ => false,
                    })
        }
        (Value::Array(former), Value::Array(items), ListType::Map(_)) => {
            let Some(below) = &schema.items else {
                return former.is_empty() && items.is_empty();
            };
            // Nearly always they are where they were; of elements that had a key twice upstream takes the first.
            former.len() == items.len()
                && (former
                    .iter()
                    .zip(items)
                    .all(|(old, new)| is_same(below, old, new))
                    || {
                        let former = schema.former(Some(old));
                        items
                            .iter()
                            .all(|new| former.of(schema, new).is_some_and(|old| is_same(below, old, new)))
                    })
        }
        _ => old == new,
    }
}

/// A value and the one that stood in its place, which are compared when that is first asked for.
pub(super) struct Pair<'v> {
    schema: &'v Schema,
    old: &'v Value,
    new: &'v Value,
    same: OnceCell<bool>,
}

impl<'v> Pair<'v> {
    pub(super) fn new(schema: &'v Schema, old: &'v Value, new: &'v Value) -> Self {
        Self {
            schema,
            old,
            new,
            same: OnceCell::new(),
        }
    }

    fn is_same(&self) -> bool {
        *self
            .same
            .get_or_init(|| is_as_before(self.schema, Some(self.old), self.new))
    }
}

/// What a value in an object is compared with, to know whether it is held against an update.
#[derive(Clone, Copy, Default)]
pub(super) struct Correlation<'p> {
    /// The value itself and what stood in its place, if that can be told.
    own: Option<&'p Pair<'p>>,
    /// The nearest values around it of which it can be told.
    around: Option<&'p Pair<'p>>,
}

impl<'p> Correlation<'p> {
    /// That of a whole object.
    pub(super) fn of(pair: Option<&'p Pair<'p>>) -> Self {
        Self {
            own: pair,
            around: None,
        }
    }

    /// What stood in the place of something in this value, if a comparison with that is of any use.
    pub(super) fn pair<'v>(
        self,
        schema: &'v Schema,
        old: Option<&'v Value>,
        new: &'v Value,
    ) -> Option<Pair<'v>> {
        self.own.and(old).map(|old| Pair::new(schema, old, new))
    }

    /// The correlation of something in this value.
    pub(super) fn inside(self, pair: Option<&'p Pair<'p>>) -> Self {
        match self.own {
            None => self,
            around => Self { own: pair, around },
        }
    }

    /// The correlation of a field of this value. The kind and version of the whole object are never as before: an update can't
    /// show that it changes them.
    pub(super) fn field(self, name: &str, pair: Option<&'p Pair<'p>>) -> Self {
        if self.own.is_some() && self.around.is_none() && matches!(name, "apiVersion" | "kind") {
            return Self::default();
        }
        self.inside(pair)
    }

    /// Whether the value, or what it is a part of, is as before.
    pub(super) fn lets_through(self) -> bool {
        self.own.or(self.around).is_some_and(Pair::is_same)
    }
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
        let (schema, value) = (Schema::default(), json!([1, 2]));
        assert!(!counted(false, || is_as_before(&schema, None, &value)));
        assert!(counted(true, || {
            is_as_before(&schema, Some(&value), &value) && !is_as_before(&schema, Some(&json!(1)), &value)
        }));
        // Other tests of this process check updates meanwhile.
        assert!(count() > before);
    }

    #[test]
    fn objects_are_as_before_if_their_schemas_tell_all_that_is_in_them() {
        let schema = Schema::parse(&json!({"type": "object", "properties": {
            "a": {"type": "integer"},
            "map": {"type": "object", "additionalProperties": {"type": "integer"}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "list": {"type": "array", "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            "keyed": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": {
                "type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "integer"}},
            }},
        }}));
        for (old, new, same) in [
            (
                json!({"a": 1, "map": {"x": 1}}),
                json!({"a": 1, "map": {"x": 1}}),
                true,
            ),
            (json!({"a": 1}), json!({"a": 2}), false),
            (json!({"a": 1}), json!({"a": 1, "map": {}}), false),
            (json!({"free": {}}), json!({"free": {}}), true),
            (json!({"free": {"x": 1}}), json!({"free": {"x": 1}}), false),
            (json!({"list": [{"x": 1}]}), json!({"list": [{"x": 1}]}), true),
            (
                json!({"list": [{}, {"x": 1}]}),
                json!({"list": [{"x": 1}, {}]}),
                false,
            ),
            (
                json!({"keyed": [{"k": "a"}, {"k": "b", "v": 1}]}),
                json!({"keyed": [{"k": "b", "v": 1}, {"k": "a"}]}),
                true,
            ),
            (
                json!({"keyed": [{"k": "a"}, {"k": "b", "v": 1}]}),
                json!({"keyed": [{"k": "b", "v": 2}, {"k": "a"}]}),
                false,
            ),
            (json!({"keyed": []}), json!({"keyed": []}), true),
            (json!({"keyed": [{"k": "a"}]}), json!({"keyed": []}), false),
        ] {
            assert_eq!(is_as_before(&schema, Some(&old), &new), same, "{old} {new}");
        }
    }
}
