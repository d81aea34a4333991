//! Whether somebody's rules cover the rules that they want to hand out.

use super::rules::{PolicyRule, path_matches};

/// The rules of `wanted`, in single-verb single-resource pieces, that `owned` does not cover.
pub fn uncovered(owned: &[PolicyRule], wanted: &[PolicyRule]) -> Vec<PolicyRule> {
    wanted
        .iter()
        .flat_map(break_down)
        .filter(|piece| !owned.iter().any(|rule| covers(rule, piece)))
        .collect()
}

fn break_down(rule: &PolicyRule) -> Vec<PolicyRule> {
    let mut pieces = Vec::new();
    for verb in &rule.verbs {
        for group in &rule.api_groups {
            for resource in &rule.resources {
                let base = PolicyRule {
                    verbs: vec![verb.clone()],
                    api_groups: vec![group.clone()],
                    resources: vec![resource.clone()],
                    ..PolicyRule::default()
                };
                if rule.resource_names.is_empty() {
                    pieces.push(base);
                } else {
                    let named = |name: &String| PolicyRule {
                        resource_names: vec![name.clone()],
                        ..base.clone()
                    };
                    pieces.extend(rule.resource_names.iter().map(named));
                }
            }
        }
        for url in &rule.non_resource_urls {
            pieces.push(PolicyRule {
                verbs: vec![verb.clone()],
                non_resource_urls: vec![url.clone()],
                ..PolicyRule::default()
            });
        }
    }
    pieces
}

fn has_all(own: &[String], wanted: &[String]) -> bool {
    own.iter().any(|item| item == "*") || wanted.iter().all(|item| own.contains(item))
}

fn covers_resource(own: &[String], wanted: &str) -> bool {
    own.iter().any(|pattern| {
        pattern == "*"
            || pattern == wanted
            || pattern.strip_prefix("*/").is_some_and(|sub| {
                wanted
                    .split_once('/')
                    .is_some_and(|(_, wanted_sub)| wanted_sub == sub)
            })
    })
}

fn covers(own: &PolicyRule, piece: &PolicyRule) -> bool {
    if !has_all(&own.verbs, &piece.verbs) {
        return false;
    }
    if let Some(url) = piece.non_resource_urls.first() {
        return own
            .non_resource_urls
            .iter()
            .any(|pattern| path_matches(pattern, url));
    }
    let names = if piece.resource_names.is_empty() {
        own.resource_names.is_empty()
    } else {
        own.resource_names.is_empty()
            || piece
                .resource_names
                .iter()
                .all(|name| own.resource_names.contains(name))
    };
    names
        && has_all(&own.api_groups, &piece.api_groups)
        && piece
            .resources
            .iter()
            .all(|resource| covers_resource(&own.resources, resource))
}

/// Upstream's compact text of rules, as its refusals show them.
pub fn describe(rules: &[PolicyRule]) -> String {
    let quoted = |list: &[String]| {
        format!(
            "[{}]",
            list.iter()
                .map(|item| format!("{item:?}"))
                .collect::<Vec<_>>()
                .join(" ")
        )
    };
    let one = |rule: &PolicyRule| {
        let mut parts = Vec::new();
        for (name, list) in [
            ("APIGroups", &rule.api_groups),
            ("Resources", &rule.resources),
            ("ResourceNames", &rule.resource_names),
            ("NonResourceURLs", &rule.non_resource_urls),
            ("Verbs", &rule.verbs),
        ] {
            if !list.is_empty() {
                parts.push(format!("{name}:{}", quoted(list)));
            }
        }
        format!("{{{}}}", parts.join(", "))
    };
    let mut lines: Vec<String> = compact(rules).iter().map(one).collect();
    lines.sort();
    lines.join("\n")
}

/// Joins pieces for resources that differ only in their verb.
fn compact(rules: &[PolicyRule]) -> Vec<PolicyRule> {
    let mut joined: Vec<PolicyRule> = Vec::new();
    for rule in rules {
        let same = |other: &&mut PolicyRule| {
            other.api_groups == rule.api_groups
                && other.resources == rule.resources
                && other.resource_names == rule.resource_names
                && rule.non_resource_urls.is_empty()
                && other.non_resource_urls.is_empty()
        };
        match joined.iter_mut().find(same) {
            Some(other) => other.verbs.extend(rule.verbs.iter().cloned()),
            None => joined.push(rule.clone()),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(verbs: &[&str], resources: &[&str], names: &[&str]) -> PolicyRule {
        let owned = |list: &[&str]| list.iter().map(|item| (*item).to_owned()).collect();
        PolicyRule {
            verbs: owned(verbs),
            api_groups: owned(&[""]),
            resources: owned(resources),
            resource_names: owned(names),
            ..PolicyRule::default()
        }
    }

    #[test]
    fn coverage() {
        let table = [
            (
                vec![rule(&["*"], &["*"], &[])],
                vec![rule(&["get"], &["pods"], &[])],
                0,
            ),
            (
                vec![rule(&["get"], &["pods"], &[]), rule(&["list"], &["pods"], &[])],
                vec![rule(&["get", "list"], &["pods"], &[])],
                0,
            ),
            (
                vec![rule(&["get"], &["pods"], &["a"])],
                vec![rule(&["get"], &["pods"], &[])],
                1,
            ),
            (
                vec![rule(&["get"], &["pods"], &["a"])],
                vec![rule(&["get"], &["pods"], &["a", "b"])],
                1,
            ),
            (
                vec![rule(&["get"], &["*/scale"], &[])],
                vec![rule(&["get"], &["x/scale"], &[])],
                0,
            ),
            (
                vec![rule(&["get"], &["pods"], &[])],
                vec![rule(&["*"], &["pods"], &[])],
                1,
            ),
            (vec![], vec![rule(&["get", "list"], &["pods", "nodes"], &[])], 4),
        ];
        for (owned, wanted, missing) in table {
            assert_eq!(uncovered(&owned, &wanted).len(), missing, "{owned:?} {wanted:?}");
        }
    }

    #[test]
    fn description_joins_verbs_of_resources() {
        let text = describe(&uncovered(&[], &[rule(&["get", "list"], &["pods"], &[])]));
        assert_eq!(
            text,
            "{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"get\" \"list\"]}"
        );
        let paths = PolicyRule {
            verbs: vec!["get".into(), "put".into()],
            non_resource_urls: vec!["/a".into()],
            ..PolicyRule::default()
        };
        assert_eq!(
            describe(&uncovered(&[], &[paths])),
            "{NonResourceURLs:[\"/a\"], Verbs:[\"get\"]}\n{NonResourceURLs:[\"/a\"], Verbs:[\"put\"]}"
        );
    }
}
