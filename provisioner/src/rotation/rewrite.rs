//! Secrets in etcd, written again with the key that encrypts now.

use http::StatusCode;

use super::gates::Seen;
use crate::api::{Api, is_status};
use crate::etcd::Member;

const PREFIX: &str = "/registry/secrets/";

/// Writes every Secret again that another key encrypted; returns those that were found so this time.
pub fn secrets(seen: &Seen<'_>) -> anyhow::Result<Vec<String>> {
    let Some(key) = seen.survey.secrets.encryption.first() else {
        return Ok(Vec::new());
    };
    let wanted = format!("k8s:enc:secretbox:v1:{}:", key.name);
    let member = Member::any(seen.fleet, seen.inventory, &seen.survey.secrets)?;
    let old: Vec<String> = member
        .range(PREFIX)?
        .into_iter()
        .filter(|(_, value)| !value.starts_with(wanted.as_bytes()))
        .map(|(key, _)| key)
        .collect();
    if old.is_empty() {
        return Ok(old);
    }
    let api = seen.api()?;
    for key in &old {
        rewrite(&api, key)?;
    }
    Ok(old
        .into_iter()
        .map(|key| format!("{key} was encrypted with another key"))
        .collect())
}

/// Replaces an object with itself. One that was changed or deleted meanwhile is looked at again in the next round.
fn rewrite(api: &Api, key: &str) -> anyhow::Result<()> {
    let Some((namespace, name)) = key.strip_prefix(PREFIX).and_then(|rest| rest.split_once('/')) else {
        return Ok(());
    };
    let path = format!("/api/v1/namespaces/{namespace}/secrets/{name}");
    let replaced = api.get(&path).and_then(|object| api.put(&path, &object));
    match replaced {
        Err(error) if is_status(&error, StatusCode::CONFLICT) || is_status(&error, StatusCode::NOT_FOUND) => {
            Ok(())
        }
        other => other.map(drop),
    }
}
