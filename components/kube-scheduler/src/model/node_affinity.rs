//! Which nodes a pod selects, by labels and by name.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1;

/// One requirement on a node's label or, for `metadata.name`, on its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRequirement {
    pub key: String,
    pub operator: NodeOperator,
    pub values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeOperator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    Gt,
    Lt,
}

impl NodeRequirement {
    fn of(requirement: &v1::NodeSelectorRequirement) -> Option<Self> {
        let operator = match requirement.operator.as_str() {
            "In" => NodeOperator::In,
            "NotIn" => NodeOperator::NotIn,
            "Exists" => NodeOperator::Exists,
            "DoesNotExist" => NodeOperator::DoesNotExist,
            "Gt" => NodeOperator::Gt,
            "Lt" => NodeOperator::Lt,
            _ => return None,
        };
        Some(Self {
            key: requirement.key.clone(),
            operator,
            values: requirement.values.clone().unwrap_or_default(),
        })
    }

    pub fn admits(&self, value: Option<&str>) -> bool {
        let listed = || value.is_some_and(|value| self.values.iter().any(|one| one == value));
        let compare = |larger: bool| {
            let (Some(value), [bound]) = (value, &self.values[..]) else {
                return false;
            };
            let (Ok(value), Ok(bound)) = (value.parse::<i64>(), bound.parse::<i64>()) else {
                return false;
            };
            if larger { value > bound } else { value < bound }
        };
        match self.operator {
            NodeOperator::In => listed(),
            NodeOperator::NotIn => !listed(),
            NodeOperator::Exists => value.is_some(),
            NodeOperator::DoesNotExist => value.is_none(),
            NodeOperator::Gt => compare(true),
            NodeOperator::Lt => compare(false),
        }
    }
}

/// All requirements must hold. A term without any admits no node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeTerm {
    pub labels: Vec<NodeRequirement>,
    pub fields: Vec<NodeRequirement>,
    /// Holds something that cannot be understood, so admits no node.
    invalid: bool,
}

impl NodeTerm {
    pub fn of(term: &v1::NodeSelectorTerm) -> Self {
        let all = |from: &Option<Vec<v1::NodeSelectorRequirement>>| -> Option<Vec<NodeRequirement>> {
            from.iter().flatten().map(NodeRequirement::of).collect()
        };
        match (all(&term.match_expressions), all(&term.match_fields)) {
            (Some(labels), Some(fields)) => {
                let invalid = fields.iter().any(|field| field.key != "metadata.name");
                Self {
                    labels,
                    fields,
                    invalid,
                }
            }
            _ => Self {
                invalid: true,
                ..Self::default()
            },
        }
    }

    pub fn is_empty(&self) -> bool {
        self.invalid || (self.labels.is_empty() && self.fields.is_empty())
    }

    /// `label` gives the value of a node's label.
    pub fn admits<'n>(&self, name: &str, label: impl Fn(&str) -> Option<&'n str>) -> bool {
        !self.is_empty()
            && self.fields.iter().all(|field| field.admits(Some(name)))
            && self
                .labels
                .iter()
                .all(|requirement| requirement.admits(label(&requirement.key)))
    }

    /// The names it pins the node to, when it names any.
    fn pinned_names(&self) -> Option<Vec<&str>> {
        let mut pinned: Option<Vec<&str>> = None;
        for field in self
            .fields
            .iter()
            .filter(|field| field.operator == NodeOperator::In)
        {
            let names = field.values.iter().map(String::as_str);
            pinned = Some(match pinned {
                None => names.collect(),
                Some(before) => names.filter(|name| before.contains(name)).collect(),
            });
        }
        pinned
    }
}

/// What a pod asks of nodes: `spec.nodeSelector` and `spec.affinity.nodeAffinity`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeSelection {
    pub selector: BTreeMap<String, String>,
    /// One of the terms must admit the node; None when nothing is required.
    pub required: Option<Vec<NodeTerm>>,
    pub preferred: Vec<(i64, NodeTerm)>,
}

