//! Discovery of several servers as one. What all have is told once; what some have is put where they have it.

use super::documents::{name, versions};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Merges lists of APIGroupDiscovery. Where servers tell different things of one resource, verbs and subresources are those
/// of any, and all else is as the first has it.
pub fn groups(lists: &[&[Value]]) -> Vec<Value> {
    merged(lists, name, |a, b| {
        let merged = merged(
            &[versions(a), versions(b)],
            |entry| text(entry, "version"),
            version,
        );
        with(a, "versions", merged)
    })
}

/// Two APIVersionDiscovery.
fn version(a: &Value, b: &Value) -> Value {
    let (of_a, of_b) = (array(a, "resources"), array(b, "resources"));
    let merged = merged(&[of_a, of_b], |entry| text(entry, "resource"), resource);
    with(a, "resources", merged)
}

/// Two APIResourceDiscovery.
fn resource(a: &Value, b: &Value) -> Value {
    let union = |field: &str, key: fn(&Value) -> &str| -> Vec<Value> {
        let all = array(b, field).iter().chain(array(a, field));
        let by_key: BTreeMap<&str, &Value> = all.map(|entry| (key(entry), entry)).collect();
        by_key.into_values().cloned().collect()
    };
    let verbs = union("verbs", |verb| verb.as_str().unwrap_or_default());
    let subresources = union("subresources", |entry| text(entry, "subresource"));
    with(&with(a, "verbs", verbs), "subresources", subresources)
}

/// The entries of all lists, each key once, in an order that is right for each list.
fn merged(
    lists: &[&[Value]],
    key: impl Fn(&Value) -> &str,
    both: impl Fn(&Value, &Value) -> Value,
) -> Vec<Value> {
    let mut entries: HashMap<&str, Value> = HashMap::new();
    for entry in lists.iter().copied().flatten() {
        let told = entries.entry(key(entry)).or_insert_with(|| entry.clone());
        if told != entry {
            *told = both(told, entry);
        }
    }
    let keys: Vec<Vec<&str>> = lists.iter().map(|list| list.iter().map(&key).collect()).collect();
    let ordered = order(&keys);
    ordered
        .into_iter()
        .filter_map(|key| entries.remove(key))
        .collect()
}

/// All that is in some list. What comes before another thing in a list does so in the result; where no list says, it goes
/// by the alphabet. Lists that contradict each other are followed as far as one can.
fn order<'a>(lists: &[Vec<&'a str>]) -> Vec<&'a str> {
    let all: BTreeSet<&str> = lists.iter().flatten().copied().collect();
    let is_whole =
        |list: &&Vec<&str>| list.len() == all.len() && list.iter().collect::<HashSet<_>>().len() == all.len();
    if let Some(whole) = lists.iter().find(is_whole) {
        return whole.clone();
    }
    let mut before: HashMap<&str, BTreeSet<&str>> = HashMap::new();
    for pair in lists.iter().flat_map(|list| list.windows(2)) {
        if let [first, second] = pair
            && first != second
        {
            before.entry(second).or_default().insert(first);
        }
    }
    let mut left = all;
    let mut ordered = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let is_next = |key: &&&str| {
            let before = before.get(**key);
            before.is_none_or(|before| before.is_disjoint(&left))
        };
        let next = left.iter().find(is_next).or_else(|| left.first()).copied();
        let Some(next) = next else { break };
        left.remove(next);
        ordered.push(next);
    }
    ordered
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn array<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

fn with(value: &Value, field: &str, entries: Vec<Value>) -> Value {
    let mut fields = value.as_object().cloned().unwrap_or_else(Map::new);
    if entries.is_empty() {
        fields.remove(field);
    } else {
        fields.insert(field.to_owned(), Value::Array(entries));
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn orders() {
        for (lists, expected) in [
            (vec![vec!["a", "b", "c"], vec!["b", "c"]], vec!["a", "b", "c"]),
            (vec![vec!["a", "c"], vec!["b", "c"]], vec!["a", "b", "c"]),
            (vec![vec!["z", "a"], vec!["z", "m"]], vec!["z", "a", "m"]),
            (vec![vec!["b", "a"], vec!["a", "b"]], vec!["b", "a"]),
            // A contradiction of three.
            (
                vec![vec!["a", "b"], vec!["b", "c"], vec!["c", "a"]],
                vec!["a", "b", "c"],
            ),
            (vec![], vec![]),
        ] {
            assert_eq!(order(&lists), expected, "{lists:?}");
        }
    }

    proptest! {
        #[test]
        fn parts_of_one_order_are_kept(parts in proptest::collection::vec(proptest::collection::btree_set(0..12_usize, 0..8), 0..4)) {
            let names = ["m", "c", "x", "a", "t", "b", "q", "z", "d", "k", "e", "p"];
            let lists: Vec<Vec<&str>> = parts.iter().map(|part| part.iter().map(|&at| names[at]).collect()).collect();
            let ordered = order(&lists);
            let place: HashMap<&str, usize> = ordered.iter().enumerate().map(|(at, key)| (*key, at)).collect();
            prop_assert_eq!(place.len(), ordered.len());
            for list in &lists {
                for pair in list.windows(2) {
                    prop_assert!(place[pair[0]] < place[pair[1]]);
                }
            }
        }
    }

    #[test]
    fn groups_versions_and_resources_are_merged() {
        let resource =
            |name: &str, verbs: Value| json!({ "resource": name, "scope": "Namespaced", "verbs": verbs });
        let group =
            |name: &str, versions: Value| json!({ "metadata": { "name": name }, "versions": versions });
        let old = [
            group(
                "apps",
                json!([{ "version": "v1", "resources": [resource("deployments", json!(["get"]))] }]),
            ),
            group(
                "batch",
                json!([{ "version": "v1", "resources": [resource("jobs", json!(["get", "list"]))] }]),
            ),
        ];
        let new = [
            group(
                "apps",
                json!([{ "version": "v1", "resources": [resource("deployments", json!(["get"]))] }]),
            ),
            group(
                "batch",
                json!([
                    { "version": "v2", "resources": [resource("jobs", json!(["get"]))] },
                    { "version": "v1", "resources": [
                        resource("cronjobs", json!(["get"])),
                        { "resource": "jobs", "scope": "Namespaced", "verbs": ["watch", "get"], "subresources": [{ "subresource": "status" }] },
                    ] },
                ]),
            ),
            group("new", json!([{ "version": "v1" }])),
        ];
        let merged = groups(&[&old, &new]);
        let names: Vec<&str> = merged.iter().map(name).collect();
        assert_eq!(names, ["apps", "batch", "new"]);
        assert_eq!(merged[0], old[0]);
        let batch = &merged[1]["versions"];
        assert_eq!(batch[0]["version"], "v2");
        assert_eq!(batch[1]["resources"][0]["resource"], "cronjobs");
        assert_eq!(batch[1]["resources"][1]["verbs"], json!(["get", "list", "watch"]));
        assert_eq!(
            batch[1]["resources"][1]["subresources"][0]["subresource"],
            "status"
        );
        assert_eq!(groups(&[&old]), old);
    }
}
