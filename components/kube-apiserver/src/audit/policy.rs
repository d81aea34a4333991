//! The audit policy file: which requests are recorded, and how much of them.

use crate::identity::User;
use crate::request_info::RequestInfo;
use anyhow::{Context, bail};
use serde::Deserialize;
use std::path::Path;

/// How much of a request is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Level {
    None,
    Metadata,
    Request,
    RequestResponse,
}

impl Level {
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Metadata => "Metadata",
            Self::Request => "Request",
            Self::RequestResponse => "RequestResponse",
        }
    }
}

/// audit.k8s.io/v1 Policy.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    api_version: String,
    kind: String,
    #[serde(default, rename = "metadata")]
    _metadata: serde_json::Value,
    rules: Vec<Rule>,
    #[serde(default)]
    omit_stages: Vec<String>,
    #[serde(default)]
    omit_managed_fields: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    level: Level,
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
    _omit_managed_fields: Option<bool>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GroupResources {
    #[serde(default)]
    group: String,
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    resource_names: Vec<String>,
}

impl Policy {
    pub fn load(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("reading audit policy {}", file.display()))?;
        let policy: Self =
            serde_yaml_ng::from_str(&text).with_context(|| format!("audit policy {}", file.display()))?;
        if policy.api_version != "audit.k8s.io/v1" || policy.kind != "Policy" {
            bail!(
                "{}: is {} {}, must be audit.k8s.io/v1 Policy",
                file.display(),
                policy.api_version,
                policy.kind
            );
        }
        if policy.rules.is_empty() {
            bail!("{}: rules is empty; at least one rule is needed", file.display());
        }
        Ok(policy)
    }

    pub fn omits_managed_fields(&self) -> bool {
        self.omit_managed_fields
    }

    /// The level of the first rule that fits.
    pub fn level(&self, user: Option<&User>, info: &RequestInfo) -> Level {
        let complete = |stages: &[String]| stages.iter().any(|stage| stage == "ResponseComplete");
        match self.rules.iter().find(|rule| rule.fits(user, info)) {
            Some(rule) if complete(&rule.omit_stages) || complete(&self.omit_stages) => Level::None,
            Some(rule) => rule.level,
            None => Level::None,
        }
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
        if self.group != info.group {
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

    #[test]
    fn the_first_rule_that_fits_decides() {
        let policy: Policy = serde_yaml_ng::from_str(
            "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- {level: None, users: [quiet]}\n- {level: Request, resources: [{group: '', resources: [secrets]}]}\n- {level: None, nonResourceURLs: ['/health*']}\n- {level: Metadata}\n",
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
            ("x", path("/healthz"), Level::None),
            ("x", path("/version"), Level::Metadata),
        ] {
            assert_eq!(policy.level(Some(&user(who)), &info), expected, "{who} {info:?}");
        }
    }
}
