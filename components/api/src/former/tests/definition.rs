use super::*;
use crate::former::definition::{downgrade, upgrade};
use proptest::prelude::*;

fn kind() -> GroupVersionKind {
    GroupVersionKind::new("apiextensions.k8s.io", "v1", "CustomResourceDefinition")
}

fn names() -> Value {
    json!({ "plural": "shirts", "singular": "shirt", "kind": "Shirt", "listKind": "ShirtList" })
}

fn schema(of: &str) -> Value {
    json!({ "openAPIV3Schema": { "type": "object", "properties": { of: { "type": "string" } } } })
}

#[test]
fn a_definition_as_upstream_stores_it() {
    let stored = json!({
        "kind": "CustomResourceDefinition", "apiVersion": "apiextensions.k8s.io/v1beta1", "metadata": { "name": "shirts.x" },
        "spec": {
            "group": "x", "version": "v1", "names": names(), "scope": "Namespaced",
            "validation": schema("a"),
            "subresources": { "status": {} },
            "versions": [{ "name": "v1", "served": true, "storage": true }, { "name": "v2", "served": true, "storage": false }],
            "additionalPrinterColumns": [{ "name": "A", "type": "string", "JSONPath": ".a" }],
            "selectableFields": [{ "jsonPath": ".a" }],
            "conversion": {
                "strategy": "Webhook", "conversionReviewVersions": ["v1"],
                "webhookClientConfig": { "service": { "namespace": "n", "name": "s" } },
            },
            "preserveUnknownFields": false,
        },
        "status": { "conditions": [], "acceptedNames": names(), "storedVersions": ["v1"] },
    });
    let now = read(&kind(), stored);
    let version = |name: &str, storage: bool| {
        json!({
            "name": name, "served": true, "storage": storage, "schema": schema("a"), "subresources": { "status": {} },
            "additionalPrinterColumns": [{ "name": "A", "type": "string", "jsonPath": ".a" }],
            "selectableFields": [{ "jsonPath": ".a" }],
        })
    };
    assert_eq!(
        now["spec"],
        json!({
            "group": "x", "names": names(), "scope": "Namespaced",
            "versions": [version("v1", true), version("v2", false)],
            "conversion": { "strategy": "Webhook", "webhook": {
                "conversionReviewVersions": ["v1"],
                "clientConfig": { "service": { "namespace": "n", "name": "s", "port": 443 } },
            } },
        })
    );
    assert_eq!(now["status"]["storedVersions"], json!(["v1"]));
}

#[test]
fn a_definition_of_the_first_days() {
    let stored = json!({
        "kind": "CustomResourceDefinition", "apiVersion": "apiextensions.k8s.io/v1beta1", "metadata": { "name": "shirts.x" },
        "spec": { "group": "x", "version": "v1", "names": { "plural": "shirts", "kind": "Shirt" } },
        "status": { "conditions": null, "acceptedNames": names(), "storedVersions": null },
    });
    let now = read(&kind(), stored);
    assert_eq!(
        now["spec"],
        json!({
            "group": "x", "names": names(), "scope": "Namespaced", "conversion": { "strategy": "None" },
            "versions": [{ "name": "v1", "served": true, "storage": true }],
            "preserveUnknownFields": true,
        })
    );
    assert_eq!(now["status"]["storedVersions"], json!(["v1"]));
}

#[test]
fn what_versions_have_in_common_is_written_once() {
    let column = |path: &str, of: &str| json!([{ "name": "A", "type": "string", path: of }]);
    for (versions, spec) in [
        (
            json!([
                { "name": "v2", "schema": schema("a"), "additionalPrinterColumns": column("jsonPath", ".a"), "selectableFields": [{ "jsonPath": ".a" }] },
                { "name": "v1", "schema": schema("a"), "additionalPrinterColumns": column("jsonPath", ".b"), "selectableFields": [{ "jsonPath": ".a" }] },
            ]),
            json!({
                "version": "v2", "validation": schema("a"), "selectableFields": [{ "jsonPath": ".a" }], "preserveUnknownFields": false,
                "versions": [
                    { "name": "v2", "additionalPrinterColumns": column("JSONPath", ".a") },
                    { "name": "v1", "additionalPrinterColumns": column("JSONPath", ".b") },
                ],
            }),
        ),
        (
            json!([
                { "name": "v2", "schema": schema("a"), "subresources": {}, "selectableFields": [{ "jsonPath": ".a" }] },
                { "name": "v1", "schema": schema("b"), "selectableFields": [{ "jsonPath": ".a" }] },
            ]),
            json!({
                "version": "v2", "preserveUnknownFields": false,
                "versions": [
                    { "name": "v2", "schema": schema("a"), "subresources": {}, "selectableFields": [{ "jsonPath": ".a" }] },
                    { "name": "v1", "schema": schema("b"), "selectableFields": [{ "jsonPath": ".a" }] },
                ],
            }),
        ),
    ] {
        let mut definition = json!({ "spec": { "versions": versions } });
        downgrade(definition.as_object_mut().unwrap());
        assert_eq!(definition["spec"], spec);
    }
}

prop_compose! {
    fn any_version()(
        schema_of in prop::option::of("[ab]"),
        column in prop::option::of("[.][ab]"),
        selectable in any::<bool>(),
        subresources in prop::option::of(prop::sample::select(vec![json!({}), json!({ "status": {} })])),
    ) -> Value {
        let mut version = json!({ "served": true, "storage": false });
        if let Some(of) = schema_of {
            version["schema"] = schema(&of);
        }
        if let Some(path) = column {
            version["additionalPrinterColumns"] = json!([{ "name": "A", "type": "string", "jsonPath": path }]);
        }
        if selectable {
            version["selectableFields"] = json!([{ "jsonPath": ".a" }]);
        }
        if let Some(subresources) = subresources {
            version["subresources"] = subresources;
        }
        version
    }
}

fn conversions() -> Vec<Value> {
    vec![
        json!({ "strategy": "None" }),
        json!({ "strategy": "Webhook", "webhook": { "conversionReviewVersions": ["v1"], "clientConfig": { "url": "https://u" } } }),
        json!({ "strategy": "Webhook", "webhook": {
            "conversionReviewVersions": ["v1", "v1beta1"],
            "clientConfig": { "service": { "namespace": "n", "name": "s", "port": 8443 }, "caBundle": "YQ==" },
        } }),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_it_was(
        versions in prop::collection::vec(any_version(), 1..4),
        conversion in prop::sample::select(conversions()),
        preserve in any::<bool>(),
    ) {
        let mut versions = versions;
        for (number, version) in versions.iter_mut().enumerate() {
            version["name"] = json!(format!("v{number}"));
            version["storage"] = json!(number == 0);
        }
        let mut definition = json!({
            "metadata": { "name": "shirts.x" },
            "spec": { "group": "x", "scope": "Cluster", "names": names(), "versions": versions, "conversion": conversion },
            "status": { "storedVersions": ["v0"] },
        });
        if preserve {
            definition["spec"]["preserveUnknownFields"] = json!(true);
        }
        let mut written = definition.clone();
        downgrade(written.as_object_mut().unwrap());
        upgrade(written.as_object_mut().unwrap());
        prop_assert_eq!(written, definition);
    }
}
