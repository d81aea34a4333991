//! What is wrong with a policy: everything at once, in upstream's words.

use super::{EVERY_GROUP, GroupResources, Level, Policy, Rule};
use crate::audit::event::Stage;
use apimachinery::field::{Error, Path};
use apimachinery::names::dns1123_subdomain;
use serde_json::json;

pub fn policy(policy: &Policy) -> Vec<Error> {
    let mut errors = stages(&policy.omit_stages, &Path::new("omitStages"));
    for (index, one) in policy.rules.iter().enumerate() {
        rule(one, &Path::new("rules").index(index), &mut errors);
    }
    errors
}

fn rule(rule: &Rule, path: &Path, errors: &mut Vec<Error>) {
    let of_level = path.child("level");
    if rule.level.is_empty() {
        errors.push(Error::required(&of_level, ""));
    } else if Level::parse(&rule.level).is_none() {
        let names = Level::ALL.map(Level::name);
        errors.push(Error::not_supported(&of_level, rule.level.as_str(), &names));
    }
    let of_urls = path.child("nonResourceURLs");
    for (index, url) in rule.non_resource_urls.iter().enumerate() {
        self::url(url, &of_urls.index(index), errors);
    }
    for one in &rule.resources {
        resources(one, &path.child("resources"), errors);
    }
    errors.extend(stages(&rule.omit_stages, &path.child("omitStages")));
    let of_resources = !rule.resources.is_empty() || !rule.namespaces.is_empty();
    if of_resources && !rule.non_resource_urls.is_empty() {
        errors.push(Error::invalid(
            &of_urls,
            json!(rule.non_resource_urls),
            "rules cannot apply to both regular resources and non-resource URLs",
        ));
    }
}

fn url(url: &str, path: &Path, errors: &mut Vec<Error>) {
    if url == "*" {
        return;
    }
    if !url.starts_with('/') {
        const WHY: &str = "non-resource URL rules must begin with a '/' character";
        errors.push(Error::invalid(path, url, WHY));
    }
    if url.find('*').is_some_and(|at| at + 1 < url.len()) {
        const WHY: &str = "non-resource URL wildcards '*' must be the final character of the rule";
        errors.push(Error::invalid(path, url, WHY));
    }
}

/// `path` is that of the list: upstream doesn't say which of its entries it is.
fn resources(resources: &GroupResources, path: &Path, errors: &mut Vec<Error>) {
    let group = resources.group.as_str();
    let why = dns1123_subdomain(group);
    if !group.is_empty() && group != EVERY_GROUP && !why.is_empty() {
        errors.push(Error::invalid(&path.child("group"), group, why.join(",")));
    }
    if !resources.resource_names.is_empty() && resources.resources.is_empty() {
        errors.push(Error::invalid(
            &path.child("resourceNames"),
            json!(resources.resource_names),
            "using resourceNames requires at least one resource",
        ));
    }
}

fn stages(names: &[String], path: &Path) -> Vec<Error> {
    let known = Stage::ALL.map(Stage::name);
    let wrong = names
        .iter()
        .enumerate()
        .filter(|(_, name)| !known.contains(&name.as_str()));
    wrong
        .map(|(index, name)| {
            let why = format!("allowed stages are {}", known.join(","));
            Error::invalid(&path.index(index), name.as_str(), why)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_wrong_is_told() {
        let told = |text: &str| -> Vec<String> {
            let read = serde_yaml_ng::from_str::<Policy>(text).unwrap();
            policy(&read).iter().map(ToString::to_string).collect()
        };
        let head = "apiVersion: audit.k8s.io/v1\nkind: Policy\n";
        assert_eq!(
            told(&format!(
                "{head}rules: [{{level: Metadata, nonResourceURLs: ['*', '/a*']}}, {{level: None, resources: [{{group: '*'}}]}}]"
            )),
            [""; 0]
        );
        let rules = "omitStages: [Later]\nrules:\n- {level: Everything}\n- {}\n\
            - {level: None, nonResourceURLs: ['a', '/a*b'], namespaces: [n], omitStages: [Panic, Never]}\n\
            - {level: None, resources: [{group: 'a/v1'}, {resourceNames: [x]}]}\n";
        let stages = "allowed stages are RequestReceived,ResponseStarted,ResponseComplete,Panic";
        assert_eq!(
            told(&format!("{head}{rules}")),
            [
                format!("omitStages[0]: Invalid value: \"Later\": {stages}"),
                "rules[0].level: Unsupported value: \"Everything\": supported values: \"None\", \"Metadata\", \"Request\", \"RequestResponse\"".to_owned(),
                "rules[1].level: Required value".to_owned(),
                "rules[2].nonResourceURLs[0]: Invalid value: \"a\": non-resource URL rules must begin with a '/' character".to_owned(),
                "rules[2].nonResourceURLs[1]: Invalid value: \"/a*b\": non-resource URL wildcards '*' must be the final character of the rule".to_owned(),
                format!("rules[2].omitStages[1]: Invalid value: \"Never\": {stages}"),
                "rules[2].nonResourceURLs: Invalid value: [\"a\",\"/a*b\"]: rules cannot apply to both regular resources and non-resource URLs".to_owned(),
                format!(
                    "rules[3].resources.group: Invalid value: \"a/v1\": {}",
                    dns1123_subdomain("a/v1").join(",")
                ),
                "rules[3].resources.resourceNames: Invalid value: [\"x\"]: using resourceNames requires at least one resource".to_owned(),
            ]
        );
    }
}
