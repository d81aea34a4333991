//! The audit policy file: which requests are recorded, and how much of them.

mod validate;

use super::event::Stage;
use crate::identity::User;
use crate::kinds::yaml;
use crate::nulls;
use crate::request_info::RequestInfo;
use anyhow::{Context, bail};
use apimachinery::field::aggregate;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// How much of a request is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    None,
    Metadata,
    Request,
    RequestResponse,
}

impl Level {
    pub const ALL: [Self; 4] = [Self::None, Self::Metadata, Self::Request, Self::RequestResponse];

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Metadata => "Metadata",
            Self::Request => "Request",
            Self::RequestResponse => "RequestResponse",
        }
    }
}

impl Level {
    /// Whether objects that are sent are told.
    pub fn tells_requests(self) -> bool {
        self >= Self::Request
    }

    /// Whether answers' objects are told.
    pub fn tells_responses(self) -> bool {
        self >= Self::RequestResponse
    }
}

/// What is recorded of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    pub level: Level,
    pub omit_managed_fields: bool,
    /// Stages without an event.
    pub omitted: Vec<Stage>,
}

impl Rules {
    pub fn wants(&self, stage: Stage) -> bool {
        !self.omitted.contains(&stage)
    }
}

/// audit.k8s.io/v1 Policy.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    api_version: String,
    kind: String,
    #[serde(default, rename = "metadata")]
    _metadata: serde_json::Value,
    #[serde(default)]
    rules: Vec<Rule>,
    #[serde(default)]
    omit_stages: Vec<String>,
    #[serde(default)]
    omit_managed_fields: bool,
    /// What each rule comes to, made once.
    #[serde(skip)]
    compiled: Vec<Arc<Rules>>,
    #[serde(flatten)]
    unknown: Unknown,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(default)]
    level: String,
    #[serde(default)]
    users: Vec<String>,
    #[serde(default)]
    user_groups: Vec<String>,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    resources: Vec<GroupResources>,
    #[serde(default)]
    namespaces: Vec<String>,
    #[serde(default, rename = "nonResourceURLs")]
    non_resource_urls: Vec<String>,
    #[serde(default, rename = "omitStages")]
    omit_stages: Vec<String>,
    #[serde(default, rename = "omitManagedFields")]
    omit_managed_fields: Option<bool>,
    #[serde(flatten)]
    unknown: Unknown,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct GroupResources {
    #[serde(default)]
    group: String,
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    resource_names: Vec<String>,
    #[serde(flatten)]
    unknown: Unknown,
}

/// Stands for all groups.
const EVERY_GROUP: &str = "*";

/// Fields that policies don't have. Upstream warns of them and goes on.
type Unknown = BTreeMap<String, serde::de::IgnoredAny>;

fn warn_of(unknown: &Unknown, place: &str) {
    for field in unknown.keys() {
        tracing::warn!(
            place,
            field,
            "the audit policy has a field that policies don't have"
        );
    }
}

impl Policy {
    pub fn load(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("reading audit policy {}", file.display()))?;
        let policy = Self::parse(&text).with_context(|| format!("audit policy {}", file.display()))?;
        if policy.api_version != "audit.k8s.io/v1" || policy.kind != "Policy" {
            bail!(
                "{}: is {} {}, must be audit.k8s.io/v1 Policy",
                file.display(),
                policy.api_version,
                policy.kind
            );
        }
        policy.checked().with_context(|| file.display().to_string())
    }

    /// What is said twice counts as it was said last, as with upstream.
    fn parse(text: &str) -> anyhow::Result<Self> {
        let Some(twice) = yaml::error(&yaml::duplicates(text.as_bytes())) else {
            return Ok(nulls::from_yaml(text)?);
        };
        tracing::warn!(twice, "the audit policy says things twice");
        let document: serde_json::Value = serde_yaml_ng::from_str(text)?;
        Ok(nulls::from_json(document)?)
    }

    /// The policy with its rules checked and compiled.
    fn checked(mut self) -> anyhow::Result<Self> {
        if self.rules.is_empty() {
            bail!("loaded illegal policy with 0 rules");
        }
        warn_of(&self.unknown, "");
        for (index, rule) in self.rules.iter().enumerate() {
            let field = format!("rules[{index}]");
            warn_of(&rule.unknown, &field);
            for (at, resources) in rule.resources.iter().enumerate() {
                warn_of(&resources.unknown, &format!("{field}.resources[{at}]"));
            }
        }
        let errors = validate::policy(&self);
        if !errors.is_empty() {
            bail!(aggregate(&errors));
        }
        let stages = |names: &[String]| -> Vec<Stage> {
            let all = Stage::ALL.into_iter();
            all.filter(|stage| names.iter().any(|name| name == stage.name()))
                .collect()
        };
        let everywhere = stages(&self.omit_stages);
        for rule in &self.rules {
            let mut omitted = stages(&rule.omit_stages);
            omitted.extend(everywhere.iter().copied());
            self.compiled.push(Arc::new(Rules {
                level: Level::parse(&rule.level).unwrap_or(Level::None),
                omit_managed_fields: rule.omit_managed_fields.unwrap_or(self.omit_managed_fields),
                omitted,
            }));
        }
        Ok(self)
    }

    /// What is recorded of a request: the first rule that fits decides, and nothing without one.
    pub fn rules(&self, user: Option<&User>, info: &RequestInfo) -> Option<Arc<Rules>> {
        let position = self.rules.iter().position(|rule| rule.fits(user, info))?;
        let rules = self.compiled.get(position)?;
        (rules.level != Level::None).then(|| Arc::clone(rules))
    }
}

