//! FlowSchemas and PriorityLevelConfigurations, as far as flow control reads them.

use serde::Deserialize;

/// What every object has and flow control needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Metadata {
    pub name: String,
    pub uid: String,
}

/// Which requests belong together, and to which priority level they go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct FlowSchema {
    pub metadata: Metadata,
    pub spec: FlowSchemaSpec,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct FlowSchemaSpec {
    pub priority_level_configuration: Reference,
    /// Lower is asked first.
    pub matching_precedence: i32,
    pub distinguisher_method: Option<DistinguisherMethod>,
    pub rules: Vec<Rule>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Reference {
    pub name: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct DistinguisherMethod {
    /// `ByUser` or `ByNamespace`.
    #[serde(rename = "type")]
    pub kind: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Rule {
    pub subjects: Vec<Subject>,
    pub resource_rules: Vec<ResourceRule>,
    pub non_resource_rules: Vec<NonResourceRule>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Subject {
    pub kind: String,
    pub user: Option<Reference>,
    pub group: Option<Reference>,
    pub service_account: Option<Account>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Account {
    pub namespace: String,
    pub name: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ResourceRule {
    pub verbs: Vec<String>,
    pub api_groups: Vec<String>,
    pub resources: Vec<String>,
    pub cluster_scope: bool,
    pub namespaces: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct NonResourceRule {
    pub verbs: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    pub urls: Vec<String>,
}

/// How many requests of a priority level run at once, and what happens to the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PriorityLevel {
    pub metadata: Metadata,
    pub spec: PriorityLevelSpec,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PriorityLevelSpec {
    /// `Exempt` or `Limited`.
    #[serde(rename = "type")]
    pub kind: String,
    pub limited: Option<Limited>,
    pub exempt: Option<Exempt>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Exempt {
    pub nominal_concurrency_shares: Option<u32>,
    pub lendable_percent: Option<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Limited {
    pub nominal_concurrency_shares: Option<u32>,
    pub lendable_percent: Option<u32>,
    pub borrowing_limit_percent: Option<u32>,
    pub limit_response: LimitResponse,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct LimitResponse {
    /// `Queue` or `Reject`.
    #[serde(rename = "type")]
    pub kind: String,
    pub queuing: Option<Queuing>,
}

/// Queues of a level that lets requests wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Queuing {
    pub queues: u32,
    pub hand_size: u32,
    pub queue_length_limit: u32,
}

impl Default for Queuing {
    fn default() -> Self {
        Self {
            queues: 64,
            hand_size: 8,
            queue_length_limit: 50,
        }
    }
}

impl PriorityLevelSpec {
    pub fn is_exempt(&self) -> bool {
        self.kind == "Exempt"
    }

    /// The level's part of all seats, relative to the other levels' parts.
    pub fn shares(&self) -> u32 {
        if self.is_exempt() {
            let shares = self
                .exempt
                .as_ref()
                .and_then(|exempt| exempt.nominal_concurrency_shares);
            return shares.unwrap_or(0);
        }
        let shares = self
            .limited
            .as_ref()
            .and_then(|limited| limited.nominal_concurrency_shares);
        shares.unwrap_or(30)
    }

    /// Percent of its seats that others may use while it doesn't need them.
    pub fn lendable_percent(&self) -> u32 {
        let percent = if self.is_exempt() {
            self.exempt.as_ref().and_then(|exempt| exempt.lendable_percent)
        } else {
            self.limited.as_ref().and_then(|limited| limited.lendable_percent)
        };
        percent.unwrap_or(0).min(100)
    }

    /// Percent of its seats that it may borrow on top; `None` is without limit.
    pub fn borrowing_limit_percent(&self) -> Option<u32> {
        self.limited
            .as_ref()
            .and_then(|limited| limited.borrowing_limit_percent)
    }

    /// The queues; `None` rejects what has no seat at once.
    pub fn queuing(&self) -> Option<Queuing> {
        let response = &self.limited.as_ref()?.limit_response;
        (response.kind == "Queue").then(|| response.queuing.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nulls;
    use serde_json::json;

    /// Regression: one rule for what has no namespace took its whole schema away.
    #[test]
    fn lists_that_are_left_out_are_stored_as_null() {
        let rule = json!({"verbs": ["list"], "apiGroups": [""], "resources": ["nodes"], "clusterScope": true, "namespaces": null});
        let object = json!({"metadata": {"name": "n"}, "spec": {"rules": [{"subjects": null, "resourceRules": [rule]}]}});
        let schema: FlowSchema = nulls::from_slice(object.to_string().as_bytes()).unwrap();
        let rule = &schema.spec.rules[0].resource_rules[0];
        assert!(rule.cluster_scope && rule.namespaces.is_empty());
    }
}
