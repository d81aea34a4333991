//! Events have other field names in their own group than in the core group, in which they are stored.

use serde_json::Value;

/// Core's name, and that of events.k8s.io.
const NAMES: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

fn rename(value: &mut Value, names: impl Iterator<Item = (&'static str, &'static str)>) {
    let Some(fields) = value.as_object_mut() else {
        return;
    };
    for (from, to) in names {
        if let Some(field) = fields.remove(from) {
            fields.insert(to.to_owned(), field);
        }
    }
}

/// From events.k8s.io's names to core's.
pub fn to_core(value: &mut Value) {
    rename(value, NAMES.into_iter().map(|(core, own)| (own, core)));
}

/// From core's names to events.k8s.io's.
pub fn from_core(value: &mut Value) {
    rename(value, NAMES.into_iter());
}

/// Core's name of a field that selectors of events.k8s.io may name.
pub fn core_field(name: &str) -> Option<String> {
    match name {
        "reason" | "type" | "metadata.name" | "metadata.namespace" => Some(name.to_owned()),
        "reportingController" => Some("reportingComponent".to_owned()),
        _ => name
            .strip_prefix("regarding.")
            .map(|field| format!("involvedObject.{field}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_go_there_and_back() {
        let core = json!({"involvedObject": {"name": "p"}, "message": "m", "count": 2, "reason": "r", "reportingComponent": "c"});
        let mut value = core.clone();
        from_core(&mut value);
        assert_eq!(
            value,
            json!({"regarding": {"name": "p"}, "note": "m", "deprecatedCount": 2, "reason": "r", "reportingController": "c"})
        );
        to_core(&mut value);
        assert_eq!(value, core);
    }
}
