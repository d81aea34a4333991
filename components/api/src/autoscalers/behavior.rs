//! How fast an autoscaler acts, which v1 keeps as upstream's internal type is written: with the names of Go's fields.

use super::text::{Fields, Reader, list};
use serde_json::{Map, Value};

const DIRECTIONS: [(&str, &str); 2] = [("ScaleUp", "scaleUp"), ("ScaleDown", "scaleDown")];

pub(super) fn to_internal(behavior: &Value) -> String {
    let mut fields = Fields::new();
    for (internal, name) in DIRECTIONS {
        let rules = &behavior[name];
        let text = if rules.is_object() {
            rules_to_internal(rules)
        } else {
            "null".to_owned()
        };
        fields = fields.with(internal, &text);
    }
    fields.end()
}

fn rules_to_internal(rules: &Value) -> String {
    let policies = rules["policies"].as_array().map(|policies| {
        let policies: Vec<String> = policies
            .iter()
            .map(|policy| {
                Fields::new()
                    .or("Type", &policy["type"], "\"\"")
                    .or("Value", &policy["value"], "0")
                    .or("PeriodSeconds", &policy["periodSeconds"], "0")
                    .end()
            })
            .collect();
        list(&policies)
    });
    Fields::new()
        .or(
            "StabilizationWindowSeconds",
            &rules["stabilizationWindowSeconds"],
            "null",
        )
        .or("SelectPolicy", &rules["selectPolicy"], "null")
        .with("Policies", policies.as_deref().unwrap_or("null"))
        .or("Tolerance", &rules["tolerance"], "null")
        .end()
}

/// `None` where it can't be read, or says nothing.
pub(super) fn from_internal(said: &Value) -> Option<Value> {
    let read = Reader::of(said)?;
    let mut made = Map::new();
    for (internal, name) in DIRECTIONS {
        let rules = read.get(internal);
        if !rules.is_null() {
            made.insert(name.to_owned(), rules_from_internal(rules)?);
        }
    }
    (!made.is_empty()).then_some(Value::Object(made))
}

fn rules_from_internal(rules: &Value) -> Option<Value> {
    let read = Reader::of(rules)?;
    let mut made = Map::new();
    let mut set = |name: &str, value: Value| {
        if !value.is_null() {
            made.insert(name.to_owned(), value);
        }
    };
    set(
        "stabilizationWindowSeconds",
        read.number("StabilizationWindowSeconds")?,
    );
    let policy = read.get("SelectPolicy");
    if !policy.is_null() && !policy.is_string() {
        return None;
    }
    set("selectPolicy", policy.clone());
    match read.get("Policies") {
        Value::Null => {}
        Value::Array(policies) => {
            let policies = policies.iter().map(policy_from_internal);
            set("policies", Value::Array(policies.collect::<Option<_>>()?));
        }
        _ => return None,
    }
    set("tolerance", read.quantity("Tolerance")?);
    Some(Value::Object(made))
}

fn policy_from_internal(policy: &Value) -> Option<Value> {
    let read = Reader::of(policy)?;
    let number = |name: &str| {
        let number = read.number(name)?;
        Some(number.as_i64().unwrap_or(0))
    };
    Some(serde_json::json!({
        "type": read.text("Type")?,
        "value": number("Value")?,
        "periodSeconds": number("PeriodSeconds")?,
    }))
}
