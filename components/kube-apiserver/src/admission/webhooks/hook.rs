//! A webhook of a configuration, made ready once for all the requests it is asked about.

use super::review::Version;
use crate::admission::conditions::Conditions;
use crate::admission::matching::Criteria;
use crate::webhook::{Clients, Endpoint, Identities, Place};
use api::expressions::Names;
use apimachinery::meta;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

const DEFAULT_TIMEOUT: i64 = 10;
const CONDITION_NAMES: Names = Names {
    params: false,
    authorizer: true,
    patch_types: false,
};

/// One compiled webhook.
pub struct Hook {
    pub configuration: String,
    pub name: String,
    /// Unique among all webhooks.
    pub id: String,
    pub criteria: Criteria,
    pub conditions: Conditions,
    /// Or why it can't be reached at all.
    pub endpoint: Result<Endpoint, String>,
    pub version: Option<Version>,
    /// `failurePolicy: Ignore`
    pub fails_open: bool,
    /// Its side effects allow dry runs.
    pub dry_runs: bool,
    pub timeout: Duration,
    /// `reinvocationPolicy: IfNeeded`
    pub reinvocable: bool,
}

/// The webhooks of configurations, which come in the order of their names: that in which they are asked.
pub fn compile(configurations: &[Arc<Value>], clients: &Clients, identities: &Identities) -> Vec<Arc<Hook>> {
    let mut hooks = Vec::new();
    for configuration in configurations {
        let mut seen: HashMap<&str, usize> = HashMap::new();
        for webhook in configuration["webhooks"].as_array().into_iter().flatten() {
            let nth = seen.entry(webhook["name"].as_str().unwrap_or("")).or_default();
            hooks.push(Arc::new(one(
                meta::name(configuration),
                *nth,
                webhook,
                clients,
                identities,
            )));
            *nth += 1;
        }
    }
    hooks
}

fn one(configuration: &str, nth: usize, webhook: &Value, clients: &Clients, identities: &Identities) -> Hook {
    let name = webhook["name"].as_str().unwrap_or("").to_owned();
    let fails_open = webhook["failurePolicy"] == "Ignore";
    let seconds = webhook["timeoutSeconds"].as_i64().unwrap_or(DEFAULT_TIMEOUT);
    Hook {
        id: format!("{configuration}/{name}/{nth}"),
        configuration: configuration.to_owned(),
        criteria: Criteria::of_webhook(webhook),
        conditions: Conditions::compile(
            &webhook["matchConditions"],
            api::expressions::environment(CONDITION_NAMES),
            fails_open,
        ),
        endpoint: endpoint(&webhook["clientConfig"], clients, identities),
        version: webhook["admissionReviewVersions"]
            .as_array()
            .into_iter()
            .flatten()
            .find_map(|version| match version.as_str() {
                Some("v1") => Some(Version::V1),
                Some("v1beta1") => Some(Version::V1beta1),
                _ => None,
            }),
        fails_open,
        dry_runs: matches!(webhook["sideEffects"].as_str(), Some("None" | "NoneOnDryRun")),
        timeout: Duration::from_secs(u64::try_from(seconds).unwrap_or(1)),
        reinvocable: webhook["reinvocationPolicy"] == "IfNeeded",
        name,
    }
}

fn endpoint(config: &Value, clients: &Clients, identities: &Identities) -> Result<Endpoint, String> {
    let place = Place::from_client_config(config).map_err(|error| error.to_string())?;
    let bundle = STANDARD
        .decode(config["caBundle"].as_str().unwrap_or(""))
        .map_err(|error| format!("caBundle: {error}"))?;
    let credentials = identities.of(&place.authority());
    clients
        .endpoint(place, &bundle, credentials)
        .map_err(|error| error.to_string())
}
