use super::schema::{Additional, Schema};
use serde_json::Value;

/// Drops what the schema doesn't have; gives the paths of what was dropped.
pub(crate) fn prune(schema: &Schema, value: &mut Value, root: bool) -> Vec<String> {
    if schema.unpruned {
        return Vec::new();
    }
    let mut pruner = Pruner {
        path: String::new(),
        dropped: Vec::new(),
    };
    pruner.value(Some(schema), value, root);
    pruner.dropped
}

struct Pruner {
    path: String,
    dropped: Vec<String>,
}

impl Pruner {
    fn value(&mut self, schema: Option<&Schema>, value: &mut Value, root: bool) {
        let length = self.path.len();
        match value {
            Value::Object(map) => {
                let resource = root || schema.is_some_and(|schema| schema.embedded);
                let keeps = schema.is_some_and(|schema| schema.preserve_unknown);
                map.retain(|key, value| {
                    if length > 0 {
                        self.path.push('.');
                    }
                    self.path.push_str(key);
                    let stays = self.entry(schema, key, value, resource) || keeps;
                    if !stays {
                        self.dropped.push(self.path.clone());
                    }
                    self.path.truncate(length);
                    stays
                });
            }
            Value::Array(items) => {
                let below = schema.and_then(|schema| schema.items.as_deref());
                if below.is_none() && schema.is_some_and(|schema| schema.preserve_unknown) {
                    return;
                }
                for (index, item) in items.iter_mut().enumerate() {
                    self.path.push_str(&format!("[{index}]"));
                    self.value(below, item, false);
                    self.path.truncate(length);
                }
            }
            _ => {}
        }
    }

    /// Whether the schema has this key; what is below is pruned then.
    fn entry(&mut self, schema: Option<&Schema>, key: &str, value: &mut Value, resource: bool) -> bool {
        if resource && matches!(key, "apiVersion" | "kind" | "metadata") {
            return true;
        }
        let Some(schema) = schema else {
            return false;
        };
        if let Some(below) = schema.below(key) {
            self.value(Some(below), value, false);
            return true;
        }
        matches!(schema.additional, Additional::Anything)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn unknown_fields_go_and_are_named() {
        let schema = Schema::parse(&json!({
            "type": "object",
            "properties": {
                "spec": {"type": "object", "properties": {
                    "a": {"type": "string"},
                    "list": {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "string"}}}},
                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
                        "properties": {"strict": {"type": "object"}}},
                    "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"y": {"type": "string"}}}},
                    "pod": {"type": "object", "x-kubernetes-embedded-resource": true},
                }},
            },
        }));
        let mut value = json!({
            "apiVersion": "example.com/v1", "kind": "A", "metadata": {"name": "a"}, "other": 1,
            "spec": {"a": "1", "b": 2, "list": [{"x": "1", "z": 1}], "free": {"any": {"deep": 1}, "strict": {"no": 1}},
                "map": {"k": {"y": "1", "n": 1}}, "pod": {"kind": "Pod", "metadata": {}, "spec": {}}},
        });
        let dropped = prune(&schema, &mut value, true);
        assert_eq!(
            dropped,
            [
                "other",
                "spec.b",
                "spec.free.strict.no",
                "spec.list[0].z",
                "spec.map.k.n",
                "spec.pod.spec"
            ]
        );
        assert_eq!(value["spec"]["free"], json!({"any": {"deep": 1}, "strict": {}}));
    }
}
