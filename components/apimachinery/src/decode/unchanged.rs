//! What a change leaves as it was. To compare two pods takes as long as to check a small one, so it is done once.
use serde_json::Value;

/// Names of the maps and lists at the top of a changed object that are as before. Holds until one of them is changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unchanged(Vec<String>);

/// Of others it is known at a look.
fn is_noted(value: &Value) -> bool {
    value.is_object() || value.is_array()
}

impl Unchanged {
    pub fn between(before: &Value, after: &Value) -> Self {
        Self::beside(before, after, |_| true)
    }

    /// What of an object is known to stay by its name.
    pub fn all_of(object: &Value, stays: impl Fn(&str) -> bool) -> Self {
        let members = object.as_object().into_iter().flatten();
        let known = members.filter(|(name, value)| is_noted(value) && stays(name));
        Self(known.map(|(name, _)| name.clone()).collect())
    }

    /// The same of what was made of a copy by changing no members but those named, if any: the others need no look.
    pub fn beside(before: &Value, after: &Value, named: impl Fn(&str) -> bool) -> Self {
        let (Value::Object(before), Value::Object(after)) = (before, after) else {
            return Self::default();
        };
        let same = |(name, value): &(&String, &Value)| {
            is_noted(value) && (!named(name) || before.get(*name) == Some(*value))
        };
        Self(after.iter().filter(same).map(|(name, _)| name.clone()).collect())
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The member has become what it was before.
    pub fn note(&mut self, name: &str, value: &Value) {
        if is_noted(value) && !self.has(name) {
            self.0.push(name.to_owned());
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_patch_does_not_name_is_as_before() {
        let before = json!({"kind": "A", "metadata": {"name": "x"}, "spec": {"a": 1}, "status": {"b": 2}});
        let after =
            json!({"kind": "A", "metadata": {"name": "x"}, "spec": {"a": 2}, "status": {"b": 2}, "new": {}});
        let named = |name: &str| matches!(name, "metadata" | "spec" | "new");
        let known = Unchanged::beside(&before, &after, named);
        assert_eq!(known, Unchanged::between(&before, &after));
        assert!(known.has("metadata") && known.has("status"));
        assert!(!known.has("spec") && !known.has("new") && !known.has("kind"));
    }

    #[test]
    fn what_became_what_it_was_is_known_once() {
        let mut known = Unchanged::default();
        assert!(known.is_empty());
        for value in [json!({}), json!([1]), Value::Null, json!("x")] {
            known.note(if value.is_string() { "text" } else { "status" }, &value);
        }
        assert_eq!(known, Unchanged(vec!["status".to_owned()]));
    }
}
