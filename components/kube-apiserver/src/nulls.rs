//! Decoding by Go's rule for null: it leaves what it stands for as it is, so a field has its default, and an item of a
//! list is empty.

use serde::Deserialize;
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Map, Value};

/// For a field that may be null where the rest of its object is decoded by serde's rules.
pub fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// What a JSON document says.
pub fn from_json<T: DeserializeOwned>(document: Value) -> Result<T, Error> {
    T::deserialize(Lenient(document))
}

/// What JSON text says.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    // Few have nulls where those matter.
    serde_json::from_slice(bytes).or_else(|_| from_json(serde_json::from_slice(bytes)?))
}

/// What a configuration file says. The error is the one that tells the place, if no null is to blame.
pub fn from_yaml<T: DeserializeOwned>(text: &str) -> Result<T, serde_yaml_ng::Error> {
    serde_yaml_ng::from_str(text).or_else(|error| {
        let document: Value = serde_yaml_ng::from_str(text)?;
        if !has_null(&document) {
            return Err(error);
        }
        from_json(document).map_err(serde::de::Error::custom)
    })
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(fields) => fields.values().any(has_null),
        _ => false,
    }
}

struct Lenient(Value);

impl IntoDeserializer<'_, Error> for Lenient {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! empty_if_null {
    ($($method:ident $empty:expr;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.or($empty).deserialize_any(visitor)
        }
    )*};
}

impl Lenient {
    /// The other value instead of null.
    fn or(self, empty: impl Into<Value>) -> Self {
        match self.0 {
            Value::Null => Self(empty.into()),
            value => Self(value),
        }
    }
}

impl<'de> Deserializer<'de> for Lenient {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(items) => {
                let mut items = SeqDeserializer::new(items.into_iter().map(Lenient));
                let value = visitor.visit_seq(&mut items)?;
                items.end()?;
                Ok(value)
            }
            Value::Object(fields) => {
                let fields = fields.into_iter().map(|(name, value)| (name, Lenient(value)));
                let mut fields = MapDeserializer::new(fields);
                let value = visitor.visit_map(&mut fields)?;
                fields.end()?;
                Ok(value)
            }
            scalar => scalar.deserialize_any(visitor),
        }
    }

    empty_if_null! {
        deserialize_bool false;
        deserialize_i8 0;
        deserialize_i16 0;
        deserialize_i32 0;
        deserialize_i64 0;
        deserialize_u8 0;
        deserialize_u16 0;
        deserialize_u32 0;
        deserialize_u64 0;
        deserialize_f32 0;
        deserialize_f64 0;
        deserialize_str "";
        deserialize_string "";
        deserialize_seq Vec::<Value>::new();
        deserialize_map Map::new();
    }

    /// Fields that are null say nothing; one that isn't known stays, for who refuses those.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let mut document = self.or(Map::new());
        if let Value::Object(fields) = &mut document.0 {
            fields.retain(|name, value| !value.is_null() || !known.contains(&name.as_str()));
        }
        document.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            value => visitor.visit_some(Self(value)),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any i128 u128
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[serde(default)]
        texts: Vec<String>,
        #[serde(default)]
        extra: BTreeMap<String, Vec<String>>,
        #[serde(default)]
        inner: Option<Box<Sample>>,
        #[serde(default)]
        yes: bool,
        #[serde(default = "seven")]
        number: u32,
        #[serde(default)]
        name: String,
    }

    fn seven() -> u32 {
        7
    }

    #[test]
    fn null_leaves_things_as_they_are() {
        let empty = || Sample {
            number: 7,
            ..Sample::default()
        };
        for (text, expected) in [
            (
                "{texts: null, extra: null, inner: null, yes: null, number: null, name: null}",
                empty(),
            ),
            (
                "{texts: [a, null], extra: {a: null, b: [null]}, inner: {texts: null}}",
                Sample {
                    texts: vec!["a".to_owned(), String::new()],
                    extra: [("a".to_owned(), vec![]), ("b".to_owned(), vec![String::new()])].into(),
                    inner: Some(Box::new(empty())),
                    ..empty()
                },
            ),
            ("{}", empty()),
        ] {
            assert_eq!(from_yaml::<Sample>(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_else_is_wrong_is_refused() {
        for (text, expected) in [
            ("{bogus: null}", "unknown field `bogus`"),
            ("{texts: null, bogus: 1}", "unknown field `bogus`"),
            ("{texts: null, yes: 1}", "invalid type"),
            ("{texts: a}", "texts: invalid type"),
        ] {
            let told = from_yaml::<Sample>(text).unwrap_err().to_string();
            assert!(told.contains(expected), "{text}: {told}");
        }
    }
}
