//! Pieces that cells of many kinds are made of.
use crate::value::{list, object, text};
use apimachinery::selector::LabelSelector;
use apimachinery::{meta, time};
use jiff::Timestamp;
use serde_json::{Value, json};

/// How long ago a timestamp was.
pub(super) fn since(text: &str, now: Timestamp) -> String {
    match text.parse::<Timestamp>() {
        Ok(then) => time::human_duration(now.as_second() - then.as_second()),
        Err(_) => "<unknown>".into(),
    }
}

/// The age of an object.
pub(super) fn age(object: &Value, now: Timestamp) -> Value {
    json!(since(meta::creation_timestamp(object), now))
}

/// The name of an object.
pub(super) fn name(object: &Value) -> Value {
    json!(meta::name(object))
}

/// The text, or `<none>`.
pub(super) fn or_none(text: &str) -> &str {
    if text.is_empty() { "<none>" } else { text }
}

/// `a=b,c=d`, or `<none>`.
pub(super) fn labels(value: &Value) -> String {
    let pairs: Vec<String> = value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or("")))
        .collect();
    or_none(&pairs.join(",")).to_owned()
}

/// A LabelSelector object as text.
pub(super) fn selector(value: &Value) -> String {
    match LabelSelector::from_object(Some(value).filter(|value| !value.is_null())) {
        Ok(selector) if selector.nothing || selector.is_everything() => "<none>".into(),
        Ok(selector) => selector.to_string(),
        Err(_) => "<error>".into(),
    }
}

/// Names and images of the containers of a pod spec, each joined by commas.
pub(super) fn containers(spec: &Value) -> (String, String) {
    let join = |field: &str| {
        list(spec, &["containers"])
            .iter()
            .map(|container| text(container, &[field]))
            .collect::<Vec<_>>()
            .join(",")
    };
    (join("name"), join("image"))
}

/// The first few of the texts, and how many more there are.
pub(super) fn some(texts: &[String], max: usize) -> String {
    if texts.len() > max {
        format!("{} + {} more...", texts[..max].join(","), texts.len() - max)
    } else {
        texts.join(",")
    }
}

/// `RWO,ROX` for a list of access modes.
pub(super) fn access_modes(modes: &[Value]) -> String {
    let shorts = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let found: Vec<&str> = shorts
        .iter()
        .filter(|(long, _)| modes.iter().any(|mode| mode == long))
        .map(|(_, short)| *short)
        .collect();
    found.join(",")
}

/// How many entries the maps at these fields have in all.
pub(super) fn entries(value: &Value, fields: &[&str]) -> usize {
    fields
        .iter()
        .filter_map(|field| object(value, &[field]))
        .map(serde_json::Map::len)
        .sum()
}
