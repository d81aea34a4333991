//! Reading and changing the metadata of an object held as a JSON value.
use crate::gvk::{GroupVersion, GroupVersionKind};
use serde_json::{Map, Value};

/// The text at `metadata.key`, empty if it is missing or no text.
fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object
        .get("metadata")
        .and_then(|m| m.get(key))
        .and_then(Value::as_str)
        .unwrap_or("")
}

/// `metadata.name`.
pub fn name(object: &Value) -> &str {
    text(object, "name")
}
/// `metadata.generateName`.
pub fn generate_name(object: &Value) -> &str {
    text(object, "generateName")
}
/// `metadata.namespace`.
pub fn namespace(object: &Value) -> &str {
    text(object, "namespace")
}
/// `metadata.uid`.
pub fn uid(object: &Value) -> &str {
    text(object, "uid")
}
/// `metadata.resourceVersion`.
pub fn resource_version(object: &Value) -> &str {
    text(object, "resourceVersion")
}
/// `metadata.creationTimestamp`, RFC 3339.
pub fn creation_timestamp(object: &Value) -> &str {
    text(object, "creationTimestamp")
}
/// `metadata.deletionTimestamp`, RFC 3339; `None` unless the object is being deleted.
pub fn deletion_timestamp(object: &Value) -> Option<&str> {
    Some(text(object, "deletionTimestamp")).filter(|t| !t.is_empty())
}
/// `metadata.deletionGracePeriodSeconds`.
pub fn deletion_grace_period_seconds(object: &Value) -> Option<i64> {
    get(object, "deletionGracePeriodSeconds").and_then(Value::as_i64)
}
/// `metadata.generation`, 0 if unset.
pub fn generation(object: &Value) -> i64 {
    get(object, "generation").and_then(Value::as_i64).unwrap_or(0)
}
/// `kind`.
pub fn kind(object: &Value) -> &str {
    object.get("kind").and_then(Value::as_str).unwrap_or("")
}
/// `apiVersion`.
pub fn api_version(object: &Value) -> &str {
    object.get("apiVersion").and_then(Value::as_str).unwrap_or("")
}

/// The kind with its group and version, as an object names them; all are empty where the version is none.
pub fn gvk(object: &Value) -> GroupVersionKind {
    let version = GroupVersion::parse(api_version(object));
    version
        .map(|version| version.kind(kind(object)))
        .unwrap_or_default()
}

/// One field of the metadata.
pub fn get<'a>(object: &'a Value, key: &str) -> Option<&'a Value> {
    object.get("metadata")?.get(key)
}
/// `metadata.labels`.
pub fn labels(object: &Value) -> Option<&Map<String, Value>> {
    get(object, "labels").and_then(Value::as_object)
}
/// One label's value.
pub fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    labels(object)?.get(key)?.as_str()
}
/// `metadata.annotations`.
pub fn annotations(object: &Value) -> Option<&Map<String, Value>> {
    get(object, "annotations").and_then(Value::as_object)
}
/// One annotation's value.
pub fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    annotations(object)?.get(key)?.as_str()
}
/// `metadata.ownerReferences`.
pub fn owner_references(object: &Value) -> &[Value] {
    list(object, "ownerReferences")
}
/// The owner reference that says `controller: true`.
pub fn controller_of(object: &Value) -> Option<&Value> {
    owner_references(object)
        .iter()
        .find(|owner| owner.get("controller") == Some(&Value::Bool(true)))
}
/// `metadata.finalizers`.
pub fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    list(object, "finalizers").iter().filter_map(Value::as_str)
}
/// `metadata.managedFields`.
pub fn managed_fields(object: &Value) -> &[Value] {
    list(object, "managedFields")
}

fn list<'a>(object: &'a Value, key: &str) -> &'a [Value] {
    get(object, key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The metadata as a map, made if it is missing. `None` if the object is no map.
pub fn metadata_mut(object: &mut Value) -> Option<&mut Map<String, Value>> {
    let metadata = object
        .as_object_mut()?
        .entry("metadata")
        .or_insert_with(|| Value::Object(Map::new()));
    if !metadata.is_object() {
        *metadata = Value::Object(Map::new());
    }
    metadata.as_object_mut()
}

/// Sets one field of the metadata.
pub fn set(object: &mut Value, key: &str, value: impl Into<Value>) {
    if let Some(metadata) = metadata_mut(object) {
        metadata.insert(key.to_owned(), value.into());
    }
}

/// Removes one field of the metadata and returns it.
pub fn remove(object: &mut Value, key: &str) -> Option<Value> {
    object.get_mut("metadata")?.as_object_mut()?.remove(key)
}

/// Sets one label.
pub fn set_label(object: &mut Value, key: &str, value: &str) {
    set_in_map(object, "labels", key, value);
}

/// Sets one annotation.
pub fn set_annotation(object: &mut Value, key: &str, value: &str) {
    set_in_map(object, "annotations", key, value);
}

fn set_in_map(object: &mut Value, field: &str, key: &str, value: &str) {
    let Some(metadata) = metadata_mut(object) else {
        return;
    };
    let map = metadata.entry(field).or_insert_with(|| Value::Object(Map::new()));
    if !map.is_object() {
        *map = Value::Object(Map::new());
    }
    if let Some(map) = map.as_object_mut() {
        map.insert(key.to_owned(), Value::from(value));
    }
}

/// The longest base that a generated name keeps, so that base and suffix fit 63 characters.
const MAX_GENERATED_BASE: usize = 58;
const SUFFIX_LENGTH: usize = 5;
const SUFFIX_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// A name from `generateName`: the base cut to 58 bytes and five characters made of `random`.
pub fn generated_name(base: &str, random: [u8; SUFFIX_LENGTH]) -> String {
    let mut end = base.len().min(MAX_GENERATED_BASE);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    let mut name = base[..end].to_owned();
    name.extend(
        random
            .iter()
            .map(|byte| char::from(SUFFIX_ALPHABET[usize::from(*byte) % SUFFIX_ALPHABET.len()])),
    );
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn metadata_is_read_and_changed() {
        let mut object = json!({"kind": "Pod"});
        set(&mut object, "name", "a");
        set_label(&mut object, "app", "x");
        assert_eq!(
            (name(&object), label(&object, "app"), generation(&object)),
            ("a", Some("x"), 0)
        );
        assert_eq!(remove(&mut object, "name"), Some(json!("a")));
        assert_eq!(name(&object), "");
    }

    #[test]
    fn generated_names_fit_a_label() {
        assert_eq!(generated_name("web-", [0, 1, 2, 3, 4]), "web-bcdfg");
        assert_eq!(generated_name(&"x".repeat(80), [0; 5]).len(), 63);
        assert!(generated_name(&"é".repeat(40), [0; 5]).len() <= 63);
    }
}
