//! Objects of add-ons are brought to what they should be, and only their own fields.

use anyhow::Context as _;
use http::{Method, StatusCode};
use serde_json::Value;

use super::{Api, is_status};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    Created,
    Changed,
    Unchanged,
}

impl Api {
    /// Creates an object, or corrects the fields of it that differ. Returns what was done.
    pub fn apply(&self, object: &Value) -> anyhow::Result<Applied> {
        let (collection, name) = path_of(object)?;
        let path = format!("{collection}/{name}");
        let live = match self.get(&path) {
            Ok(live) => live,
            Err(error) if is_status(&error, StatusCode::NOT_FOUND) => {
                let body = serde_json::to_vec(object)?;
                match self.send(Method::POST, &collection, "application/json", body) {
                    Ok(_) => return Ok(Applied::Created),
                    // Somebody was faster; compare with theirs.
                    Err(error) if is_status(&error, StatusCode::CONFLICT) => self.get(&path)?,
                    Err(error) => return Err(error),
                }
            }
            Err(error) => return Err(error),
        };
        if contains(&live, object) {
            return Ok(Applied::Unchanged);
        }
        let patch = serde_json::to_vec(object)?;
        self.send(Method::PATCH, &path, "application/merge-patch+json", patch)?;
        Ok(Applied::Changed)
    }

    /// Whether [`Api::apply`] would change something.
    pub fn differs(&self, object: &Value) -> anyhow::Result<bool> {
        let (collection, name) = path_of(object)?;
        match self.get(&format!("{collection}/{name}")) {
            Ok(live) => Ok(!contains(&live, object)),
            Err(error) if is_status(&error, StatusCode::NOT_FOUND) => Ok(true),
            Err(error) => Err(error),
        }
    }
}

/// The documents of a YAML stream.
pub fn documents(text: &str) -> anyhow::Result<Vec<Value>> {
    use serde::Deserialize;
    serde_yaml_ng::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).context("an add-on's manifest is not YAML"))
        .collect()
}

/// Collection path and name of the kinds that add-ons are made of.
fn path_of(object: &Value) -> anyhow::Result<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
    let resource = match kind.as_str() {
        "ServiceAccount" => "serviceaccounts",
        "Service" => "services",
        "ConfigMap" => "configmaps",
        "Deployment" => "deployments",
        "ClusterRole" => "clusterroles",
        "ClusterRoleBinding" => "clusterrolebindings",
        "Role" => "roles",
        "RoleBinding" => "rolebindings",
        other => anyhow::bail!("an add-on holds a {other:?}, which hardway does not apply"),
    };
    let prefix = if version.contains('/') {
        format!("/apis/{version}")
    } else {
        format!("/api/{version}")
    };
    let namespace = text(&object["metadata"]["namespace"]);
    let collection = match namespace.is_empty() {
        true => format!("{prefix}/{resource}"),
        false => format!("{prefix}/namespaces/{namespace}/{resource}"),
    };
    Ok((collection, text(&object["metadata"]["name"])))
}

/// True when every field of `wanted` is in `live`; defaults that the server added do not count.
fn contains(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => wanted.iter().all(|(name, value)| {
            // Empty values are dropped by the server.
            let empty = match value {
                Value::Null => true,
                Value::String(text) => text.is_empty(),
                Value::Array(items) => items.is_empty(),
                Value::Object(fields) => fields.is_empty(),
                _ => false,
            };
            live.get(name).map_or(empty, |live| contains(live, value))
        }),
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len()
                && live
                    .iter()
                    .zip(wanted)
                    .all(|(live, wanted)| contains(live, wanted))
        }
        (live, wanted) => live == wanted,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_fields_that_were_asked_for_are_compared() {
        let live = json!({ "a": 1, "b": { "c": [ { "d": 1, "added": true } ] }, "default": "x" });
        for (wanted, expected) in [
            (json!({ "a": 1 }), true),
            (json!({ "a": 2 }), false),
            (json!({ "b": { "c": [ { "d": 1 } ] } }), true),
            (json!({ "b": { "c": [ { "d": 1 }, { "d": 2 } ] } }), false),
            (json!({ "gone": "" }), true),
            (json!({ "gone": "y" }), false),
        ] {
            assert_eq!(contains(&live, &wanted), expected, "{wanted}");
        }
    }

    #[test]
    fn paths_are_the_apis() {
        let object = json!({ "apiVersion": "apps/v1", "kind": "Deployment",
                             "metadata": { "name": "d", "namespace": "n" } });
        let (collection, name) = path_of(&object).unwrap();
        assert_eq!(
            (collection.as_str(), name.as_str()),
            ("/apis/apps/v1/namespaces/n/deployments", "d")
        );
        assert!(path_of(&json!({ "kind": "Other" })).is_err());
    }
}
