//! Texts of schemas and fields for `kubectl explain`.
use super::presence::{message_name, property};
use super::prost::{Message, Messages};
use serde_json::Value;
use std::collections::BTreeMap;

/// Text of each schema under `""` and of each of its fields.
pub fn collect(raw: &Value, messages: &Messages) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut out = BTreeMap::new();
    for (schema, definition) in raw.as_object().into_iter().flatten() {
        let name = message_name(schema);
        let Some(message) = messages.get(&name) else {
            continue;
        };
        let mut texts = BTreeMap::from([(String::new(), message.text.clone())]);
        fields(
            &definition["properties"],
            name.rsplit_once('.').map_or("", |(module, _)| module),
            message,
            messages,
            &mut texts,
        );
        texts.retain(|_, text| !text.is_empty());
        out.insert(schema.clone(), texts);
    }
    out
}

fn fields(
    properties: &Value,
    module: &str,
    message: &Message,
    messages: &Messages,
    texts: &mut BTreeMap<String, String>,
) {
    for field in &message.fields {
        match property(properties, &field.name) {
            Some((name, _)) => {
                texts.insert(name.to_owned(), field.text.clone());
            }
            None => {
                if let Some(inner) = messages
                    .get(&format!("{module}.{}", field.ty))
                    .filter(|_| field.message)
                {
                    fields(properties, module, inner, messages, texts);
                }
            }
        }
    }
}
