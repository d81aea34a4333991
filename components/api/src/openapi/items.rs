//! Path items: the operations of a path, and what is the same for all of them.
use serde_json::{Map, Value, json};

/// Which parameters every operation of a path has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shared<'a> {
    /// The kind of what is named in the path, if anything is.
    pub named: Option<&'a str>,
    pub namespaced: bool,
    /// Whether the path goes on within what is named.
    pub below: bool,
    /// Whether the answers are objects, which may be made pretty.
    pub pretty: bool,
}

/// The path item. Parameters that all its operations have are told once, in the order of their names.
pub(super) fn item(mut operations: Map<String, Value>, shared: Shared<'_>) -> Value {
    let mut parameters = common(&mut operations);
    if let Some(kind) = shared.named {
        parameters.push(in_path("name", &format!("name of the {kind}")));
    }
    if shared.namespaced {
        let text = "object name and auth scope, such as for teams and projects";
        parameters.push(in_path("namespace", text));
    }
    if shared.below {
        parameters.push(in_path("path", "path to the resource"));
    }
    if shared.pretty {
        parameters.push(json!({"name": "pretty", "in": "query", "description": PRETTY, "schema": {"type": "string", "uniqueItems": true}}));
    }
    let place = |parameter: &Value| {
        let text = |key: &str| parameter[key].as_str().unwrap_or_default().to_owned();
        (text("name"), text("in"))
    };
    parameters.sort_by_key(place);
    operations.insert("parameters".to_owned(), Value::Array(parameters));
    Value::Object(operations)
}

const PRETTY: &str = "If 'true', then the output is pretty printed. Defaults to 'false' unless the user-agent indicates a browser or command-line HTTP tool (curl and wget).";

fn in_path(name: &str, text: &str) -> Value {
    json!({"name": name, "in": "path", "description": text, "required": true, "schema": {"type": "string", "uniqueItems": true}})
}

/// Takes the parameters that all operations have out of them.
fn common(operations: &mut Map<String, Value>) -> Vec<Value> {
    fn of(operation: &Value) -> impl Iterator<Item = &Value> {
        operation["parameters"].as_array().into_iter().flatten()
    }
    let mut all = operations.values();
    let Some(first) = all.next() else {
        return Vec::new();
    };
    let others: Vec<&Value> = all.collect();
    let in_all = |parameter: &&Value| {
        let mut others = others.iter();
        others.all(|operation| of(operation).any(|other| other["name"] == parameter["name"]))
    };
    let found: Vec<Value> = of(first).filter(in_all).cloned().collect();
    for operation in operations.values_mut() {
        let Some(parameters) = operation.get_mut("parameters").and_then(Value::as_array_mut) else {
            continue;
        };
        parameters.retain(|parameter| found.iter().all(|taken| taken["name"] != parameter["name"]));
        if parameters.is_empty()
            && let Some(operation) = operation.as_object_mut()
        {
            operation.remove("parameters");
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_operations_have_is_told_once() {
        let operation = |names: &[&str]| {
            let parameters = names.iter().map(|name| json!({"name": name, "in": "query"}));
            json!({"parameters": parameters.collect::<Vec<_>>()})
        };
        let shared = Shared {
            named: Some("Pod"),
            namespaced: false,
            below: false,
            pretty: true,
        };
        for (operations, told, left) in [
            (
                vec![("get", vec!["z", "a"])],
                vec!["a", "name", "pretty", "z"],
                vec![None],
            ),
            (
                vec![("get", vec!["a", "b"]), ("put", vec!["b"])],
                vec!["b", "name", "pretty"],
                vec![Some("a"), None],
            ),
            (
                vec![("get", vec![]), ("put", vec!["b"])],
                vec!["name", "pretty"],
                vec![None, Some("b")],
            ),
        ] {
            let made = operations
                .iter()
                .map(|(method, names)| ((*method).to_owned(), operation(names)))
                .collect();
            let made = item(made, shared);
            let names: Vec<&str> = made["parameters"]
                .as_array()
                .unwrap()
                .iter()
                .map(|parameter| parameter["name"].as_str().unwrap())
                .collect();
            assert_eq!(names, told, "{operations:?}");
            for ((method, _), left) in operations.iter().zip(left) {
                let own = &made[method]["parameters"];
                assert_eq!(own[0]["name"].as_str(), left, "{operations:?}");
            }
        }
    }
}
