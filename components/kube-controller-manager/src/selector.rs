//! Label selectors as objects carry them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

pub type Labels = BTreeMap<String, String>;

/// A checked label selector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    DoesNotExist(String),
}

impl Selector {
    /// Selects nothing: what a missing selector means.
    pub fn nothing() -> Self {
        Self {
            requirements: Vec::new(),
            nothing: true,
        }
    }

    /// Every label of the map must be there with that value.
    pub fn of_map(labels: &Labels) -> Self {
        let requirements = labels
            .iter()
            .map(|(key, value)| Requirement::In(key.clone(), vec![value.clone()]))
            .collect();
        Self {
            requirements,
            nothing: false,
        }
    }

    /// An error names the operator that is not known.
    pub fn new(selector: &LabelSelector) -> Result<Self, String> {
        let mut made = Self::of_map(selector.match_labels.as_ref().unwrap_or(&Labels::new()));
        for expression in selector.match_expressions.iter().flatten() {
            let key = expression.key.clone();
            let values = expression.values.clone().unwrap_or_default();
            made.requirements.push(match expression.operator.as_str() {
                "In" => Requirement::In(key, values),
                "NotIn" => Requirement::NotIn(key, values),
                "Exists" => Requirement::Exists(key),
                "DoesNotExist" => Requirement::DoesNotExist(key),
                other => return Err(format!("{other:?} is not a valid label selector operator")),
            });
        }
        Ok(made)
    }

    /// True without any requirement: it selects everything.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty() && !self.nothing
    }

    pub fn matches(&self, labels: Option<&Labels>) -> bool {
        let value = |key: &String| labels.and_then(|labels| labels.get(key));
        !self.nothing
            && self.requirements.iter().all(|requirement| match requirement {
                Requirement::In(key, values) => value(key).is_some_and(|value| values.contains(value)),
                Requirement::NotIn(key, values) => value(key).is_none_or(|value| !values.contains(value)),
                Requirement::Exists(key) => value(key).is_some(),
                Requirement::DoesNotExist(key) => value(key).is_none(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn selectors_match_as_documented() {
        let cases = [
            (json!({}), json!({"a": "b"}), true),
            (
                json!({"matchLabels": {"a": "b"}}),
                json!({"a": "b", "c": "d"}),
                true,
            ),
            (json!({"matchLabels": {"a": "b"}}), json!({"a": "c"}), false),
            (
                json!({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]}),
                json!({}),
                true,
            ),
            (
                json!({"matchExpressions": [{"key": "a", "operator": "Exists"}]}),
                json!({}),
                false,
            ),
            (
                json!({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}),
                json!({}),
                true,
            ),
            (
                json!({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b", "c"]}]}),
                json!({"a": "c"}),
                true,
            ),
        ];
        for (selector, labels, want) in cases {
            let parsed: LabelSelector = serde_json::from_value(selector.clone()).unwrap();
            let labels: Labels = serde_json::from_value(labels).unwrap();
            assert_eq!(
                Selector::new(&parsed).unwrap().matches(Some(&labels)),
                want,
                "{selector}"
            );
        }
        assert!(!Selector::nothing().matches(None));
    }
}
