//! The form of an object in which the server works on it.
use super::entry::Managers;
use crate::fieldset::{FieldSet, written_length};
use crate::json::{self, Document, SyntaxError, Written};
use crate::meta;
use serde_json::Value;
use std::ops::{Deref, DerefMut};

/// An object in which each `fieldsV1` of its `metadata.managedFields` is a text, its JSON as we write it. Field sets are
/// half of the values of many objects, and most requests don't look at them. What is no field set, or is written
/// otherwise, is kept as the only item of a list; null stays.
///
/// Only the root's own managedFields are held so. Nothing that a client sends can pass for such a text: an object
/// becomes compact only as a whole, and a text that stood there is then in a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Compact(Value);

impl Compact {
    pub fn of(mut whole: Value) -> Self {
        fields(&mut whole).for_each(hold);
        Self(whole)
    }

    /// Parses JSON; the document given with the object is what else there is to say of the text.
    pub fn parse(text: &[u8]) -> Result<(Self, Document), SyntaxError> {
        let mut document = json::parse_compact(text)?;
        Ok((Self(document.value.take()), document))
    }

    /// Parses JSON that [`Self::to_written`] gave, perhaps with another resourceVersion. Field sets whose lengths are
    /// known are as they were written and not checked again, which is a third of the work.
    pub fn parse_written(text: &[u8], field_sets: &[u32]) -> Result<Self, SyntaxError> {
        json::parse_written(text, field_sets).map(|document| Self(document.value))
    }

    /// The object as others know it.
    pub fn into_whole(self) -> Value {
        let mut whole = self.0;
        for value in fields(&mut whole) {
            match value {
                // It is JSON. Were it not, it would stay, and whoever reads it would say that it is no field set.
                Value::String(text) => {
                    if let Ok(document) = json::parse(text.as_bytes()) {
                        *value = document.value;
                    }
                }
                Value::Array(kept) => {
                    if let Some(kept) = kept.pop() {
                        *value = kept;
                    }
                }
                _ => {}
            }
        }
        whole
    }

    pub fn to_whole(&self) -> Value {
        self.clone().into_whole()
    }

    /// An object that has no managedFields, with these.
    pub(super) fn with_managers(object: Value, managers: Managers) -> Self {
        let mut compact = Self(object);
        compact.set_managers(managers);
        compact
    }

    /// Its managers; none when they can't be read.
    pub(super) fn managers(&self) -> Managers {
        Managers::decode(meta::managed_fields(&self.0).to_vec()).unwrap_or_default()
    }

    /// Whether anybody owns what `fields` gives for the version in which they wrote.
    pub fn is_owned(&self, fields: impl Fn(&str) -> Option<FieldSet>) -> bool {
        let managers = self.managers();
        managers.0.values().any(|owned| {
            let wanted = fields(&owned.api_version);
            wanted.is_some_and(|wanted| owned.fields.contains(&wanted))
        })
    }

    /// Gives an object that has no managedFields these.
    pub(super) fn set_managers(&mut self, managers: Managers) {
        let encoded = managers.encode();
        if !encoded.is_empty() {
            meta::set(&mut self.0, "managedFields", encoded);
        }
    }

    /// The JSON of the whole object.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_written().bytes
    }

    /// The same, with what spares its readers work.
    pub fn to_written(&self) -> Written {
        json::compact_to_bytes(&self.0)
    }
}

/// Reads and changes the object, without looking into `fieldsV1`.
impl Deref for Compact {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.0
    }
}

impl DerefMut for Compact {
    fn deref_mut(&mut self) -> &mut Value {
        &mut self.0
    }
}

fn fields(object: &mut Value) -> impl Iterator<Item = &mut Value> {
    let managed = object
        .get_mut("metadata")
        .and_then(|metadata| metadata.get_mut("managedFields"))
        .and_then(Value::as_array_mut);
    let entries = managed.into_iter().flatten();
    entries.filter_map(|entry| entry.get_mut("fieldsV1"))
}

/// Makes one `fieldsV1` what it is in a compact object.
pub(crate) fn hold(value: &mut Value) {
    if value.is_null() {
        return;
    }
    *value = match String::from_utf8(json::to_bytes(value)) {
        Ok(text) if written_length(&text) == Some(text.len()) => Value::String(text),
        _ => Value::Array(vec![value.take()]),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Map, json};

    /// Values whose names, texts and shapes are those on the way to `fieldsV1`, at all the wrong places too.
    fn values() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            Just("{}"),
            Just("{\"f:a\":{}}"),
            Just("{\"f:a\":{\".\":{},\"k:{\\\"n\\\":1}\":{}}}"),
            Just("\"{}\""),
            Just("f:a"),
            Just("")
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            Just(json!(1)),
            Just(json!({"f:spec": {".": {}, "f:a": {}}})),
            Just(json!({"f:b": {}, "f:\"x\\": {"v:1": {}}})),
            text.prop_map(Value::from),
        ];
        let key = prop_oneof![
            3 => Just("metadata"),
            3 => Just("managedFields"),
            3 => Just("fieldsV1"),
            1 => Just("spec"),
            1 => Just("f:a"),
            1 => Just(".")
        ];
        leaf.prop_recursive(8, 48, 4, move |inner| {
            let pair = (key.clone(), inner.clone());
            prop_oneof![
                1 => proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                2 => proptest::collection::vec(pair, 0..4).prop_map(|pairs| {
                    let pairs = pairs.into_iter().map(|(key, value)| (key.to_owned(), value));
                    Value::Object(pairs.collect::<Map<_, _>>())
                }),
                2 => inner.prop_map(|fields| json!({"metadata": {"managedFields": [{"fieldsV1": fields}]}})),
            ]
        })
    }

    proptest! {
        #[test]
        fn an_object_is_the_same_after_it_was_compact(object in values()) {
            let text = json::to_bytes(&object);
            let compact = Compact::of(object.clone());
            prop_assert_eq!(&Compact::parse(&text).unwrap().0, &compact);
            let written = compact.to_written();
            prop_assert_eq!(&Compact::parse_written(&text, &written.field_sets).unwrap(), &compact);
            prop_assert_eq!(written.bytes, text);
            prop_assert_eq!(compact.into_whole(), object);
        }

        #[test]
        fn errors_and_duplicates_are_those_of_the_whole_object(fields in r#"[{}":,f.a\\ x]{0,24}"#) {
            let text = format!(r#"{{"metadata":{{"managedFields":[{{"fieldsV1":{fields}}}]}}}}"#);
            let compact = Compact::parse(text.as_bytes()).map(|(object, document)| (object.into_whole(), document.duplicates));
            let whole = json::parse(text.as_bytes()).map(|document| (document.value, document.duplicates));
            prop_assert_eq!(compact, whole);
        }
    }

    #[test]
    fn only_the_roots_own_field_sets_are_texts() {
        let fields = json!({"f:a": {}});
        let object = json!({
            "metadata": {"managedFields": [{"fieldsV1": fields}, {"fieldsV1": "{\"f:a\":{}}"}, {"fieldsV1": null}]},
            "spec": {"template": {"metadata": {"managedFields": [{"fieldsV1": fields}]}}, "fieldsV1": "{}"},
        });
        let compact = Compact::of(object.clone());
        assert_eq!(
            compact["metadata"]["managedFields"],
            json!([{"fieldsV1": "{\"f:a\":{}}"}, {"fieldsV1": ["{\"f:a\":{}}"]}, {"fieldsV1": null}])
        );
        assert_eq!(compact["spec"], object["spec"]);
    }
}
