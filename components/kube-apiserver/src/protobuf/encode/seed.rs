//! Walks JSON text along a schema and writes what it finds.

use super::plan::{PLANS, Plan};
use super::writer;
use crate::protobuf::MAX_DEPTH;
use crate::protobuf::alternatives::{self, Form};
use apimachinery::schema::{Schema, SchemaSet, Type};
use apimachinery::time::{self, Moment};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// One message: reads an object, writes its fields.
pub struct MessageSeed<'a, 'o> {
    pub set: &'a SchemaSet,
    pub schema: &'a Schema,
    pub plan: &'a Plan,
    pub out: &'o mut Vec<u8>,
    pub depth: usize,
}

impl<'de> DeserializeSeed<'de> for MessageSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for MessageSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "an object ({})", self.schema.short)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if self.depth > MAX_DEPTH {
            return Err(A::Error::custom("nested too deeply"));
        }
        let (schema, plan) = (self.schema, self.plan);
        while let Some(found) = map.next_key_seed(KeySeed { schema, plan })? {
            let Some((ty, path, form)) = found else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            map.next_value_seed(FieldSeed {
                set: self.set,
                schema,
                ty,
                path,
                form,
                out: self.out,
                depth: self.depth,
            })?;
        }
        Ok(())
    }
}

/// What a key of a message stands for; `None` for one that the message doesn't have.
struct KeySeed<'a> {
    schema: &'a Schema,
    plan: &'a Plan,
}

type Found<'a> = Option<(&'a Type, &'a [u32], Option<Form>)>;

impl<'de, 'a> DeserializeSeed<'de> for KeySeed<'a> {
    type Value = Found<'a>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for KeySeed<'a> {
    type Value = Found<'a>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a field name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        let path = self.plan.get(name);
        let field = self.schema.field(name);
        Ok(path
            .zip(field)
            .map(|(path, field)| (&field.ty, &**path, alternatives::of(self.schema, name))))
    }
}

/// One field's value.
struct FieldSeed<'a, 'o> {
    set: &'a SchemaSet,
    /// The message that has the field.
    schema: &'a Schema,
    ty: &'a Type,
    path: &'a [u32],
    form: Option<Form>,
    out: &'o mut Vec<u8>,
    depth: usize,
}

impl FieldSeed<'_, '_> {
    fn write<E>(self, mut write: impl FnMut(&mut Vec<u8>, u32) -> Result<(), E>) -> Result<(), E> {
        writer::along(self.out, self.path, &mut write)
    }

    fn integer<E: Error>(self, value: i64) -> Result<(), E> {
        match self.ty {
            Type::Int32 | Type::Int64 => self.write(|out, number| {
                writer::number(out, number, value as u64);
                Ok(())
            }),
            Type::Double => self.float(value as f64),
            Type::Quantity => self.text(&value.to_string()),
            Type::IntOrString => self.write(|out, number| {
                writer::nested(out, number, |out| {
                    writer::number(out, 1, 0);
                    writer::number(out, 2, value as u64);
                    Ok(())
                })
            }),
            _ => Err(E::custom("a number where none belongs")),
        }
    }

    fn float<E: Error>(self, value: f64) -> Result<(), E> {
        match self.ty {
            Type::Double => self.write(|out, number| {
                writer::fixed64(out, number, value.to_bits());
                Ok(())
            }),
            Type::Quantity => self.text(&value.to_string()),
            _ => Err(E::custom("a fraction where none belongs")),
        }
    }

    fn text<E: Error>(self, value: &str) -> Result<(), E> {
        match self.ty {
            Type::String => self.bytes(value.as_bytes()),
            Type::Bytes => {
                let decoded = STANDARD.decode(value).map_err(E::custom)?;
                self.bytes(&decoded)
            }
            Type::Time => self.instant(time::parse_time(value)),
            Type::MicroTime => self.instant(time::parse_micro_time(value)),
            Type::Duration => {
                let nanoseconds = time::parse_duration(value).map_err(E::custom)?;
                self.write(|out, number| {
                    writer::nested(out, number, |out| {
                        writer::number(out, 1, nanoseconds as u64);
                        Ok(())
                    })
                })
            }
            Type::Quantity => self.write(|out, number| {
                writer::nested(out, number, |out| {
                    writer::bytes(out, 1, value.as_bytes());
                    Ok(())
                })
            }),
            Type::IntOrString => self.write(|out, number| {
                writer::nested(out, number, |out| {
                    writer::number(out, 1, 1);
                    writer::number(out, 2, 0);
                    writer::bytes(out, 3, value.as_bytes());
                    Ok(())
                })
            }),
            _ => Err(E::custom("a text where none belongs")),
        }
    }

