//! The names of the types of objects that mutations construct: `Object.spec.template{}` stands at `spec.template`.

use cel::{MapValue, Value};

/// Everything that stands where its type's name doesn't put it. Maps and lists between objects have no names.
pub fn misplaced(object: &MapValue<'_>) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(name) = &object.type_name {
        walk_object(object, &mut name.to_string(), &mut found);
    }
    found
}

fn walk(value: &Value<'_>, path: &mut String, found: &mut Vec<String>) {
    match value {
        Value::List(items) => items.iter().for_each(|item| walk(item, path, found)),
        Value::Map(map) if map.type_name.is_some() => walk_object(map, path, found),
        Value::Map(map) => map.entries.values().for_each(|value| walk(value, path, found)),
        _ => {}
    }
}

fn walk_object(object: &MapValue<'_>, path: &mut String, found: &mut Vec<String>) {
    let name = object.type_name.as_deref().unwrap_or_default();
    if name != path {
        found.push(format!(
            "unexpected type name {name:?}, expected {path:?}, which matches field name path from root Object type"
        ));
    }
    for (field, value) in &object.entries {
        let cel::Key::String(field) = field else { continue };
        let length = path.len();
        path.push('.');
        path.push_str(field);
        walk(value, path, found);
        path.truncate(length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_named_after_where_they_stand() {
        let environment = cel::Environment::new().with_patch_types();
        let wrong = |name: &str, expected: &str| {
            format!(
                "unexpected type name {name:?}, expected {expected:?}, which matches field name path from root Object type"
            )
        };
        for (text, expected) in [
            ("Object{spec: Object.spec{replicas: 1}}", vec![]),
            ("Object.spec{a: Object.spec.a{}}", vec![]),
            (
                "Object{a: [Object.a{b: Object.a.b{}}], c: {'d': Object.c{}}}",
                vec![],
            ),
            ("Object{a: {'x': [Object.a{}]}}", vec![]),
            (
                "Object{spec: Object.specx{replicas: 1}}",
                vec![wrong("Object.specx", "Object.spec")],
            ),
            ("Object{spec: Object{}}", vec![wrong("Object", "Object.spec")]),
            (
                "Object{a: [dyn(Object.b{c: Object.a.c{}}), dyn(Object.a{c: Object.b.c{}})]}",
                vec![wrong("Object.b", "Object.a"), wrong("Object.b.c", "Object.a.c")],
            ),
        ] {
            let program = cel::Program::compile(text, &environment).unwrap();
            let made = program.evaluate(&[], 1_000).result.unwrap();
            let Value::Map(made) = &made else {
                panic!("{text} is no object")
            };
            assert_eq!(misplaced(made), expected, "{text}");
        }
    }
}
