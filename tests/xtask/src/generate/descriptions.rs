//! Texts of schemas and fields for `kubectl explain`.
use super::presence::{message_name, property};
use super::prost::{Field, Message, Messages};
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

/// Messages whose fields are parameters of requests' queries.
const OPTIONS: [(&str, &[&str]); 2] = [
    (
        "apimachinery.pkg.apis.meta.v1",
        &[
            "DeleteOptions",
            "GetOptions",
            "ListOptions",
            "PatchOptions",
            "UpdateOptions",
        ],
    ),
    (
        "api.core.v1",
        &[
            "NodeProxyOptions",
            "PodAttachOptions",
            "PodExecOptions",
            "PodLogOptions",
            "PodPortForwardOptions",
            "PodProxyOptions",
            "ServiceProxyOptions",
        ],
    ),
];

/// Text of each option of requests, by its kind and its name in small letters.
pub fn options(messages: &Messages) -> BTreeMap<String, BTreeMap<String, String>> {
    let kinds = OPTIONS.iter().flat_map(|(module, kinds)| {
        let whole = move |kind: &&'static str| (*kind, messages.get(&format!("{module}.{kind}")));
        kinds.iter().map(whole)
    });
    let texts = |message: &Message| {
        let text = |field: &Field| (field.name.replace('_', ""), as_parameter(&field.text));
        message.fields.iter().map(text).collect()
    };
    kinds
        .filter_map(|(kind, message)| Some((kind.to_owned(), texts(message?))))
        .collect()
}

/// Parameters' texts go on in the same line where a list begins, unless what is before it is indented.
fn as_parameter(text: &str) -> String {
    let mut out = String::new();
    let mut before = "";
    for line in text.split('\n') {
        let indented = line.starts_with(' ');
        if line.starts_with('-') && !before.is_empty() && !before.starts_with(' ') {
            out.push(' ');
        } else if !out.is_empty() {
            out.push('\n');
        }
        if indented {
            out.push_str("  ");
        }
        out.push_str(line.trim_start());
        before = line;
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
