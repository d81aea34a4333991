//! Rows of the kind registry from recorded discovery and tables.
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The registry rows in discovery's order.
pub fn build(discovery: &Value, columns: &Value, answers: &str) -> Result<Value> {
    let texts = column_texts(answers)?;
    let mut rows = Vec::new();
    for document in ["aggregated-api", "aggregated-apis"] {
        for group in discovery[document]["items"].as_array().context("no groups")? {
            let group_name = group["metadata"]["name"].as_str().unwrap_or("");
            for version in group["versions"].as_array().into_iter().flatten() {
                let version_name = version["version"].as_str().context("no version")?;
                for resource in version["resources"].as_array().into_iter().flatten() {
                    rows.push(row(group_name, version_name, resource, columns, &texts));
                }
            }
        }
    }
    Ok(Value::Array(rows))
}

fn row(
    group: &str,
    version: &str,
    resource: &Value,
    columns: &Value,
    texts: &BTreeMap<String, String>,
) -> Value {
    let plural = resource["resource"].as_str().unwrap_or("");
    let base = if group.is_empty() {
        format!("/api/{version}")
    } else {
        format!("/apis/{group}/{version}")
    };
    let path = format!("{base}/{plural}");
    let columns: Vec<Value> = columns[&path]
        .as_array()
        .into_iter()
        .flatten()
        .map(|column| {
            let mut column = column.clone();
            let text = texts
                .get(&format!("{path}#{}", column["name"].as_str().unwrap_or("")))
                .cloned()
                .unwrap_or_default();
            column["description"] = Value::from(text);
            column
        })
        .collect();
    let subresources: Vec<Value> = resource["subresources"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|sub| json!({"name": sub["subresource"], "kind": kind(group, version, &sub["responseKind"]), "verbs": sub["verbs"]}))
        .collect();
    json!({
        "gvk": kind(group, version, &resource["responseKind"]),
        "plural": plural,
        "singular": resource["singularResource"],
        "namespaced": resource["scope"] == "Namespaced",
        "short_names": resource.get("shortNames").cloned().unwrap_or(json!([])),
        "categories": resource.get("categories").cloned().unwrap_or(json!([])),
        "verbs": resource["verbs"],
        "subresources": subresources,
        "columns": columns,
    })
}

fn kind(group: &str, version: &str, response: &Value) -> Value {
    let text = |key: &str| response[key].as_str().unwrap_or("");
    let own = text("version").is_empty();
    json!({
        "group": if own { group } else { text("group") },
        "version": if own { version } else { text("version") },
        "kind": text("kind"),
    })
}

/// Texts of table columns, by list path and column name.
fn column_texts(answers: &str) -> Result<BTreeMap<String, String>> {
    let mut texts = BTreeMap::new();
    for line in answers.lines().filter(|line| line.contains("columnDefinitions")) {
        let case: Value = serde_json::from_str(line)?;
        let path = case["url"]
            .as_str()
            .unwrap_or("")
            .split('?')
            .next()
            .unwrap_or("")
            .to_owned();
        let parts: Vec<&str> = path.split('/').collect();
        let base = if path.starts_with("/api/") { 3 } else { 4 };
        let resource = match parts.get(base) {
            Some(&"namespaces") if parts.len() > base + 2 => parts[base + 2],
            Some(resource) => resource,
            None => continue,
        };
        let list = format!("{}/{resource}", parts[..base].join("/"));
        for column in case["want"]["body"]["columnDefinitions"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let key = format!("{list}#{}", column["name"].as_str().unwrap_or(""));
            texts.insert(key, column["description"].as_str().unwrap_or("").to_owned());
        }
    }
    Ok(texts)
}
