//! Paths to fields, through lists and maps.
use serde_json::Value;

/// One step of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Field(&'static str),
    /// Each of a list's items.
    Items,
    /// Each of a map's values.
    Values,
    /// Each of several fields.
    OneOf(&'static [&'static str]),
}

/// Lists of containers in the spec of a pod, and of what its status says about them.
pub(super) const CONTAINERS: &[&str] = &["containers", "initContainers", "ephemeralContainers"];
const STATUSES: &[&str] = &[
    "containerStatuses",
    "initContainerStatuses",
    "ephemeralContainerStatuses",
];

/// A path such as `volumes[].projected.sources[].podCertificate`, in which `[]` stands for each of a list, `{}` for each of a map,
/// and `*containers` and `*statuses` for each of the lists of containers and of their statuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path(Vec<Step>);

impl Path {
    pub(super) fn parse(text: &'static str) -> Self {
        let mut steps = Vec::new();
        for part in text.split('.') {
            let (name, each) = match part {
                "*containers" => {
                    steps.extend([Step::OneOf(CONTAINERS), Step::Items]);
                    continue;
                }
                "*statuses" => {
                    steps.extend([Step::OneOf(STATUSES), Step::Items]);
                    continue;
                }
                part => match (part.strip_suffix("[]"), part.strip_suffix("{}")) {
                    (Some(name), _) => (name, Some(Step::Items)),
                    (_, Some(name)) => (name, Some(Step::Values)),
                    _ => (part, None),
                },
            };
            steps.push(Step::Field(name));
            steps.extend(each);
        }
        Self(steps)
    }

    /// Whether something is there: neither null nor an empty list.
    pub(super) fn is_in(&self, value: &Value) -> bool {
        is_in(&self.0, value)
    }

    /// Removes the field wherever it is. Tells whether there was one.
    pub(super) fn remove_from(&self, value: &mut Value) -> bool {
        match self.0.split_last() {
            Some((Step::Field(name), parents)) => remove(parents, name, value),
            _ => false,
        }
    }
}

fn is_in(steps: &[Step], value: &Value) -> bool {
    let Some((step, rest)) = steps.split_first() else {
        return match value {
            Value::Null => false,
            Value::Array(items) => !items.is_empty(),
            _ => true,
        };
    };
    match step {
        Step::Field(name) => value.get(*name).is_some_and(|value| is_in(rest, value)),
        Step::OneOf(names) => names
            .iter()
            .any(|name| value.get(*name).is_some_and(|value| is_in(rest, value))),
        Step::Items => value
            .as_array()
            .is_some_and(|items| items.iter().any(|item| is_in(rest, item))),
        Step::Values => value
            .as_object()
            .is_some_and(|map| map.values().any(|value| is_in(rest, value))),
    }
}

fn remove(parents: &[Step], name: &str, value: &mut Value) -> bool {
    let Some((step, rest)) = parents.split_first() else {
        return value
            .as_object_mut()
            .is_some_and(|map| map.remove(name).is_some());
    };
    let mut gone = false;
    let mut each = |value: &mut Value| gone |= remove(rest, name, value);
    match step {
        Step::Field(field) => value.get_mut(*field).into_iter().for_each(&mut each),
        Step::OneOf(fields) => {
            for field in *fields {
                value.get_mut(*field).into_iter().for_each(&mut each);
            }
        }
        Step::Items => value.as_array_mut().into_iter().flatten().for_each(&mut each),
        Step::Values => {
            let map = value.as_object_mut().into_iter().flatten();
            map.for_each(|(_, value)| each(value));
        }
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_are_found_and_removed_in_lists_and_maps() {
        for (path, object, left) in [
            ("a.b", json!({"a": {"b": 1, "c": 2}}), json!({"a": {"c": 2}})),
            ("a[].b", json!({"a": [{"b": 1}, {}]}), json!({"a": [{}, {}]})),
            (
                "a{}.b",
                json!({"a": {"x": {"b": false}}}),
                json!({"a": {"x": {}}}),
            ),
            (
                "*containers.b",
                json!({"containers": [{"b": 1}], "initContainers": [{"b": 1}]}),
                json!({"containers": [{}], "initContainers": [{}]}),
            ),
        ] {
            let path = Path::parse(path);
            let mut changed = object.clone();
            assert!(path.is_in(&object), "{path:?}");
            assert!(path.remove_from(&mut changed), "{path:?}");
            assert_eq!(changed, left);
            assert!(!path.is_in(&changed), "{path:?}");
            assert!(!path.remove_from(&mut changed), "{path:?}");
        }
        for empty in [json!({}), json!({"a": null}), json!({"a": []})] {
            assert!(!Path::parse("a").is_in(&empty), "{empty}");
        }
        assert!(!Path::parse("a{}").is_in(&json!({"a": {}})));
        assert!(Path::parse("a{}").is_in(&json!({"a": {"cpu": "1"}})));
    }
}
