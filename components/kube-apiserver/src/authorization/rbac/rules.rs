//! One policy rule, and which questions it answers with yes.

use crate::authorization::attributes::Attributes;
use crate::nulls::nullable;
use serde::{Deserialize, Serialize};

/// A rule of a role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyRule {
    #[serde(deserialize_with = "nullable")]
    pub verbs: Vec<String>,
    #[serde(
        rename = "apiGroups",
        deserialize_with = "nullable",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub api_groups: Vec<String>,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    #[serde(
        rename = "nonResourceURLs",
        deserialize_with = "nullable",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub non_resource_urls: Vec<String>,
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == "*" || item == wanted)
}

impl PolicyRule {
    pub fn allows(&self, attributes: &Attributes<'_>) -> bool {
        if !has(&self.verbs, &attributes.verb) {
            return false;
        }
        if !attributes.is_resource {
            return self
                .non_resource_urls
                .iter()
                .any(|pattern| path_matches(pattern, &attributes.path));
        }
        has(&self.api_groups, &attributes.group)
            && self
                .resources
                .iter()
                .any(|pattern| resource_matches(pattern, attributes))
            && (self.resource_names.is_empty()
                || self.resource_names.iter().any(|name| *name == attributes.name))
    }
}

fn resource_matches(pattern: &str, attributes: &Attributes<'_>) -> bool {
    if pattern == "*" || pattern == attributes.combined_resource() {
        return true;
    }
    // `*/scale` is that subresource of every resource.
    !attributes.subresource.is_empty()
        && pattern
            .strip_prefix("*/")
            .is_some_and(|sub| sub == attributes.subresource)
}

pub(super) fn path_matches(pattern: &str, path: &str) -> bool {
    pattern == "*"
        || pattern == path
        || pattern
            .strip_suffix('*')
            .is_some_and(|prefix| path.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::User;

    fn rule(verbs: &[&str], groups: &[&str], resources: &[&str], names: &[&str]) -> PolicyRule {
        let owned = |list: &[&str]| list.iter().map(|item| (*item).to_owned()).collect();
        PolicyRule {
            verbs: owned(verbs),
            api_groups: owned(groups),
            resources: owned(resources),
            resource_names: owned(names),
            non_resource_urls: Vec::new(),
        }
    }

    #[test]
    fn resource_rules() {
        let user = User::default();
        let pods = |verb, sub, name| {
            Attributes::resource(&user, verb, "", "pods")
                .of_subresource(sub)
                .named(name)
        };
        let table = [
            (rule(&["get"], &[""], &["pods"], &[]), pods("get", "", "a"), true),
            (rule(&["get"], &[""], &["pods"], &[]), pods("list", "", ""), false),
            (
                rule(&["get"], &[""], &["pods"], &[]),
                pods("get", "log", "a"),
                false,
            ),
            (rule(&["*"], &["*"], &["*"], &[]), pods("get", "log", "a"), true),
            (rule(&["*"], &["apps"], &["*"], &[]), pods("get", "", "a"), false),
            (
                rule(&["get"], &[""], &["*/log"], &[]),
                pods("get", "log", "a"),
                true,
            ),
            (
                rule(&["get"], &[""], &["*/log"], &[]),
                pods("get", "", "a"),
                false,
            ),
            (
                rule(&["get"], &[""], &["pods"], &["a"]),
                pods("get", "", "a"),
                true,
            ),
            (
                rule(&["get"], &[""], &["pods"], &["a"]),
                pods("get", "", "b"),
                false,
            ),
            (
                rule(&["list"], &[""], &["pods"], &["a"]),
                pods("list", "", ""),
                false,
            ),
        ];
        for (rule, question, expected) in table {
            assert_eq!(rule.allows(&question), expected, "{rule:?} {question:?}");
        }
    }

    #[test]
    fn paths() {
        for (pattern, path, expected) in [
            ("*", "/x", true),
            ("/healthz", "/healthz", true),
            ("/healthz", "/healthz/etcd", false),
            ("/healthz/*", "/healthz/etcd", true),
            ("/healthz/*", "/healthz", false),
        ] {
            assert_eq!(path_matches(pattern, path), expected, "{pattern} {path}");
        }
    }
}
