//! JSON as Go writes its structs, in the order of their fields, and reads it, with fields in letters of any case.

use apimachinery::{Quantity, go};
use serde_json::{Map, Value};
use std::fmt::Write;

/// A struct that is being written.
pub(super) struct Fields(String);

impl Fields {
    pub(super) fn new() -> Self {
        Self("{".to_owned())
    }

    /// A field, of which the JSON is given.
    pub(super) fn with(mut self, name: &str, json: &str) -> Self {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        // Writing to a text can't fail.
        let _ = write!(self.0, "\"{name}\":{json}");
        self
    }

    /// A field that is left out where there is nothing.
    pub(super) fn maybe(self, name: &str, value: &Value) -> Self {
        match value {
            Value::Null => self,
            value => self.with(name, &go::json(value)),
        }
    }

    /// A text or quantity, `empty` where there is none.
    pub(super) fn or(self, name: &str, value: &Value, empty: &str) -> Self {
        match value {
            Value::Null => self.with(name, empty),
            value => self.with(name, &go::json(value)),
        }
    }

    /// A selector of labels, if there is one.
    pub(super) fn selector(self, name: &str, selector: &Value) -> Self {
        if !selector.is_object() {
            return self;
        }
        let own = Self::new();
        let own = own.maybe("matchLabels", &selector["matchLabels"]);
        let own = own.maybe("matchExpressions", &selector["matchExpressions"]);
        self.with(name, &own.end())
    }

    pub(super) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

pub(super) fn list(items: &[String]) -> String {
    format!("[{}]", items.join(","))
}

/// A condition of an autoscaler, which looks the same in all versions.
pub(super) fn condition(condition: &Value) -> String {
    Fields::new()
        .or("type", &condition["type"], "\"\"")
        .or("status", &condition["status"], "\"\"")
        .or("lastTransitionTime", &condition["lastTransitionTime"], "null")
        .maybe("reason", &condition["reason"])
        .maybe("message", &condition["message"])
        .end()
}

pub(super) fn read_condition(condition: &Value) -> Option<Value> {
    let read = Reader::of(condition)?;
    let mut made = Map::new();
    for field in ["type", "status", "lastTransitionTime", "reason", "message"] {
        let text = read.text(field)?;
        if !text.is_empty() || matches!(field, "type" | "status") {
            made.insert(field.to_owned(), text.into());
        }
    }
    let time = made.get("lastTransitionTime").and_then(Value::as_str);
    if time.is_some_and(|time| time.parse::<jiff::Timestamp>().is_err()) {
        return None;
    }
    Some(Value::Object(made))
}

/// An object that is read. `None` is what Go refuses.
pub(super) struct Reader<'v>(&'v Map<String, Value>);

impl<'v> Reader<'v> {
    pub(super) fn of(value: &'v Value) -> Option<Self> {
        value.as_object().map(Self)
    }

    pub(super) fn get(&self, name: &str) -> &'v Value {
        let known = self.0.get(name);
        let other = || self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        known
            .or_else(|| other().map(|(_, value)| value))
            .unwrap_or(&Value::Null)
    }

    pub(super) fn text(&self, name: &str) -> Option<&'v str> {
        match self.get(name) {
            Value::Null => Some(""),
            value => value.as_str(),
        }
    }

    /// A whole number of 32 bits, or null.
    pub(super) fn number(&self, name: &str) -> Option<Value> {
        match self.get(name) {
            Value::Null => Some(Value::Null),
            value => value
                .as_i64()
                .and_then(|number| i32::try_from(number).ok())
                .map(Value::from),
        }
    }

    /// A quantity as it is written, or null.
    pub(super) fn quantity(&self, name: &str) -> Option<Value> {
        let text = match self.get(name) {
            Value::Null => return Some(Value::Null),
            Value::String(text) if text.is_empty() => return Some("0".into()),
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        text.parse::<Quantity>()
            .ok()
            .map(|quantity| quantity.to_string().into())
    }

    /// The same, where none is zero.
    pub(super) fn amount(&self, name: &str) -> Option<Value> {
        let quantity = self.quantity(name)?;
        Some(if quantity.is_null() { "0".into() } else { quantity })
    }

    /// A selector of labels, or null.
    pub(super) fn selector(&self, name: &str) -> Option<Value> {
        let mut selector = match self.get(name) {
            Value::Null => return Some(Value::Null),
            value => value.clone(),
        };
        let schemas = crate::schema::built_in();
        let id = schemas.id("io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector")?;
        apimachinery::decode::fit(&schemas, id, &mut selector).ok()?;
        Some(selector)
    }
}
