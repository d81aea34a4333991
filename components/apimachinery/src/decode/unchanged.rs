//! What a change leaves as it was. To compare two pods takes as long as to check a small one, so it is done once.
use serde_json::Value;

/// Names of the maps and lists at the top of a changed object that are as before. Holds until one of them is changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unchanged(Vec<String>);

impl Unchanged {
    pub fn between(before: &Value, after: &Value) -> Self {
        let (Value::Object(before), Value::Object(after)) = (before, after) else {
            return Self::default();
        };
        let names = after.iter().filter(|(name, value)| {
            (value.is_object() || value.is_array()) && before.get(*name) == Some(value)
        });
        Self(names.map(|(name, _)| name.clone()).collect())
    }

    /// Whether the member is known to be as before; false says nothing.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|known| known == name)
    }

    /// Nothing is known of the member any more.
    pub fn forget(&mut self, name: &str) {
        self.0.retain(|known| known != name);
    }

    /// Lets `act` change `value`, which doesn't show it what stays: null stands there.
    pub fn apart<T>(&self, value: &mut Value, act: impl FnOnce(&mut Value) -> T) -> T {
        let mut stays: Vec<(String, Value)> = Vec::with_capacity(self.0.len());
        if let Value::Object(map) = &mut *value {
            for name in &self.0 {
                if let Some(member) = map.get_mut(name) {
                    stays.push((name.clone(), member.take()));
                }
            }
        }
        let outcome = act(value);
        if let Value::Object(map) = value {
            map.extend(stays);
        }
        outcome
    }
}
