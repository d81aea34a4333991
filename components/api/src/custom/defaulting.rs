use super::schema::{Additional, Schema};
use serde_json::Value;

/// Sets the defaults of absent fields, and of those that are null but may not be.
pub(crate) fn fill(schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, property) in &schema.properties {
                if let Some(default) = &property.default
                    && map
                        .get(name)
                        .is_none_or(|value| value.is_null() && !property.nullable)
                {
                    map.insert(name.clone(), default.clone());
                }
                if let Some(value) = map.get_mut(name) {
                    fill(property, value);
                }
            }
            let Additional::Schema(below) = &schema.additional else {
                return;
            };
            for (name, value) in map.iter_mut() {
                if schema.properties.contains_key(name) {
                    continue;
                }
                if let Some(default) = below
                    .default
                    .as_ref()
                    .filter(|_| value.is_null() && !below.nullable)
                {
                    *value = default.clone();
                }
                fill(below, value);
            }
        }
        Value::Array(items) => {
            let Some(below) = &schema.items else {
                return;
            };
            for item in items {
                if let Some(default) = below
                    .default
                    .as_ref()
                    .filter(|_| item.is_null() && !below.nullable)
                {
                    *item = default.clone();
                }
                fill(below, item);
            }
        }
        _ => {}
    }
}

/// Drops fields that are null but may not be and have no default.
pub(crate) fn drop_nulls(schema: &Schema, value: &mut Value) {
    if schema.unpruned {
        return;
    }
    match value {
        Value::Object(map) => map.retain(|key, value| match schema.below(key) {
            Some(below) if value.is_null() => below.nullable || below.default.is_some(),
            Some(below) => {
                drop_nulls(below, value);
                true
            }
            None => true,
        }),
        Value::Array(items) => {
            if let Some(below) = &schema.items {
                items.iter_mut().for_each(|item| drop_nulls(below, item));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn defaults_and_nulls() {
        let schema = Schema::parse(&json!({
            "type": "object",
            "properties": {
                "a": {"type": "object", "default": {}, "properties": {"b": {"type": "integer", "default": 3}}},
                "n": {"type": "string", "nullable": true, "default": "x"},
                "d": {"type": "string", "default": "y"},
                "p": {"type": "string"},
            },
        }));
        let mut value = json!({"n": null, "d": null, "p": null});
        fill(&schema, &mut value);
        drop_nulls(&schema, &mut value);
        assert_eq!(value, json!({"a": {"b": 3}, "n": null, "d": "y"}));
    }
}
