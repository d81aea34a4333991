//! A container's environment variables: pure, over objects that were fetched before.

mod fields;
mod services;

use std::collections::{BTreeMap, BTreeSet};

use indexmap_lite::OrderedMap;
use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVarSource, Pod, Secret, Service};

use super::expansion::expand;
use super::members::PodView;

pub use fields::{FieldContext, pod_field, resource_field};
pub use services::service_variables;

/// A variable that cannot be determined: the container waits with CreateContainerConfigError.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct EnvironmentError(pub String);

/// The objects that variables are taken from.
#[derive(Default)]
pub struct Objects {
    pub config_maps: BTreeMap<String, ConfigMap>,
    pub secrets: BTreeMap<String, Secret>,
    pub services: Vec<Service>,
}

/// Names of the config maps and secrets that a container's variables refer to.
pub fn referenced(container: &Container) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut config_maps = BTreeSet::new();
    let mut secrets = BTreeSet::new();
    for source in container.env_from.iter().flatten() {
        config_maps.extend(
            source
                .config_map_ref
                .as_ref()
                .map(|reference| reference.name.clone()),
        );
        secrets.extend(source.secret_ref.as_ref().map(|reference| reference.name.clone()));
    }
    for source in container
        .env
        .iter()
        .flatten()
        .filter_map(|variable| variable.value_from.as_ref())
    {
        config_maps.extend(
            source
                .config_map_key_ref
                .as_ref()
                .map(|reference| reference.name.clone()),
        );
        secrets.extend(
            source
                .secret_key_ref
                .as_ref()
                .map(|reference| reference.name.clone()),
        );
    }
    (config_maps, secrets)
}

/// The variables in the order in which they are set.
pub fn environment(
    pod: &Pod,
    container: &Container,
    objects: &Objects,
    context: &FieldContext<'_>,
) -> Result<Vec<(String, String)>, EnvironmentError> {
    let links = pod.view().enable_service_links.unwrap_or(true);
    let services = service_variables(&objects.services, pod.namespace(), links);
    let mut result = OrderedMap::default();
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        if let Some(reference) = &source.config_map_ref {
            match objects.config_maps.get(&reference.name) {
                Some(config_map) => {
                    for (key, value) in config_map.data.iter().flatten() {
                        result.insert(format!("{prefix}{key}"), value.clone());
                    }
                }
                None if reference.optional == Some(true) => {}
                None => {
                    return Err(EnvironmentError(format!(
                        "configmap \"{}\" not found",
                        reference.name
                    )));
                }
            }
        }
        if let Some(reference) = &source.secret_ref {
            match objects.secrets.get(&reference.name) {
                Some(secret) => {
                    for (key, value) in secret.data.iter().flatten() {
                        result.insert(
                            format!("{prefix}{key}"),
                            String::from_utf8_lossy(&value.0).into_owned(),
                        );
                    }
                }
                None if reference.optional == Some(true) => {}
                None => {
                    return Err(EnvironmentError(format!(
                        "secret \"{}\" not found",
                        reference.name
                    )));
                }
            }
        }
    }
    for variable in container.env.iter().flatten() {
        let value = match (
            &variable.value_from,
            variable.value.as_deref().unwrap_or_default(),
        ) {
            (Some(source), "") => match from_source(pod, container, source, objects, context)? {
                Some(value) => value,
                None => continue,
            },
            (_, text) => expand(text, |name| {
                result.get(name).or_else(|| services.get(name)).cloned()
            }),
        };
        result.insert(variable.name.clone(), value);
    }
    for (name, value) in services {
        if result.get(&name).is_none() {
            result.insert(name, value);
        }
    }
    Ok(result.into_entries())
}

fn from_source(
    pod: &Pod,
    container: &Container,
    source: &EnvVarSource,
    objects: &Objects,
    context: &FieldContext<'_>,
) -> Result<Option<String>, EnvironmentError> {
    if let Some(field) = &source.field_ref {
        return pod_field(pod, &field.field_path, context)
            .map(Some)
            .map_err(EnvironmentError);
    }
    if let Some(reference) = &source.resource_field_ref {
        return resource_field(pod, container, reference, context)
            .map(Some)
            .map_err(EnvironmentError);
    }
    if let Some(reference) = &source.config_map_key_ref {
        let optional = reference.optional == Some(true);
        return match objects.config_maps.get(&reference.name) {
            None if optional => Ok(None),
            None => Err(EnvironmentError(format!(
                "configmap \"{}\" not found",
                reference.name
            ))),
            Some(config_map) => match config_map.data.as_ref().and_then(|data| data.get(&reference.key)) {
                Some(value) => Ok(Some(value.clone())),
                None if optional => Ok(None),
                None => Err(EnvironmentError(format!(
                    "couldn't find key {} in ConfigMap {}/{}",
                    reference.key,
                    pod.namespace(),
                    reference.name
                ))),
            },
        };
    }
    if let Some(reference) = &source.secret_key_ref {
        let optional = reference.optional == Some(true);
        return match objects.secrets.get(&reference.name) {
            None if optional => Ok(None),
            None => Err(EnvironmentError(format!(
                "secret \"{}\" not found",
                reference.name
            ))),
            Some(secret) => match secret.data.as_ref().and_then(|data| data.get(&reference.key)) {
                Some(value) => Ok(Some(String::from_utf8_lossy(&value.0).into_owned())),
                None if optional => Ok(None),
                None => Err(EnvironmentError(format!(
                    "couldn't find key {} in Secret {}/{}",
                    reference.key,
                    pod.namespace(),
                    reference.name
                ))),
            },
        };
    }
    Err(EnvironmentError(
        "a variable's valueFrom names a source that is not supported".to_owned(),
    ))
}

mod indexmap_lite {
    use std::collections::HashMap;

    /// Insertion order, later values replacing earlier ones.
    #[derive(Default)]
    pub(super) struct OrderedMap {
        entries: Vec<(String, String)>,
        positions: HashMap<String, usize>,
    }

    impl OrderedMap {
        pub(super) fn insert(&mut self, name: String, value: String) {
            match self.positions.get(&name) {
                Some(at) => self.entries[*at].1 = value,
                None => {
                    self.positions.insert(name.clone(), self.entries.len());
                    self.entries.push((name, value));
                }
            }
        }

        pub(super) fn get(&self, name: &str) -> Option<&String> {
            self.positions.get(name).map(|at| &self.entries[*at].1)
        }

        pub(super) fn into_entries(self) -> Vec<(String, String)> {
            self.entries
        }
    }
}

#[cfg(test)]
mod tests;
