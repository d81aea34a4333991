//! CustomResourceDefinitions of apiextensions.k8s.io/v1beta1, in which upstream writes them to this day since it is
//! shorter: what all versions have in common stands once (<https://issue.k8s.io/82292>).
use crate::value::{Object, absent, is_zero, items_mut, make, map_mut, zero};
use serde_json::{Value, json};

/// What a version says in v1, with its name beside the versions in v1beta1.
const COMMON: &[(&str, &str)] = &[
    ("subresources", "subresources"),
    ("schema", "validation"),
    ("additionalPrinterColumns", "additionalPrinterColumns"),
    ("selectableFields", "selectableFields"),
];

fn text(map: &Object, key: &str) -> String {
    map.get(key).and_then(Value::as_str).unwrap_or("").to_owned()
}

/// v1beta1 as v1.
pub(super) fn upgrade(definition: &mut Object) {
    let spec = make(definition, "spec");
    defaults(spec);
    spec.remove("version");
    for (own, common) in COMMON {
        let Some(said) = spec.remove(*common).filter(|said| !said.is_null()) else {
            continue;
        };
        for version in items_mut(spec, "versions") {
            version.insert((*own).to_owned(), said.clone());
        }
    }
    for version in items_mut(spec, "versions") {
        rename_paths(version, "JSONPath", "jsonPath");
    }
    let conversion = make(spec, "conversion");
    let client = conversion
        .remove("webhookClientConfig")
        .filter(|client| !client.is_null());
    let review = conversion
        .remove("conversionReviewVersions")
        .filter(|review| !review.is_null());
    if client.is_some() || review.is_some() {
        let webhook = make(conversion, "webhook");
        for (key, said) in [("clientConfig", client), ("conversionReviewVersions", review)] {
            if let Some(said) = said {
                webhook.insert(key.to_owned(), said);
            }
        }
    }
    if spec["preserveUnknownFields"] == false {
        spec.remove("preserveUnknownFields");
    }
    let stored = items_mut(spec, "versions")
        .find(|version| version.get("storage") == Some(&Value::Bool(true)))
        .map(|version| text(version, "name"));
    if let Some(stored) = stored {
        zero(make(definition, "status"), "storedVersions", json!([stored]));
    }
}

fn defaults(spec: &mut Object) {
    zero(spec, "scope", "Namespaced");
    let names = make(spec, "names");
    let kind = text(names, "kind");
    zero(names, "singular", kind.to_lowercase());
    if !kind.is_empty() {
        zero(names, "listKind", format!("{kind}List"));
    }
    let version = text(spec, "version");
    if !version.is_empty() {
        zero(
            spec,
            "versions",
            json!([{ "name": version, "served": true, "storage": true }]),
        );
    }
    absent(spec, "conversion", json!({ "strategy": "None" }));
    let conversion = make(spec, "conversion");
    if conversion.get("strategy").is_some_and(|it| it == "Webhook") {
        zero(conversion, "conversionReviewVersions", json!(["v1beta1"]));
    }
    if let Some(service) =
        map_mut(conversion, "webhookClientConfig").and_then(|client| map_mut(client, "service"))
    {
        absent(service, "port", 443);
    }
    absent(spec, "preserveUnknownFields", true);
}

fn rename_paths(of: &mut Object, from: &str, to: &str) {
    for column in items_mut(of, "additionalPrinterColumns") {
        if let Some(path) = column.remove(from) {
            column.insert(to.to_owned(), path);
        }
    }
}

/// v1 as v1beta1.
pub(super) fn downgrade(definition: &mut Object) {
    let spec = make(definition, "spec");
    let first = items_mut(spec, "versions").next().map(|first| first.clone());
    if let Some(first) = first {
        spec.insert("version".to_owned(), json!(text(&first, "name")));
        let mut one_schema = false;
        for (own, common) in COMMON {
            let said = first.get(*own).filter(|said| stands(own, said));
            let identical = items_mut(spec, "versions")
                .all(|version| version.get(*own).filter(|other| stands(own, other)) == said);
            if *own == "schema" {
                one_schema = identical;
            }
            // Which fields exist depends on the schema.
            if !identical || (*own == "selectableFields" && !one_schema) {
                continue;
            }
            items_mut(spec, "versions").for_each(|version| drop(version.remove(*own)));
            if let Some(said) = said {
                spec.insert((*common).to_owned(), said.clone());
            }
        }
    }
    rename_paths(spec, "jsonPath", "JSONPath");
    items_mut(spec, "versions").for_each(|version| rename_paths(version, "jsonPath", "JSONPath"));
    if let Some(conversion) = map_mut(spec, "conversion")
        && let Some(Value::Object(mut webhook)) = conversion.remove("webhook")
    {
        for (own, flat) in [
            ("clientConfig", "webhookClientConfig"),
            ("conversionReviewVersions", "conversionReviewVersions"),
        ] {
            if let Some(said) = webhook.remove(own) {
                conversion.insert(flat.to_owned(), said);
            }
        }
    }
    // Absent means true in v1beta1.
    absent(spec, "preserveUnknownFields", false);
}

/// An empty list is as good as none; an empty struct is not.
fn stands(field: &str, said: &Value) -> bool {
    match field {
        "subresources" | "schema" => !said.is_null(),
        _ => !is_zero(Some(said)),
    }
}
