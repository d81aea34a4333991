//! Label selectors over string maps. Matching is memoised per label set, so it need not be fast.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

pub type Labels = BTreeMap<String, String>;

/// A conjunction of requirements; empty matches everything. Requirements are sorted, so that selectors
/// written in another order are equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Selector {
    Nothing,
    All(Vec<Requirement>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Requirement {
    pub key: String,
    pub operator: Operator,
    pub values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

impl Requirement {
    fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        let listed = || value.is_some_and(|value| self.values.contains(value));
        match self.operator {
            Operator::In => listed(),
            Operator::NotIn => !listed(),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

impl Selector {
    /// An absent selector matches nothing, an empty one everything. An operator that does not exist makes
    /// it match nothing, as upstream does with what it cannot parse.
    pub fn of(selector: Option<&LabelSelector>) -> Self {
        let Some(selector) = selector else {
            return Self::Nothing;
        };
        let mut requirements = equalities(selector.match_labels.iter().flatten());
        for expression in selector.match_expressions.iter().flatten() {
            let operator = match expression.operator.as_str() {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                _ => return Self::Nothing,
            };
            let mut values = expression.values.clone().unwrap_or_default();
            values.sort();
            requirements.push(Requirement {
                key: expression.key.clone(),
                operator,
                values,
            });
        }
        Self::from_requirements(requirements)
    }

    /// What a Service or ReplicationController selects: every label must be equal.
    pub fn of_map(labels: &Labels) -> Self {
        Self::from_requirements(equalities(labels))
    }

    fn from_requirements(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort();
        requirements.dedup();
        Self::All(requirements)
    }

    pub fn matches(&self, labels: &Labels) -> bool {
        match self {
            Self::Nothing => false,
            Self::All(requirements) => requirements.iter().all(|requirement| requirement.matches(labels)),
        }
    }

    pub fn is_empty(&self) -> bool {
        matches!(self, Self::All(requirements) if requirements.is_empty())
    }

    /// Both selectors' requirements together.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::All(mut mine), Self::All(theirs)) => {
                mine.extend(theirs);
                Self::from_requirements(mine)
            }
            _ => Self::Nothing,
        }
    }

    /// Adds the values that `labels` has under `keys`, to be equal to or different from.
    pub fn with_label_keys(self, keys: Option<&Vec<String>>, operator: Operator, labels: &Labels) -> Self {
        let more = keys
            .into_iter()
            .flatten()
            .filter_map(|key| labels.get(key).map(|value| (key, value)))
            .map(|(key, value)| Requirement {
                key: key.clone(),
                operator,
                values: vec![value.clone()],
            })
            .collect();
        self.and(Self::from_requirements(more))
    }
}

fn equalities<'a>(labels: impl IntoIterator<Item = (&'a String, &'a String)>) -> Vec<Requirement> {
    labels
        .into_iter()
        .map(|(key, value)| Requirement {
            key: key.clone(),
            operator: Operator::In,
            values: vec![value.clone()],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn selector(json: serde_json::Value) -> Selector {
        Selector::of(Some(&serde_json::from_value(json).expect("a label selector")))
    }

    #[test]
    fn operators() {
        let pod = labels(&[("app", "web"), ("tier", "front")]);
        for (json, matches) in [
            (serde_json::json!({}), true),
            (serde_json::json!({"matchLabels": {"app": "web"}}), true),
            (serde_json::json!({"matchLabels": {"app": "db"}}), false),
            (
                serde_json::json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["db", "web"]}]}),
                true,
            ),
            (
                serde_json::json!({"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["a"]}]}),
                true,
            ),
            (
                serde_json::json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}),
                false,
            ),
            (
                serde_json::json!({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}),
                true,
            ),
            (
                serde_json::json!({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}),
                false,
            ),
            (
                serde_json::json!({"matchExpressions": [{"key": "tier", "operator": "Near"}]}),
                false,
            ),
        ] {
            assert_eq!(selector(json.clone()).matches(&pod), matches, "{json}");
        }
        assert!(!Selector::of(None).matches(&pod));
    }

    #[test]
    fn order_does_not_matter() {
        assert_eq!(
            Selector::of_map(&labels(&[("a", "1")])).and(Selector::of_map(&labels(&[("b", "2")]))),
            Selector::of_map(&labels(&[("b", "2"), ("a", "1")])),
        );
    }
}
