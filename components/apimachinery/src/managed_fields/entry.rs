use crate::fieldset::FieldsV1;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// How a manager wrote its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    Apply,
    Update,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// What tells managers apart. Appliers keep their identity over versions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    pub operation: Operation,
    pub manager: String,
    pub api_version: String,
    pub subresource: String,
}

/// What a manager owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owned {
    pub fields: FieldsV1,
    /// The version that the fields are of.
    pub api_version: String,
    pub time: String,
}

/// All managers of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Managers(pub(super) BTreeMap<Entry, Owned>);

impl Entry {
    pub(super) fn new(operation: Operation, manager: &str, api_version: &str, subresource: &str) -> Self {
        let api_version = if operation == Operation::Apply {
            String::new()
        } else {
            api_version.to_owned()
        };
        Self {
            operation,
            manager: manager.to_owned(),
            api_version,
            subresource: subresource.to_owned(),
        }
    }

    /// The manager as conflicts name it.
    pub(super) fn describe(&self) -> String {
        let mut text = crate::field::quote(&self.manager);
        if !self.subresource.is_empty() {
            text.push_str(&format!(
                " with subresource {}",
                crate::field::quote(&self.subresource)
            ));
        }
        if self.operation == Operation::Update {
            text.push_str(&format!(" using {}", self.api_version));
        }
        text
    }
}

impl Managers {
    /// Takes `metadata.managedFields` of a compact object; an entry that can't be read makes the whole list unreadable.
    pub fn decode(list: Vec<Value>) -> Option<Self> {
        let mut managers = BTreeMap::new();
        for mut item in list {
            let fields = match item.get_mut("fieldsV1").map(Value::take) {
                Some(Value::String(text)) => FieldsV1::written(text),
                Some(Value::Array(kept)) => FieldsV1::new(kept.first()?)?,
                Some(_) => return None,
                None => FieldsV1::default(),
            };
            let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or("");
            let operation = match text("operation") {
                "Apply" => Operation::Apply,
                "Update" => Operation::Update,
                _ => return None,
            };
            if text("fieldsType") != "FieldsV1" || text("apiVersion").is_empty() {
                return None;
            }
            let entry = Entry::new(
                operation,
                text("manager"),
                text("apiVersion"),
                text("subresource"),
            );
            managers.insert(
                entry,
                Owned {
                    fields,
                    api_version: text("apiVersion").to_owned(),
                    time: text("time").to_owned(),
                },
            );
        }
        Some(Self(managers))
    }

    /// What is wrong with `metadata.managedFields` of a compact object.
    pub fn fault(list: &[Value]) -> Option<String> {
        list.iter().enumerate().find_map(|(position, item)| {
            let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or("");
            if !matches!(text("operation"), "Apply" | "Update") {
                return Some("operation must be `Apply` or `Update`".to_owned());
            }
            if text("apiVersion").is_empty() {
                return Some("apiVersion must not be empty".to_owned());
            }
            match text("fieldsType") {
                "FieldsV1" => {}
                "" => return Some(format!("missing fieldsType in managed fields entry {position}")),
                other => {
                    return Some(format!(
                        "invalid fieldsType {other:?} in managed fields entry {position}"
                    ));
                }
            }
            let unread = Self::decode(vec![item.clone()]).is_none();
            unread.then(|| format!("managed fields entry {position} has no set of fields"))
        })
    }

    /// Turns into `metadata.managedFields` of a compact object: appliers first, then by time and name.
    pub fn encode(self) -> Vec<Value> {
        let mut entries: Vec<_> = self.0.into_iter().collect();
        entries.sort_by(|(a, x), (b, y)| {
            (a.operation, &x.time, &a.manager, &x.api_version, &a.subresource).cmp(&(
                b.operation,
                &y.time,
                &b.manager,
                &y.api_version,
                &b.subresource,
            ))
        });
        let entry = |(entry, owned): (Entry, Owned)| {
            let mut value = Map::new();
            let mut set = |key: &str, item: Value| value.insert(key.to_owned(), item);
            set("manager", entry.manager.into());
            set("operation", entry.operation.as_str().into());
            set("apiVersion", owned.api_version.into());
            set("fieldsType", "FieldsV1".into());
            set("fieldsV1", owned.fields.into_text().into());
            if !owned.time.is_empty() {
                set("time", owned.time.into());
            }
            if !entry.subresource.is_empty() {
                set("subresource", entry.subresource.into());
            }
            Value::Object(value)
        };
        entries.into_iter().map(entry).collect()
    }
}
