use super::{ParseSelectorError, parse};
use serde_json::{Map, Value};
use std::fmt;

/// How a requirement compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    Equals,
    NotEquals,
    GreaterThan,
    LessThan,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    pub key: String,
    pub operator: Operator,
    pub values: Vec<String>,
}

/// Conditions that must all hold. The default one matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct LabelSelector {
    pub requirements: Vec<Requirement>,
    /// Matches nothing at all, whatever the requirements.
    pub nothing: bool,
}

impl Requirement {
    /// Whether a label with this value (or no such label) satisfies the condition.
    pub fn holds(&self, value: Option<&str>) -> bool {
        let listed = |value: &str| self.values.iter().any(|other| other == value);
        let compare = |test: fn(i64, i64) -> bool| {
            let number = value.and_then(|value| value.parse::<i64>().ok());
            let limit = self.values.first().and_then(|value| value.parse::<i64>().ok());
            matches!((number, limit), (Some(number), Some(limit)) if test(number, limit))
        };
        match self.operator {
            Operator::In | Operator::Equals => value.is_some_and(listed),
            Operator::NotIn | Operator::NotEquals => !value.is_some_and(listed),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => compare(|number, limit| number > limit),
            Operator::LessThan => compare(|number, limit| number < limit),
        }
    }
}

impl LabelSelector {
    /// A selector that matches nothing.
    pub fn nothing() -> Self {
        Self {
            requirements: Vec::new(),
            nothing: true,
        }
    }

    /// Parses `a=b,c!=d,e in (f,g),h,!i,j>5`.
    pub fn parse(text: &str) -> Result<Self, ParseSelectorError> {
        parse::label_selector(text)
    }

    /// The selector that requires each of these labels.
    pub fn from_map(labels: &Map<String, Value>) -> Self {
        let equals = |(key, value): (&String, &Value)| Requirement {
            key: key.clone(),
            operator: Operator::In,
            values: vec![value.as_str().unwrap_or("").to_owned()],
        };
        Self {
            requirements: labels.iter().map(equals).collect(),
            nothing: false,
        }
    }

    /// Reads a LabelSelector object. A missing one matches nothing, an empty one everything.
    pub fn from_object(selector: Option<&Value>) -> Result<Self, ParseSelectorError> {
        let Some(selector) = selector.and_then(Value::as_object) else {
            return Ok(Self::nothing());
        };
        let mut out = selector
            .get("matchLabels")
            .and_then(Value::as_object)
            .map(Self::from_map)
            .unwrap_or_default();
        for expression in selector
            .get("matchExpressions")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let text = |key: &str| expression.get(key).and_then(Value::as_str).unwrap_or("");
            let operator = match text("operator") {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => {
                    return Err(ParseSelectorError(format!(
                        "{} is not a valid label selector operator",
                        crate::field::quote(other)
                    )));
                }
            };
            let values = expression
                .get("values")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect();
            out.requirements.push(Requirement {
                key: text("key").to_owned(),
                operator,
                values,
            });
        }
        Ok(out)
    }

    /// Whether every object matches.
    pub fn is_everything(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// Whether labels, looked up by key, satisfy the selector.
    pub fn matches_with<'a>(&self, lookup: impl Fn(&str) -> Option<&'a str>) -> bool {
        !self.nothing
            && self
                .requirements
                .iter()
                .all(|requirement| requirement.holds(lookup(&requirement.key)))
    }

    /// Whether these labels satisfy the selector.
    pub fn matches(&self, labels: Option<&Map<String, Value>>) -> bool {
        self.matches_with(|key| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str))
    }
}

impl fmt::Display for LabelSelector {
    /// The canonical text, which [`LabelSelector::parse`] reads back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut requirements: Vec<&Requirement> = self.requirements.iter().collect();
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        for (index, requirement) in requirements.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{requirement}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut values = self.values.clone();
        values.sort();
        let key = &self.key;
        let joined = values.join(",");
        match self.operator {
            Operator::Exists => write!(f, "{key}"),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::Equals => write!(f, "{key}={joined}"),
            Operator::In if values.len() == 1 => write!(f, "{key}={joined}"),
            Operator::In => write!(f, "{key} in ({joined})"),
            Operator::NotEquals => write!(f, "{key}!={joined}"),
            Operator::NotIn if values.len() == 1 => write!(f, "{key}!={joined}"),
            Operator::NotIn => write!(f, "{key} notin ({joined})"),
            Operator::GreaterThan => write!(f, "{key}>{joined}"),
            Operator::LessThan => write!(f, "{key}<{joined}"),
        }
    }
}
