//! Taints of nodes and tolerations of pods.

use k8s_openapi::api::core::v1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Effect {
    NoSchedule,
    PreferNoSchedule,
    NoExecute,
}

impl Effect {
    fn of(text: &str) -> Option<Self> {
        Some(match text {
            "NoSchedule" => Self::NoSchedule,
            "PreferNoSchedule" => Self::PreferNoSchedule,
            "NoExecute" => Self::NoExecute,
            _ => return None,
        })
    }

    /// Keeps pods that do not tolerate it off the node.
    pub fn repels(self) -> bool {
        self != Self::PreferNoSchedule
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Taint {
    pub key: String,
    pub value: String,
    pub effect: Effect,
}

impl Taint {
    pub fn of(taint: &v1::Taint) -> Option<Self> {
        Some(Self {
            key: taint.key.clone(),
            value: taint.value.clone().unwrap_or_default(),
            effect: Effect::of(&taint.effect)?,
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toleration {
    /// Empty with `Exists` tolerates every key.
    pub key: String,
    pub operator: TolerationOperator,
    pub value: String,
    /// None tolerates every effect.
    pub effect: Option<Effect>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TolerationOperator {
    Equal,
    Exists,
    /// The taint's value is a smaller integer than the toleration's.
    Lt,
    /// The taint's value is a larger integer than the toleration's.
    Gt,
}

impl Toleration {
    pub fn of(toleration: &v1::Toleration) -> Option<Self> {
        Some(Self {
            key: toleration.key.clone().unwrap_or_default(),
            operator: match toleration.operator.as_deref() {
                None | Some("" | "Equal") => TolerationOperator::Equal,
                Some("Exists") => TolerationOperator::Exists,
                Some("Lt") => TolerationOperator::Lt,
                Some("Gt") => TolerationOperator::Gt,
                Some(_) => return None,
            },
            value: toleration.value.clone().unwrap_or_default(),
            effect: match toleration.effect.as_deref() {
                None | Some("") => None,
                Some(effect) => Some(Effect::of(effect)?),
            },
        })
    }

    pub fn tolerates(&self, taint: &Taint) -> bool {
        if self.effect.is_some_and(|effect| effect != taint.effect) {
            return false;
        }
        if !self.key.is_empty() && self.key != taint.key {
            return false;
        }
        match self.operator {
            TolerationOperator::Exists => true,
            TolerationOperator::Equal => self.value == taint.value,
            TolerationOperator::Lt | TolerationOperator::Gt => {
                let (Ok(ours), Ok(theirs)) = (self.value.parse::<i64>(), taint.value.parse::<i64>()) else {
                    return false;
                };
                if self.operator == TolerationOperator::Lt {
                    theirs < ours
                } else {
                    theirs > ours
                }
            }
        }
    }
}

/// Whether one of the tolerations covers the taint.
pub fn tolerated(taint: &Taint, tolerations: &[Toleration]) -> bool {
    tolerations.iter().any(|toleration| toleration.tolerates(taint))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taint(key: &str, value: &str, effect: Effect) -> Taint {
        Taint {
            key: key.to_owned(),
            value: value.to_owned(),
            effect,
        }
    }

    #[test]
    fn tolerations_cover_taints_by_key_value_and_effect() {
        for (json, covered) in [
            (serde_json::json!({"operator": "Exists"}), true),
            (serde_json::json!({"key": "a", "operator": "Exists"}), true),
            (serde_json::json!({"key": "b", "operator": "Exists"}), false),
            (serde_json::json!({"key": "a", "value": "1"}), true),
            (
                serde_json::json!({"key": "a", "operator": "Equal", "value": "2"}),
                false,
            ),
            (
                serde_json::json!({"key": "a", "value": "1", "effect": "NoExecute"}),
                false,
            ),
            (
                serde_json::json!({"key": "a", "value": "1", "effect": "NoSchedule"}),
                true,
            ),
            (
                serde_json::json!({"key": "a", "operator": "Lt", "value": "5"}),
                true,
            ),
            (
                serde_json::json!({"key": "a", "operator": "Gt", "value": "5"}),
                false,
            ),
        ] {
            let toleration: v1::Toleration = serde_json::from_value(json.clone()).expect("a toleration");
            let toleration = Toleration::of(&toleration).expect("known operator");
            assert_eq!(
                toleration.tolerates(&taint("a", "1", Effect::NoSchedule)),
                covered,
                "{json}"
            );
        }
    }
}