impl Rule {
    fn fits(&self, user: Option<&User>, info: &RequestInfo) -> bool {
        let name = user.map_or("", |user| user.name.as_str());
        if !self.users.is_empty() && !self.users.iter().any(|wanted| wanted == name) {
            return false;
        }
        let in_group = |group: &String| user.is_some_and(|user| user.in_group(group));
        if !self.user_groups.is_empty() && !self.user_groups.iter().any(in_group) {
            return false;
        }
        if !self.verbs.is_empty() && !self.verbs.contains(&info.verb) {
            return false;
        }
        if info.is_resource {
            if !self.namespaces.is_empty() && !self.namespaces.contains(&info.namespace) {
                return false;
            }
            if self.resources.is_empty() {
                return self.non_resource_urls.is_empty();
            }
            return self.resources.iter().any(|resources| resources.fit(info));
        }
        if !self.resources.is_empty() || !self.namespaces.is_empty() {
            return false;
        }
        let path_fits = |pattern: &String| {
            *pattern == info.path
                || pattern
                    .strip_suffix('*')
                    .is_some_and(|prefix| info.path.starts_with(prefix))
        };
        self.non_resource_urls.is_empty() || self.non_resource_urls.iter().any(path_fits)
    }
}

impl GroupResources {
    fn fit(&self, info: &RequestInfo) -> bool {
        if self.group != info.group && self.group != EVERY_GROUP {
            return false;
        }
        let combined = if info.subresource.is_empty() {
            info.resource.clone()
        } else {
            format!("{}/{}", info.resource, info.subresource)
        };
        let fits = |pattern: &String| {
            *pattern == "*"
                || *pattern == combined
                || pattern
                    .strip_suffix("/*")
                    .is_some_and(|resource| resource == info.resource)
                || pattern
                    .strip_prefix("*/")
                    .is_some_and(|sub| sub == info.subresource)
        };
        (self.resources.is_empty() || self.resources.iter().any(fits))
            && (self.resource_names.is_empty() || self.resource_names.contains(&info.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> anyhow::Result<Policy> {
        Policy::parse(text)?.checked()
    }

    #[test]
    fn nulls_say_nothing_and_what_is_said_last_counts() {
        let head = "apiVersion: audit.k8s.io/v1\nkind: Policy\n";
        for rules in [
            "omitStages: null\nrules: [{level: Metadata, users: null, resources: null, omitManagedFields: null}]",
            "rules: [{level: None}]\nrules: [{level: Metadata}]",
        ] {
            let policy = policy(&format!("{head}{rules}")).unwrap();
            assert!(policy.rules(None, &RequestInfo::default()).is_some(), "{rules}");
        }
    }

    #[test]
    fn stages_and_managed_fields_are_omitted_as_said() {
        let head = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [Panic]\nomitManagedFields: true\nrules:\n";
        let rules = |rule: &str| {
            let policy = policy(&format!("{head}- {rule}")).unwrap();
            policy.rules(None, &RequestInfo::default()).unwrap()
        };
        let one = rules("{level: Metadata, omitStages: [RequestReceived], omitManagedFields: false}");
        assert!(!one.omit_managed_fields && !one.wants(Stage::RequestReceived) && !one.wants(Stage::Panic));
        assert!(one.wants(Stage::ResponseComplete) && rules("{level: Request}").omit_managed_fields);
        for wrong in [
            "{level: Metadata, omitStages: [Later]}",
            "{level: Metadata, nonResourceURLs: ['/a'], namespaces: [b]}",
            "{level: Metadata, nonResourceURLs: ['/a*b']}",
            "{level: Metadata, resources: [{resourceNames: [a]}]}",
        ] {
            assert!(policy(&format!("{head}- {wrong}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let policy = policy(
            "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- {level: None, users: [quiet]}\n- {level: Request, resources: [{group: '', resources: [secrets]}]}\n- {level: None, nonResourceURLs: ['/health*']}\n- {level: RequestResponse, resources: [{group: '*', resources: [deployments]}]}\n- {level: Metadata, omitStages: [RequestReceived], omitManagedFields: true}\n",
        )
        .unwrap();
        let user = |name: &str| User {
            name: name.into(),
            ..User::default()
        };
        let resource = |name: &str| RequestInfo {
            is_resource: true,
            resource: name.into(),
            ..RequestInfo::default()
        };
        let path = |path: &str| RequestInfo {
            path: path.into(),
            ..RequestInfo::default()
        };
        for (who, info, expected) in [
            ("quiet", resource("secrets"), Level::None),
            ("x", resource("secrets"), Level::Request),
            ("x", resource("pods"), Level::Metadata),
            ("x", resource("deployments"), Level::RequestResponse),
            ("x", path("/healthz"), Level::None),
            ("x", path("/version"), Level::Metadata),
        ] {
            let found = policy.rules(Some(&user(who)), &info);
            let level = found.as_ref().map_or(Level::None, |rules| rules.level);
            assert_eq!(level, expected, "{who} {info:?}");
        }
    }
}
