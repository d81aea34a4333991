//! What an autoscaler looks at, in the words of v1 and of v2. Each kind of source has a field of its own.

use super::text::{Fields, Reader};
use serde_json::{Map, Value, json};

/// A field of v1: how it is read, and where v2 has it.
struct Field {
    v1: &'static str,
    v2: &'static [&'static str],
    shape: Shape,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Text,
    /// Left out if it isn't there.
    Number,
    Quantity,
    /// Zero if it isn't there.
    Amount,
    Selector,
    /// What an object is: kind, name, version.
    Reference,
}

const fn field(v1: &'static str, v2: &'static [&'static str], shape: Shape) -> Field {
    Field { v1, v2, shape }
}

/// The fields of a source in the order of v1's, `part` being `target` or `current`.
struct Source {
    name: &'static str,
    target: &'static [Field],
    current: &'static [Field],
}

use Shape::{Amount, Number, Quantity, Reference, Selector, Text};

const SOURCES: &[Source] = &[
    Source {
        name: "object",
        target: &[
            field("target", &["describedObject"], Reference),
            field("metricName", &["metric", "name"], Text),
            field("targetValue", &["target", "value"], Amount),
            field("selector", &["metric", "selector"], Selector),
            field("averageValue", &["target", "averageValue"], Quantity),
        ],
        current: &[
            field("target", &["describedObject"], Reference),
            field("metricName", &["metric", "name"], Text),
            field("currentValue", &["current", "value"], Amount),
            field("selector", &["metric", "selector"], Selector),
            field("averageValue", &["current", "averageValue"], Quantity),
        ],
    },
    Source {
        name: "pods",
        target: &[
            field("metricName", &["metric", "name"], Text),
            field("targetAverageValue", &["target", "averageValue"], Amount),
            field("selector", &["metric", "selector"], Selector),
        ],
        current: &[
            field("metricName", &["metric", "name"], Text),
            field("currentAverageValue", &["current", "averageValue"], Amount),
            field("selector", &["metric", "selector"], Selector),
        ],
    },
    Source {
        name: "resource",
        target: &[
            field("name", &["name"], Text),
            field(
                "targetAverageUtilization",
                &["target", "averageUtilization"],
                Number,
            ),
            field("targetAverageValue", &["target", "averageValue"], Quantity),
        ],
        current: &[
            field("name", &["name"], Text),
            field(
                "currentAverageUtilization",
                &["current", "averageUtilization"],
                Number,
            ),
            field("currentAverageValue", &["current", "averageValue"], Amount),
        ],
    },
    Source {
        name: "containerResource",
        target: &[
            field("name", &["name"], Text),
            field(
                "targetAverageUtilization",
                &["target", "averageUtilization"],
                Number,
            ),
            field("targetAverageValue", &["target", "averageValue"], Quantity),
            field("container", &["container"], Text),
        ],
        current: &[
            field("name", &["name"], Text),
            field(
                "currentAverageUtilization",
                &["current", "averageUtilization"],
                Number,
            ),
            field("currentAverageValue", &["current", "averageValue"], Amount),
            field("container", &["container"], Text),
        ],
    },
    Source {
        name: "external",
        target: &[
            field("metricName", &["metric", "name"], Text),
            field("metricSelector", &["metric", "selector"], Selector),
            field("targetValue", &["target", "value"], Quantity),
            field("targetAverageValue", &["target", "averageValue"], Quantity),
        ],
        current: &[
            field("metricName", &["metric", "name"], Text),
            field("metricSelector", &["metric", "selector"], Selector),
            field("currentValue", &["current", "value"], Amount),
            field("currentAverageValue", &["current", "averageValue"], Quantity),
        ],
    },
];

/// The JSON of v1 of a metric of v2.
pub(super) fn to_v1(metric: &Value) -> String {
    write(metric, |source| source.target)
}

/// The same of what was measured.
pub(super) fn status_to_v1(metric: &Value) -> String {
    write(metric, |source| source.current)
}

fn write(metric: &Value, fields: fn(&Source) -> &'static [Field]) -> String {
    let mut text = Fields::new().or("type", &metric["type"], "\"\"");
    for source in SOURCES {
        let given = &metric[source.name];
        if given.is_object() {
            let own = fields(source).iter().fold(Fields::new(), |own, field| {
                let value = field.v2.iter().fold(given, |at, name| &at[*name]);
                match field.shape {
                    Text => own.or(field.v1, value, "\"\""),
                    Amount => own.or(field.v1, value, "\"0\""),
                    Number | Quantity => own.maybe(field.v1, value),
                    Selector => own.selector(field.v1, value),
                    Reference => own.with(
                        field.v1,
                        &Fields::new()
                            .or("kind", &value["kind"], "\"\"")
                            .or("name", &value["name"], "\"\"")
                            .maybe("apiVersion", &value["apiVersion"])
                            .end(),
                    ),
                }
            });
            text = text.with(source.name, &own.end());
        }
    }
    text.end()
}

/// A metric of v1 in v2; `None` where it can't be read.
pub(super) fn to_v2(metric: &Value) -> Option<Value> {
    let mut made = read(metric, |source| source.target)?;
    for source in SOURCES {
        let target = &made[source.name]["target"];
        if made[source.name].is_null() {
            continue;
        }
        let given = |field: &str| !target[field].is_null();
        let kind = match source.name {
            "pods" => "AverageValue",
            "object" if given("averageValue") => "AverageValue",
            "object" => "Value",
            "external" if given("value") => "Value",
            "external" => "AverageValue",
            _ if given("averageUtilization") => "Utilization",
            _ => "AverageValue",
        };
        // v1 has a value with each, and none is zero then.
        if source.name == "object" && kind == "AverageValue" && target["value"] == "0" {
            made[source.name]["target"].as_object_mut()?.remove("value");
        }
        made[source.name]["target"]["type"] = json!(kind);
    }
    Some(made)
}

/// The same of what was measured.
pub(super) fn status_to_v2(metric: &Value) -> Option<Value> {
    read(metric, |source| source.current)
}

fn read(metric: &Value, fields: fn(&Source) -> &'static [Field]) -> Option<Value> {
    let metric = Reader::of(metric)?;
    let mut made = json!({ "type": metric.text("type")? });
    for source in SOURCES {
        let given = metric.get(source.name);
        if given.is_null() {
            continue;
        }
        let given = Reader::of(given)?;
        let mut own = Value::Object(Map::new());
        for field in fields(source) {
            let value = match field.shape {
                Text => given.text(field.v1)?.into(),
                Number => given.number(field.v1)?,
                Quantity => given.quantity(field.v1)?,
                Amount => given.amount(field.v1)?,
                Selector => given.selector(field.v1)?,
                Reference => reference(given.get(field.v1))?,
            };
            if !value.is_null() {
                *field.v2.iter().fold(&mut own, |at, name| &mut at[*name]) = value;
            }
        }
        made[source.name] = own;
    }
    Some(made)
}

fn reference(value: &Value) -> Option<Value> {
    let mut made = json!({ "kind": "", "name": "" });
    if value.is_null() {
        return Some(made);
    }
    let read = Reader::of(value)?;
    for field in ["kind", "name", "apiVersion"] {
        let text = read.text(field)?;
        if !text.is_empty() || field != "apiVersion" {
            made[field] = json!(text);
        }
    }
    Some(made)
}
