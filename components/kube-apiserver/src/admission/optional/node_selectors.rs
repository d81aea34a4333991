//! PodNodeSelector: pods of a namespace go to the namespace's nodes.
use super::{namespace, plain};
use crate::admission::Attributes;
use crate::server::Server;
use apimachinery::field::quote;
use apimachinery::{ApiError, names};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

const ANNOTATION: &str = "scheduler.alpha.kubernetes.io/node-selector";
/// The entry for namespaces that say nothing.
const DEFAULT: &str = "clusterDefaultNodeSelector";

type Labels = BTreeMap<String, String>;

/// What the plugin is told: selectors by namespace, of which pods may use no more, and one for all.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeSelectors {
    #[serde(default)]
    pod_node_selector_plugin_config: BTreeMap<String, String>,
}

impl NodeSelectors {
    fn of(&self, namespace: &str) -> Result<Labels, String> {
        let text = self.pod_node_selector_plugin_config.get(namespace);
        parse(text.map_or("", String::as_str))
    }

    /// The labels that a namespace asks of its pods' nodes.
    fn asked(&self, namespace: &Value) -> Result<Labels, String> {
        match namespace["metadata"]["annotations"][ANNOTATION].as_str() {
            Some(text) => parse(text),
            None => self.of(DEFAULT),
        }
    }
}

/// `key=value,key=value`.
fn parse(text: &str) -> Result<Labels, String> {
    let mut parsed = Labels::new();
    if text.is_empty() {
        return Ok(parsed);
    }
    for part in text.split(',') {
        let pair: Vec<&str> = part.split('=').collect();
        let [key, value] = pair.as_slice() else {
            return Err(format!("invalid selector: [{}]", pair.join(" ")));
        };
        let (key, value) = (key.trim(), value.trim());
        fits("<nil>", key, names::qualified_name(key))?;
        fits(&format!("[{key}]"), value, names::label_value(value))?;
        parsed.insert(key.to_owned(), value.to_owned());
    }
    Ok(parsed)
}

/// As upstream shows an error that stands in no field.
fn fits(path: &str, text: &str, wrong: Vec<String>) -> Result<(), String> {
    match wrong.as_slice() {
        [] => Ok(()),
        wrong => Err(format!(
            "{path}: Invalid value: {}: {}",
            quote(text),
            wrong.join("; ")
        )),
    }
}

/// Gives the pod its namespace's selector.
pub async fn select(server: &Server, attributes: &Attributes<'_>, pod: &mut Value) -> Result<(), ApiError> {
    let namespace = namespace(server, &attributes.namespace).await?;
    let configuration = &server.admission.configuration.node_selectors;
    let asked = configuration.asked(&namespace).map_err(plain)?;
    conflict(attributes, pod, &asked)?;
    if !asked.is_empty() {
        let mut merged: Map<String, Value> = asked
            .into_iter()
            .map(|(key, value)| (key, value.into()))
            .collect();
        merged.extend(
            pod["spec"]["nodeSelector"]
                .as_object()
                .cloned()
                .unwrap_or_default(),
        );
        pod["spec"]["nodeSelector"] = Value::Object(merged);
    }
    allowed(attributes, configuration, pod)
}

/// Webhooks may have changed it.
pub async fn check(
    server: &Server,
    attributes: &Attributes<'_>,
    pod: Option<&Value>,
) -> Result<(), ApiError> {
    let Some(pod) = pod else { return Ok(()) };
    let namespace = namespace(server, &attributes.namespace).await?;
    let configuration = &server.admission.configuration.node_selectors;
    conflict(attributes, pod, &configuration.asked(&namespace).map_err(plain)?)?;
    allowed(attributes, configuration, pod)
}

fn conflict(attributes: &Attributes<'_>, pod: &Value, asked: &Labels) -> Result<(), ApiError> {
    let own = &pod["spec"]["nodeSelector"];
    let differs = |(key, value): (&String, &String)| own[key].as_str().is_some_and(|other| other != value);
    if asked.iter().any(differs) {
        let why = "pod node label selector conflicts with its namespace node label selector";
        return Err(attributes.forbidden(why));
    }
    Ok(())
}

fn allowed(attributes: &Attributes<'_>, configuration: &NodeSelectors, pod: &Value) -> Result<(), ApiError> {
    let allowed = configuration.of(&attributes.namespace).map_err(plain)?;
    let mut own = pod["spec"]["nodeSelector"].as_object().into_iter().flatten();
    let fits =
        |(key, value): (&String, &Value)| allowed.get(key).is_some_and(|other| value == other.as_str());
    if !allowed.is_empty() && !own.all(fits) {
        let why = "pod node label selector labels conflict with its namespace whitelist";
        return Err(attributes.forbidden(why));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_as_text() {
        for (text, want) in [
            ("", Ok(vec![])),
            ("a=b", Ok(vec![("a", "b")])),
            (" a = b ,c=", Ok(vec![("a", "b"), ("c", "")])),
            ("a", Err("invalid selector: [a]")),
            ("a=b=c", Err("invalid selector: [a b c]")),
            ("a=b,", Err("invalid selector: []")),
        ] {
            let found = parse(text);
            let found = match &found {
                Ok(labels) => Ok(labels
                    .iter()
                    .map(|(key, value)| (key.as_str(), value.as_str()))
                    .collect()),
                Err(why) => Err(why.as_str()),
            };
            assert_eq!(found, want, "{text}");
        }
        assert!(parse("a b=c").is_err() && parse("a=b c").is_err());
    }
}
