//! Field numbers of all messages.

use super::former;
use flate2::read::GzDecoder;
use serde_json::Value;
use std::collections::HashMap;
use std::io::BufReader;
use std::sync::LazyLock;

/// Fields of a message by number.
pub type Message = HashMap<u32, Entry>;

/// What a field is in JSON.
#[derive(Clone, Debug)]
pub enum Entry {
    Named(String),
    /// A message whose fields JSON has in the object itself.
    Inline(Message),
}

const EMBEDDED: &[u8] = include_bytes!("../gen/protobuf-fields.json.gz");

/// Messages by the full name of their schema.
pub static TABLE: LazyLock<HashMap<String, Message>> = LazyLock::new(|| {
    let value: Value = serde_json::from_reader(BufReader::new(GzDecoder::new(EMBEDDED)))
        .expect("generated data is checked by a test");
    let mut table: HashMap<String, Message> = value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, fields)| (name.clone(), message(fields)))
        .collect();
    former::add(&mut table);
    table
});

fn message(fields: &Value) -> Message {
    let entry = |value: &Value| match value.as_str() {
        Some(name) => Entry::Named(name.to_owned()),
        None => Entry::Inline(message(value)),
    };
    fields
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(number, value)| Some((number.parse().ok()?, entry(value))))
        .collect()
}
