//! The selectors of a request, as authorizers are told of them.

use apimachinery::selector::{FieldSelector, LabelSelector, Operator};
use serde_json::{Value, json};

/// One term of a selector.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Term {
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: &'static str,
    pub values: Vec<String>,
}

impl Term {
    /// Whether it selects this value and no other.
    pub fn is(&self, key: &str, value: &str) -> bool {
        self.key == key && self.operator == "In" && matches!(self.values.as_slice(), [only] if only == value)
    }
}

/// The terms of a field selector; what is no selector is refused elsewhere and has none.
pub fn of_fields(text: &str) -> Vec<Term> {
    let Ok(selector) = FieldSelector::parse(text) else {
        return Vec::new();
    };
    let terms = selector.requirements.into_iter().map(|requirement| Term {
        key: requirement.field,
        operator: if requirement.equal { "In" } else { "NotIn" },
        values: vec![requirement.value],
    });
    terms.collect()
}

/// The terms of a label selector; those that compare numbers are not told.
pub fn of_labels(text: &str) -> Vec<Term> {
    let Ok(selector) = LabelSelector::parse(text) else {
        return Vec::new();
    };
    let terms = selector.requirements.into_iter().filter_map(|requirement| {
        let operator = match requirement.operator {
            Operator::In | Operator::Equals => "In",
            Operator::NotIn | Operator::NotEquals => "NotIn",
            Operator::Exists => "Exists",
            Operator::DoesNotExist => "DoesNotExist",
            Operator::GreaterThan | Operator::LessThan => return None,
        };
        Some(Term {
            key: requirement.key,
            operator,
            values: requirement.values.into_iter().collect(),
        })
    });
    terms.collect()
}

/// The terms that a review asks about: requirements, or else a selector as text.
pub fn of_review(selector: &Value, parse: fn(&str) -> Vec<Term>) -> Vec<Term> {
    let requirements = selector["requirements"].as_array().map_or(&[][..], Vec::as_slice);
    if requirements.is_empty() {
        return parse(selector["rawSelector"].as_str().unwrap_or(""));
    }
    let terms = requirements.iter().filter_map(|requirement| {
        let operator = match requirement["operator"].as_str()? {
            "In" => "In",
            "NotIn" => "NotIn",
            "Exists" => "Exists",
            "DoesNotExist" => "DoesNotExist",
            _ => return None,
        };
        let values = requirement["values"].as_array().into_iter().flatten();
        Some(Term {
            key: requirement["key"].as_str()?.to_owned(),
            operator,
            values: values.filter_map(Value::as_str).map(str::to_owned).collect(),
        })
    });
    terms.collect()
}

/// As a review has them.
pub fn to_review(terms: &[Term]) -> Value {
    let requirements = terms.iter().map(|term| {
        let mut requirement = json!({ "key": term.key, "operator": term.operator });
        if !term.values.is_empty() {
            requirement["values"] = json!(term.values);
        }
        requirement
    });
    json!({ "requirements": requirements.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_told_with_four_operators() {
        for (terms, expected) in [
            (
                of_fields("spec.nodeName=n1,status.phase!=Failed"),
                json!([
                    {"key": "spec.nodeName", "operator": "In", "values": ["n1"]},
                    {"key": "status.phase", "operator": "NotIn", "values": ["Failed"]},
                ]),
            ),
            (
                of_labels("a=1,b!=2,c in (x,y),d notin (z),e,!f"),
                json!([
                    {"key": "a", "operator": "In", "values": ["1"]},
                    {"key": "b", "operator": "NotIn", "values": ["2"]},
                    {"key": "c", "operator": "In", "values": ["x", "y"]},
                    {"key": "d", "operator": "NotIn", "values": ["z"]},
                    {"key": "e", "operator": "Exists"},
                    {"key": "f", "operator": "DoesNotExist"},
                ]),
            ),
            (of_labels("g>1"), json!([])),
            (of_labels("a=b=c"), json!([])),
        ] {
            assert_eq!(to_review(&terms)["requirements"], expected);
            assert_eq!(of_review(&to_review(&terms), of_labels), terms, "there and back");
        }
    }

    #[test]
    fn a_review_may_have_a_selector_as_text() {
        let terms = of_review(&json!({ "rawSelector": "a=1" }), of_labels);
        assert_eq!(terms, of_labels("a=1"));
    }
}
