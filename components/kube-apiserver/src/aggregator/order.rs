//! The order of groups and versions in discovery.

use std::cmp::{Ordering, Reverse};

/// A group and version with its priorities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The APIService's; settles ties.
    pub name: String,
    pub group: String,
    pub version: String,
    pub group_priority: i32,
    pub version_priority: i32,
}

/// Groups by the highest priority of any of their versions, versions by theirs.
pub fn order(mut served: Vec<Served>) -> Vec<(String, Vec<String>)> {
    served.sort_by(|a, b| (Reverse(a.group_priority), &a.name).cmp(&(Reverse(b.group_priority), &b.name)));
    let mut groups: Vec<(String, Vec<Served>)> = Vec::new();
    for item in served {
        match groups.iter_mut().find(|(group, _)| *group == item.group) {
            Some((_, versions)) => versions.push(item),
            None => groups.push((item.group.clone(), vec![item])),
        }
    }
    groups
        .into_iter()
        .map(|(group, mut versions)| {
            versions.sort_by(|a, b| {
                b.version_priority
                    .cmp(&a.version_priority)
                    .then_with(|| compare_versions(&b.version, &a.version))
            });
            versions.dedup_by(|a, b| a.version == b.version);
            (group, versions.into_iter().map(|item| item.version).collect())
        })
        .collect()
}

/// `v2` over `v1` over `v2beta1` over `v2alpha1`; anything else is below, by text.
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    match (parse(a), parse(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(_), None) => Ordering::Greater,
        (None, Some(_)) => Ordering::Less,
        // Upstream sorts these forwards, so the earlier text is the greater version.
        (None, None) => b.cmp(a),
    }
}

/// Stability (3 is stable), major, minor.
fn parse(version: &str) -> Option<(u8, u64, u64)> {
    let rest = version.strip_prefix('v')?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let major = rest[..digits].parse().ok()?;
    let tail = &rest[digits..];
    if tail.is_empty() {
        return Some((3, major, 0));
    }
    let (stability, minor) = match (tail.strip_prefix("beta"), tail.strip_prefix("alpha")) {
        (Some(minor), _) => (2, minor),
        (None, Some(minor)) => (1, minor),
        (None, None) => return None,
    };
    Some((stability, major, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_in_kubernetes_order() {
        let expected = [
            "v10",
            "v2",
            "v1",
            "v11beta2",
            "v10beta3",
            "v3beta1",
            "v12alpha1",
            "v11alpha2",
            "foo1",
            "foo10",
        ];
        let mut versions = expected.to_vec();
        versions.reverse();
        versions.sort_by(|a, b| compare_versions(b, a));
        assert_eq!(versions, expected);
    }

    #[test]
    fn groups_and_versions_by_priority() {
        let served = |group: &str, version: &str, group_priority: i32, version_priority: i32| Served {
            name: format!("{version}.{group}"),
            group: group.into(),
            version: version.into(),
            group_priority,
            version_priority,
        };
        let found = order(vec![
            served("low", "v1", 100, 10),
            served("b.tie", "v1", 1000, 100),
            served("a.tie", "v1", 1000, 100),
            served("a.tie", "v2beta1", 10, 100),
            served("a.tie", "v1alpha1", 10, 200),
        ]);
        let found: Vec<(&str, Vec<&str>)> = found
            .iter()
            .map(|(group, versions)| (group.as_str(), versions.iter().map(String::as_str).collect()))
            .collect();
        assert_eq!(
            found,
            [
                ("a.tie", vec!["v1alpha1", "v1", "v2beta1"]),
                ("b.tie", vec!["v1"]),
                ("low", vec!["v1"])
            ]
        );
    }
}
