//! Tables of what is no plain list of objects in the order of their names.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use testkit::cluster::Cluster;
use testkit::eventually;

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

async fn start() -> Cluster {
    Cluster::start(Path::new(env!("CARGO_BIN_EXE_kube-apiserver")), &[])
        .await
        .unwrap()
}

fn names(table: &Value) -> Vec<&str> {
    let columns = table["columnDefinitions"].as_array().unwrap();
    columns
        .iter()
        .map(|column| column["name"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn scales_are_shown_as_tables() {
    let cluster = start().await;
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    let deployment = json!({"metadata": {"name": "d"}, "spec": {"replicas": 3, "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    let made = cluster.post(deployments, deployment).await.taken();
    let scale = format!("{deployments}/d/scale");

    let table = cluster.get_as(&scale, TABLE).await.taken();
    assert_eq!(
        (&table["kind"], &table["apiVersion"]),
        (&json!("Table"), &json!("meta.k8s.io/v1"))
    );
    assert_eq!(names(&table), ["Name", "Desired", "Available", "Age"]);
    let cells = table["rows"][0]["cells"].as_array().unwrap();
    assert_eq!(cells[..3], [json!("d"), json!(3), json!(0)]);
    let version = &made["metadata"]["resourceVersion"];
    assert_eq!(&table["metadata"]["resourceVersion"], version);
    let metadata = &table["rows"][0]["object"];
    assert_eq!(metadata["kind"], "PartialObjectMetadata");
    assert_eq!(metadata["metadata"]["uid"], made["metadata"]["uid"]);

    let whole = cluster
        .get_as(&format!("{scale}?includeObject=Object"), TABLE)
        .await;
    assert_eq!(whole.taken()["rows"][0]["object"]["kind"], "Scale");
    let wrong = cluster.get_as(&format!("{scale}?includeObject=All"), TABLE).await;
    assert!(
        wrong.refusal().starts_with("400 Unable to convert to Table"),
        "{wrong:?}"
    );
    let partial = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
    let partial = cluster.get_as(&scale, partial).await.taken();
    assert_eq!(partial["kind"], "PartialObjectMetadata");
}

/// They have no column of their definition.
#[tokio::test]
async fn scales_of_custom_objects_are_shown_as_tables() {
    let cluster = start().await;
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let definition = json!({
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Cluster", "names": {"plural": "widgets", "kind": "Widget"}, "versions": [{
            "name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
            "subresources": {"scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}},
            "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
        }]},
    });
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    cluster.post(definitions, definition).await.taken();
    let widgets = "/apis/example.com/v1/widgets";
    let widget = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": 2}});
    eventually(Duration::from_secs(60), "the widget is taken", async || {
        let told = cluster.post(widgets, widget.clone()).await;
        (!told.code.is_success()).then(|| told.refusal())
    })
    .await;
    let scale = format!("{widgets}/w/scale");
    for (size, desired) in [(2, json!(2)), (0, Value::Null)] {
        let change = json!({"spec": {"size": size}, "status": {"size": 1}});
        cluster.merge(&format!("{widgets}/w"), change).await.taken();
        let table = cluster.get_as(&scale, TABLE).await.taken();
        assert_eq!(names(&table), ["Name", "Desired", "Available", "Age"]);
        let cells = table["rows"][0]["cells"].as_array().unwrap();
        assert_eq!(cells[..3], [json!("w"), desired, json!(1)]);
    }
}

/// They are shown in the order in which requests are held against them; lists aren't.
#[tokio::test]
async fn flow_schemas_are_shown_in_the_order_in_which_they_are_asked() {
    let cluster = start().await;
    let path = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas";
    let first = json!({"metadata": {"name": "zz"}, "spec": {"matchingPrecedence": 2, "priorityLevelConfiguration": {"name": "exempt"}}});
    cluster.post(path, first).await.taken();
    let table = cluster.get_as(path, TABLE).await.taken();
    let rows = table["rows"].as_array().unwrap();
    let shown: Vec<(i64, &str)> = rows
        .iter()
        .map(|row| {
            (
                row["cells"][2].as_i64().unwrap(),
                row["cells"][0].as_str().unwrap(),
            )
        })
        .collect();
    assert!(shown.is_sorted(), "{shown:?}");
    // Of those with the highest precedence.
    let place = shown.iter().position(|(_, name)| *name == "zz");
    assert!(place.is_some_and(|place| place < 3), "{shown:?}");
    for row in rows {
        assert_eq!(row["object"]["metadata"]["name"], row["cells"][0]);
    }
    let list = cluster.get(path).await.taken();
    let items = list["items"].as_array().unwrap().iter();
    let listed: Vec<&str> = items
        .map(|item| item["metadata"]["name"].as_str().unwrap())
        .collect();
    assert!(listed.is_sorted(), "{listed:?}");
}
