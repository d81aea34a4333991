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

/// What a review's selector says: its terms, and whether more was said that can't be told.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub terms: Vec<Term>,
    pub is_broken: bool,
}

/// The fields that a review asks about: requirements, or else a selector as text.
pub fn asked_fields(selector: &Value) -> Asked {
    let text = selector["rawSelector"].as_str().unwrap_or("");
    if has_requirements(selector) {
        // Of a field can only be said that it is a value, or isn't.
        return required(selector, |term| {
            matches!(term.operator, "In" | "NotIn") && term.values.len() == 1
        });
    }
    Asked {
        terms: of_fields(text),
        is_broken: FieldSelector::parse(text).is_err(),
    }
}

/// The labels that a review asks about, in the same way.
pub fn asked_labels(selector: &Value) -> Asked {
    let text = selector["rawSelector"].as_str().unwrap_or("");
    if has_requirements(selector) {
        return required(selector, |_| true);
    }
    Asked {
        terms: of_labels(text),
        is_broken: LabelSelector::parse(text).is_err(),
    }
}

fn has_requirements(selector: &Value) -> bool {
    selector["requirements"]
        .as_array()
        .is_some_and(|list| !list.is_empty())
}

fn required(selector: &Value, is_known: impl Fn(&Term) -> bool) -> Asked {
    let requirements = selector["requirements"].as_array().map_or(&[][..], Vec::as_slice);
    let term = |requirement: &Value| {
        let operator = match requirement["operator"].as_str()? {
            "In" => "In",
            "NotIn" => "NotIn",
            "Exists" => "Exists",
            "DoesNotExist" => "DoesNotExist",
            _ => return None,
        };
        let values = requirement["values"].as_array().into_iter().flatten();
        let term = Term {
            key: requirement["key"].as_str().unwrap_or("").to_owned(),
            operator,
            values: values.filter_map(Value::as_str).map(str::to_owned).collect(),
        };
        is_known(&term).then_some(term)
    };
    let terms: Vec<Term> = requirements.iter().filter_map(term).collect();
    Asked {
        is_broken: terms.len() < requirements.len(),
        terms,
    }
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
            assert_eq!(asked_labels(&to_review(&terms)).terms, terms, "there and back");
        }
    }

    #[test]
    fn a_review_may_have_a_selector_as_text() {
        let asked = asked_labels(&json!({ "rawSelector": "a=1" }));
        assert_eq!(asked.terms, of_labels("a=1"));
    }

    #[test]
    fn what_cannot_be_told_of_a_review_is_known() {
        let one =
            |operator: &str, values: &[&str]| json!({"key": "a", "operator": operator, "values": values});
        let of = |requirements: &[Value]| json!({ "requirements": requirements });
        for (selector, fields, labels) in [
            (json!({"rawSelector": "a=1"}), (1, false), (1, false)),
            (json!({"rawSelector": "a=1,b>2"}), (0, true), (1, false)),
            (json!({"rawSelector": "a=b=c"}), (0, true), (0, true)),
            (of(&[one("In", &["x"])]), (1, false), (1, false)),
            (of(&[one("In", &["x", "y"])]), (0, true), (1, false)),
            (
                of(&[one("NotIn", &["x"]), one("Exists", &[])]),
                (1, true),
                (2, false),
            ),
            (
                of(&[one("Like", &["x"]), one("In", &["x"])]),
                (1, true),
                (1, true),
            ),
        ] {
            for (asked, expected) in [
                (asked_fields(&selector), fields),
                (asked_labels(&selector), labels),
            ] {
                assert_eq!((asked.terms.len(), asked.is_broken), expected, "{selector}");
            }
        }
    }
}
