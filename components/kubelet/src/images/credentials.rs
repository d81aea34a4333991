//! Registry credentials from a pod's pull secrets.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use k8s_cri::v1 as cri;
use k8s_openapi::api::core::v1::Pod;
use serde::Deserialize;

use crate::context::Context;
use crate::pod::members::PodView;

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
struct Entry {
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    auth: String,
    #[serde(default)]
    identitytoken: String,
}

/// What to try in order: matching credentials, the longest match first, or none at all.
pub(super) async fn candidates(
    context: &Context,
    pod: &Arc<Pod>,
    reference: &str,
) -> Vec<Option<cri::AuthConfig>> {
    let mut entries = BTreeMap::new();
    for secret in pod.view().image_pull_secrets.iter().flatten() {
        match context
            .volumes
            .objects
            .secret(pod.namespace(), &secret.name)
            .await
        {
            Ok(Some(found)) => {
                for (key, value) in found.data.iter().flatten() {
                    match (
                        key.as_str(),
                        serde_json::from_slice::<serde_json::Value>(&value.0),
                    ) {
                        (".dockerconfigjson", Ok(json)) => {
                            entries.extend(
                                serde_json::from_value::<DockerConfig>(json)
                                    .map(|config| config.auths)
                                    .unwrap_or_default(),
                            );
                        }
                        (".dockercfg", Ok(json)) => {
                            entries.extend(
                                serde_json::from_value::<BTreeMap<String, Entry>>(json).unwrap_or_default(),
                            );
                        }
                        (".dockerconfigjson" | ".dockercfg", Err(_)) => {
                            tracing::warn!(pod = %pod.full_name(), secret = secret.name, "pull secret is not JSON");
                        }
                        _ => {}
                    }
                }
            }
            Ok(None) => tracing::warn!(pod = %pod.full_name(), secret = secret.name, "pull secret not found"),
            Err(error) => {
                tracing::warn!(pod = %pod.full_name(), secret = secret.name, %error, "pull secret cannot be read")
            }
        }
    }
    let mut matching: Vec<(usize, cri::AuthConfig)> = entries
        .into_iter()
        .filter(|(registry, _)| applies(registry, reference))
        .map(|(registry, entry)| (registry.len(), auth_config(&registry, entry)))
        .collect();
    matching.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
    if matching.is_empty() {
        vec![None]
    } else {
        matching.into_iter().map(|(_, auth)| Some(auth)).collect()
    }
}

fn auth_config(registry: &str, entry: Entry) -> cri::AuthConfig {
    let decoded = base64::engine::general_purpose::STANDARD
        .decode(entry.auth.trim())
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let (mut username, mut password) = (entry.username, entry.password);
    if let Some((user, secret)) = decoded.as_deref().and_then(|text| text.split_once(':')) {
        username = user.to_owned();
        password = secret.to_owned();
    }
    cri::AuthConfig {
        username,
        password,
        identity_token: entry.identitytoken,
        server_address: registry.to_owned(),
        ..Default::default()
    }
}

/// Whether credentials of `registry` (a host, perhaps with `*` parts and a path) are for an image.
fn applies(registry: &str, reference: &str) -> bool {
    let strip = |text: &str| {
        text.trim_start_matches("https://")
            .trim_start_matches("http://")
            .trim_end_matches('/')
            .to_owned()
    };
    let registry = strip(registry);
    let registry = registry
        .strip_suffix("/v1")
        .or_else(|| registry.strip_suffix("/v2"))
        .unwrap_or(&registry);
    let first = reference.split('/').next().unwrap_or_default();
    let named = reference.contains('/') && (first.contains(['.', ':']) || first == "localhost");
    let full = if named {
        reference.to_owned()
    } else {
        format!("index.docker.io/{reference}")
    };
    let (host, path) = full.split_once('/').unwrap_or((&full, ""));
    let (wanted_host, wanted_path) = registry.split_once('/').unwrap_or((registry, ""));
    let wanted_host = if wanted_host == "docker.io" {
        "index.docker.io"
    } else {
        wanted_host
    };
    let host = if host == "docker.io" {
        "index.docker.io"
    } else {
        host
    };
    let (wanted_parts, parts): (Vec<_>, Vec<_>) =
        (wanted_host.split('.').collect(), host.split('.').collect());
    let hosts = wanted_parts.len() == parts.len()
        && wanted_parts
            .iter()
            .zip(&parts)
            .all(|(wanted, part)| *wanted == "*" || wanted == part);
    hosts
        && (wanted_path.is_empty()
            || path == wanted_path
            || path.starts_with(&format!("{wanted_path}/"))
            || path.starts_with(&format!("{wanted_path}:")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_for_their_registry_only() {
        for (registry, image, want) in [
            ("https://index.docker.io/v1/", "busybox:1", true),
            ("registry.example:5000", "registry.example:5000/a:1", true),
            ("registry.example:5000", "other.example/a:1", false),
            ("*.example.org", "x.example.org/a:1", true),
            ("*.example.org", "y.x.example.org/a:1", false),
            ("registry.example/team", "registry.example/team/a:1", true),
            ("registry.example/team", "registry.example/teams/a:1", false),
        ] {
            assert_eq!(applies(registry, image), want, "{registry} {image}");
        }
    }
}
