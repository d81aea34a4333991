//! Which resources the API server has.

use kube::Client;
use kube::core::ApiResource;
use kube::core::discovery::v2::APIGroupDiscovery;

use crate::error::Result;

/// One resource in its group's preferred version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Discovered {
    pub resource: ApiResource,
    pub namespaced: bool,
    pub verbs: Vec<String>,
}

impl Discovered {
    pub fn can(&self, verb: &str) -> bool {
        self.verbs.iter().any(|own| own == verb)
    }
}

/// What was found, and the groups that could not be asked.
#[derive(Debug, Default)]
pub struct Discovery {
    pub resources: Vec<Discovered>,
    pub failed: Vec<String>,
}

/// Asks for everything, in two requests where the server has aggregated discovery.
pub async fn discover(client: &Client) -> Result<Discovery> {
    let core = client.list_core_api_versions_aggregated().await;
    // A server without it answers with another kind, in which there are no items.
    match core {
        Ok(core) if !core.items.is_empty() => {
            let groups = client.list_api_groups_aggregated().await?;
            Ok(aggregated(core.items.iter().chain(&groups.items)))
        }
        _ => piecemeal(client).await,
    }
}

fn aggregated<'a>(groups: impl Iterator<Item = &'a APIGroupDiscovery>) -> Discovery {
    let mut found = Discovery::default();
    for group in groups {
        let name = group
            .metadata
            .as_ref()
            .and_then(|meta| meta.name.clone())
            .unwrap_or_default();
        let mut seen: Vec<String> = Vec::new();
        // Preferred versions come first, so that a resource is taken from the first that has it.
        for version in &group.versions {
            let version_name = version.version.clone().unwrap_or_default();
            if version.freshness.as_deref() == Some("Stale") {
                found.failed.push(api_version(&name, &version_name));
            }
            for resource in &version.resources {
                let plural = resource.resource.clone().unwrap_or_default();
                let kind = resource
                    .response_kind
                    .as_ref()
                    .and_then(|kind| kind.kind.clone())
                    .unwrap_or_default();
                if plural.is_empty() || kind.is_empty() || seen.contains(&plural) {
                    continue;
                }
                seen.push(plural.clone());
                found.resources.push(Discovered {
                    resource: ApiResource {
                        api_version: api_version(&name, &version_name),
                        group: name.clone(),
                        version: version_name.clone(),
                        kind,
                        plural,
                    },
                    namespaced: resource.scope.as_deref() == Some("Namespaced"),
                    verbs: resource.verbs.clone(),
                });
            }
        }
    }
    found
}

fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    }
}

async fn piecemeal(client: &Client) -> Result<Discovery> {
    let mut found = Discovery::default();
    let core = client.list_core_api_resources("v1").await?;
    take(&mut found, "", "v1", core.resources);
    for group in client.list_api_groups().await?.groups {
        let preferred = group.preferred_version.map(|preferred| preferred.version);
        let mut versions: Vec<_> = group
            .versions
            .into_iter()
            .map(|version| version.version)
            .collect();
        versions.sort_by_key(|version| Some(version) != preferred.as_ref());
        for version in versions {
            let group_version = api_version(&group.name, &version);
            match client.list_api_group_resources(&group_version).await {
                Ok(list) => take(&mut found, &group.name, &version, list.resources),
                // An aggregated server that is away must not hide the others.
                Err(error) => {
                    tracing::warn!(group_version, %error, "cannot discover resources");
                    found.failed.push(group_version);
                }
            }
        }
    }
    Ok(found)
}

fn take(
    found: &mut Discovery,
    group: &str,
    version: &str,
    resources: Vec<k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResource>,
) {
    for resource in resources {
        let known =
            |other: &Discovered| other.resource.group == group && other.resource.plural == resource.name;
        if resource.name.contains('/') || found.resources.iter().any(known) {
            continue;
        }
        found.resources.push(Discovered {
            resource: ApiResource {
                group: group.to_owned(),
                version: version.to_owned(),
                api_version: api_version(group, version),
                kind: resource.kind,
                plural: resource.name,
            },
            namespaced: resource.namespaced,
            verbs: resource.verbs,
        });
    }
}