impl NodeSelection {
    pub fn of(spec: &v1::PodSpec) -> Self {
        let affinity = spec
            .affinity
            .as_ref()
            .and_then(|affinity| affinity.node_affinity.as_ref());
        let mut selection = Self::of_affinity(affinity);
        selection.selector = spec.node_selector.clone().unwrap_or_default();
        selection
    }

    pub fn of_affinity(affinity: Option<&v1::NodeAffinity>) -> Self {
        let Some(affinity) = affinity else {
            return Self::default();
        };
        Self {
            selector: BTreeMap::new(),
            required: affinity
                .required_during_scheduling_ignored_during_execution
                .as_ref()
                .map(|selector| selector.node_selector_terms.iter().map(NodeTerm::of).collect()),
            preferred: affinity
                .preferred_during_scheduling_ignored_during_execution
                .iter()
                .flatten()
                .map(|preferred| (i64::from(preferred.weight), NodeTerm::of(&preferred.preference)))
                .collect(),
        }
    }

    pub fn is_unrestricted(&self) -> bool {
        self.selector.is_empty() && self.required.is_none()
    }

    pub fn admits<'n>(&self, name: &str, label: impl Fn(&str) -> Option<&'n str>) -> bool {
        self.selector.iter().all(|(key, value)| label(key) == Some(value))
            && self
                .required
                .as_ref()
                .is_none_or(|terms| terms.iter().any(|term| term.admits(name, &label)))
    }

    /// The only nodes that can be admitted, when every required term names nodes (as DaemonSets do).
    pub fn pinned_names(&self) -> Option<Vec<&str>> {
        let terms = self.required.as_ref().filter(|terms| !terms.is_empty())?;
        let mut names = Vec::new();
        for term in terms {
            names.extend(term.pinned_names()?);
        }
        names.sort_unstable();
        names.dedup();
        Some(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(json: serde_json::Value) -> NodeSelection {
        NodeSelection::of_affinity(Some(&serde_json::from_value(json).expect("a node affinity")))
    }

    fn required(terms: serde_json::Value) -> NodeSelection {
        selection(
            serde_json::json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}),
        )
    }

    #[test]
    fn terms_are_alternatives_and_their_requirements_are_not() {
        let label = |key: &str| match key {
            "zone" => Some("a"),
            "cores" => Some("8"),
            _ => None,
        };
        for (terms, admitted) in [
            (serde_json::json!([]), false),
            (serde_json::json!([{}]), false),
            (
                serde_json::json!([{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]),
                true,
            ),
            (
                serde_json::json!([{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["b"]}]}, {"matchExpressions": [{"key": "cores", "operator": "Gt", "values": ["4"]}]}]),
                true,
            ),
            (
                serde_json::json!([{"matchExpressions": [{"key": "zone", "operator": "Exists"}, {"key": "cores", "operator": "Lt", "values": ["8"]}]}]),
                false,
            ),
            (
                serde_json::json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}]),
                true,
            ),
            (
                serde_json::json!([{"matchFields": [{"key": "metadata.uid", "operator": "In", "values": ["n1"]}]}]),
                false,
            ),
            (
                serde_json::json!([{"matchExpressions": [{"key": "zone", "operator": "Near"}]}]),
                false,
            ),
        ] {
            assert_eq!(required(terms.clone()).admits("n1", label), admitted, "{terms}");
        }
    }

    #[test]
    fn nodes_are_pinned_only_when_every_term_names_some() {
        let by_name = serde_json::json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["b", "a"]}]});
        let by_label = serde_json::json!({"matchExpressions": [{"key": "zone", "operator": "Exists"}]});
        assert_eq!(
            required(serde_json::json!([by_name])).pinned_names(),
            Some(vec!["a", "b"])
        );
        assert_eq!(
            required(serde_json::json!([by_name, by_label])).pinned_names(),
            None
        );
        assert_eq!(NodeSelection::default().pinned_names(), None);
    }
}
