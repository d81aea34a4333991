//! APIServices of what this server serves itself: made at start for built-in groups, kept right for custom ones.

use super::order::Served;
use apimachinery::{GroupVersion, meta};
use serde_json::{Value, json};

const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";
/// Custom groups come after all others unless an APIService says otherwise.
const CUSTOM_GROUP: i32 = 1000;
const CUSTOM_VERSION: i32 = 100;

/// What to do with one APIService.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Create(Value),
    /// The object as it must be.
    Update(Value),
    Delete(String),
}

/// Whether a server made it at its start for a built-in group.
pub fn is_of_start(object: &Value) -> bool {
    meta::label(object, MANAGED) == Some("onstart")
}

/// The group and version that it is about.
pub fn served(object: &Value) -> GroupVersion {
    let spec = |field: &str| object["spec"][field].as_str().unwrap_or("");
    GroupVersion::new(spec("group"), spec("version"))
}

/// `v1.apps`; the core group's is `v1.`
pub fn name_of(group: &str, version: &str) -> String {
    format!("{version}.{group}")
}

/// The APIService that a group and version of custom resources has.
pub fn custom(group: &str, version: &str) -> Value {
    json!({
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": { "name": name_of(group, version), "labels": { MANAGED: "true" } },
        "spec": {
            "group": group,
            "version": version,
            "groupPriorityMinimum": CUSTOM_GROUP,
            "versionPriority": CUSTOM_VERSION,
        },
    })
}

/// What leads from the stored APIServices to those that the custom groups need.
pub fn plan(existing: &[Value], wanted: &[(String, String)]) -> Vec<Action> {
    let mut actions = Vec::new();
    for (group, version) in wanted {
        let fresh = custom(group, version);
        match existing
            .iter()
            .find(|object| meta::name(object) == meta::name(&fresh))
        {
            None => actions.push(Action::Create(fresh)),
            Some(object)
                if meta::label(object, MANAGED) == Some("true") && object["spec"] != fresh["spec"] =>
            {
                let mut object = object.clone();
                object["spec"] = fresh["spec"].clone();
                actions.push(Action::Update(object));
            }
            // Somebody else's now.
            Some(_) => {}
        }
    }
    for object in existing {
        let spec = |field: &str| object["spec"][field].as_str().unwrap_or("");
        let known = wanted
            .iter()
            .any(|(group, version)| spec("group") == group && spec("version") == version);
        if meta::label(object, MANAGED) == Some("true") && !known {
            actions.push(Action::Delete(meta::name(object).to_owned()));
        }
    }
    actions
}

/// Priorities of a group and version of this server that has no APIService (yet).
pub fn default_priorities(group: &str, version: &str, custom: bool) -> Served {
    let (group_priority, version_priority) = match (custom, group) {
        // Upstream's aggregator lists its own group first.
        (_, "apiregistration.k8s.io") => (20_000, 15),
        (true, _) => (CUSTOM_GROUP, CUSTOM_VERSION),
        (false, _) => (16_000, 1),
    };
    Served {
        name: name_of(group, version),
        group: group.to_owned(),
        version: version.to_owned(),
        group_priority,
        version_priority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn custom_groups_get_keep_and_lose_their_apiservices() {
        let gv = |group: &str, version: &str| (group.to_owned(), version.to_owned());
        let mut theirs = custom("theirs.io", "v1");
        theirs["metadata"]["labels"] = json!({});
        theirs["spec"]["groupPriorityMinimum"] = json!(5);
        let mut changed = custom("changed.io", "v1");
        changed["spec"]["versionPriority"] = json!(5);
        let existing = [custom("kept.io", "v1"), custom("gone.io", "v1"), theirs, changed];
        let wanted = [
            gv("kept.io", "v1"),
            gv("new.io", "v1"),
            gv("theirs.io", "v1"),
            gv("changed.io", "v1"),
        ];
        assert_eq!(
            plan(&existing, &wanted),
            [
                Action::Create(custom("new.io", "v1")),
                Action::Update(custom("changed.io", "v1")),
                Action::Delete("v1.gone.io".into()),
            ]
        );
    }
}