    fn bytes<E: Error>(self, value: &[u8]) -> Result<(), E> {
        self.write(|out, number| {
            writer::bytes(out, number, value);
            Ok(())
        })
    }

    fn instant<E: Error>(self, time: Result<Moment, String>) -> Result<(), E> {
        let time = time.map_err(E::custom)?;
        let (seconds, fraction) = time.to_unix();
        self.write(|out, number| {
            writer::nested(out, number, |out| {
                writer::number(out, 1, seconds as u64);
                writer::number(out, 2, fraction);
                Ok(())
            })
        })
    }

    /// Any JSON, as its text.
    fn raw<E: Error>(self, json: &str) -> Result<(), E> {
        let Some(form) = self.form else {
            return match json {
                "null" => Ok(()),
                _ => self.write(|out, number| {
                    writer::nested(out, number, |out| {
                        writer::bytes(out, 1, json.as_bytes());
                        Ok(())
                    })
                }),
            };
        };
        let (set, schema, depth) = (self.set, self.schema, self.depth);
        self.write(|out, number| {
            alternatives::write(set, schema, form, json, out, number, depth + 1).map_err(E::custom)
        })
    }
}

impl<'de> DeserializeSeed<'de> for FieldSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if matches!(self.ty, Type::Any) || self.form.is_some() {
            let json = <&RawValue as serde::Deserialize>::deserialize(deserializer)?;
            return self.raw(json.get());
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for FieldSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a value of {}", self.schema.short)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        match self.ty {
            Type::Bool => self.write(|out, number| {
                writer::number(out, number, u64::from(value));
                Ok(())
            }),
            _ => Err(E::custom("true or false where neither belongs")),
        }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.integer(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        match i64::try_from(value) {
            Ok(value) => self.integer(value),
            Err(_) if matches!(self.ty, Type::Quantity) => self.text(&value.to_string()),
            Err(_) => self.float(value as f64),
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.float(value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.text(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Type::List(inner, _) = self.ty else {
            return Err(A::Error::custom("a list where none belongs"));
        };
        loop {
            let item = FieldSeed {
                set: self.set,
                schema: self.schema,
                ty: inner,
                path: self.path,
                form: None,
                out: self.out,
                depth: self.depth + 1,
            };
            if items.next_element_seed(item)?.is_none() {
                return Ok(());
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let (set, depth) = (self.set, self.depth);
        match self.ty {
            Type::Struct(id) => {
                let schema = set.get(*id);
                let plan = PLANS
                    .get(schema.name.as_str())
                    .ok_or_else(|| A::Error::custom(format!("no message for {}", schema.name)))?;
                let mut map = Some(map);
                self.write(|out, number| {
                    writer::nested(out, number, |out| match map.take() {
                        Some(map) => MessageSeed {
                            set,
                            schema,
                            plan,
                            out,
                            depth: depth + 1,
                        }
                        .visit_map(map),
                        None => Ok(()),
                    })
                })
            }
            Type::Map(inner, _) => {
                let (path, schema, out) = (self.path, self.schema, self.out);
                while let Some(key) = map.next_key::<String>()? {
                    let map = &mut map;
                    writer::along(out, path, &mut |out, number| {
                        writer::nested(out, number, |out| {
                            writer::bytes(out, 1, key.as_bytes());
                            map.next_value_seed(EntrySeed {
                                set,
                                schema,
                                ty: inner,
                                out,
                                depth: depth + 1,
                            })
                        })
                    })?;
                }
                Ok(())
            }
            _ => Err(A::Error::custom("an object where none belongs")),
        }
    }
}

/// The value of a map's entry, which is field 2 of it.
struct EntrySeed<'a, 'o> {
    set: &'a SchemaSet,
    schema: &'a Schema,
    ty: &'a Type,
    out: &'o mut Vec<u8>,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for EntrySeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        // A list as value is a message with the items in field 1.
        let path: &[u32] = match self.ty {
            Type::List(..) => &[2, 1],
            _ => &[2],
        };
        FieldSeed {
            set: self.set,
            schema: self.schema,
            ty: self.ty,
            path,
            form: None,
            out: self.out,
            depth: self.depth,
        }
        .deserialize(deserializer)
    }
}
