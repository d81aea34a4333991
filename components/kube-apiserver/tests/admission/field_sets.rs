//! The server holds field sets as text while it works on an object. Nobody else sees them so.

use crate::bench::{Bench, MAPS};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use testkit::webhook::{Answer, Seen};

fn answer(seen: &Seen) -> Answer {
    let mut response = json!({"uid": seen.body["request"]["uid"], "allowed": true});
    // What tells that a configuration acts.
    response["allowed"] = json!(seen.path != "/deny");
    // A deletion has no object to change.
    if seen.path == "/mark" && seen.body["request"]["object"].is_object() {
        let mark = json!([{"op": "add", "path": "/metadata/labels", "value": {"marked": "yes"}}]);
        response["patchType"] = json!("JSONPatch");
        response["patch"] = json!(STANDARD.encode(mark.to_string()));
    }
    Answer::ok(json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response}))
}

/// The field sets of an object, by their managers; each must be a map.
fn sets(object: &Value) -> Vec<(&str, &Value)> {
    let entries = object["metadata"]["managedFields"].as_array();
    let sets = entries.into_iter().flatten().map(|entry| {
        let fields = &entry["fieldsV1"];
        assert!(fields.is_object(), "{object}");
        (entry["manager"].as_str().unwrap_or(""), fields)
    });
    sets.collect()
}

async fn json_patch(bench: &Bench, path: &str, operations: Value) -> (u16, Value) {
    let (code, body, _) = bench
        .send("PATCH", path, "application/json-patch+json", Some(&operations))
        .await;
    (code, body)
}

#[tokio::test]
async fn patches_look_into_field_sets_and_change_them() {
    let bench = Bench::start(answer).await;
    let map = json!({"metadata": {"name": "m"}, "data": {"a": "b"}});
    let (code, made, _) = bench.post(&format!("{MAPS}?fieldManager=one"), &map).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(sets(&made), [("one", &json!({"f:data": {".": {}, "f:a": {}}}))]);

    let path = format!("{MAPS}/m?fieldManager=two");
    let field = "/metadata/managedFields/0/fieldsV1";
    let looks = json!([
        {"op": "test", "path": format!("{field}/f:data/f:a"), "value": {}},
        {"op": "test", "path": field, "value": {"f:data": {".": {}, "f:a": {}}}},
        {"op": "add", "path": "/data/c", "value": "d"},
    ]);
    let (code, body) = json_patch(&bench, &path, looks).await;
    assert_eq!(code, 200, "{body}");
    let two = json!({"f:data": {"f:c": {}}});
    assert_eq!(
        sets(&body),
        [("one", &json!({"f:data": {".": {}, "f:a": {}}})), ("two", &two)]
    );

    let wrong = json!([{"op": "test", "path": field, "value": "{\"f:data\":{\".\":{},\"f:a\":{}}}"}]);
    assert_eq!(json_patch(&bench, &path, wrong).await.0, 422);

    // A text is no field set: what was known before stays.
    let text = json!([{"op": "replace", "path": field, "value": "{\"f:data\":{\"f:z\":{}}}"}]);
    let (code, after) = json_patch(&bench, &format!("{path}&dryRun=All"), text).await;
    assert_eq!((code, sets(&after)), (200, sets(&body)));

    let replaced = json!([{"op": "add", "path": format!("{field}/f:data/f:z"), "value": {}}]);
    let (code, body) = json_patch(&bench, &path, replaced).await;
    assert_eq!(code, 200, "{body}");
    let three = json!({"f:data": {".": {}, "f:a": {}, "f:z": {}}});
    assert_eq!(sets(&body), [("one", &three), ("two", &two)]);

    // What the client got it may send back, and as text of another form too.
    let (code, body, _) = bench.send("PUT", &path, "application/json", Some(&body)).await;
    assert_eq!((code, sets(&body)), (200, vec![("one", &three), ("two", &two)]));
    let yaml = json!({"metadata": {"name": "m", "managedFields": body["metadata"]["managedFields"]}, "data": {"a": "e", "c": "d"}});
    let (code, body, _) = bench.send("PUT", &path, "application/yaml", Some(&yaml)).await;
    assert_eq!(code, 200, "{body}");
    let (one, two) = (
        json!({"f:data": {".": {}, "f:z": {}}}),
        json!({"f:data": {"f:a": {}, "f:c": {}}}),
    );
    assert_eq!(sets(&body), [("one", &one), ("two", &two)]);

    let (code, body, _) = bench
        .merge(&path, &json!({"metadata": {"managedFields": [{}]}}))
        .await;
    assert_eq!((code, &body["metadata"]["managedFields"]), (200, &Value::Null));
}

#[tokio::test]
async fn webhooks_see_whole_objects_and_leave_them_so() {
    let bench = Bench::start(answer).await;
    let named = |object: Value| json!({"objectSelector": {"matchExpressions": [{"key": "marker", "operator": "DoesNotExist"}]}, "matchConditions": object});
    let condition = json!([{"name": "sets", "expression": "object == null || object.metadata.managedFields.all(entry, type(entry.fieldsV1) != string)"}]);
    bench
        .configure(
            "ValidatingWebhookConfiguration",
            "looks",
            vec![bench.hook("looks.example.com", "/looks", named(condition))],
        )
        .await;
    bench
        .configure(
            "MutatingWebhookConfiguration",
            "marks",
            vec![bench.hook("marks.example.com", "/mark", named(json!([])))],
        )
        .await;
    let map = json!({"metadata": {"name": "m"}, "data": {"a": "b"}});
    let (code, made, _) = bench.post(MAPS, &map).await;
    assert_eq!(code, 201, "{made}");
    let path = format!("{MAPS}/m");
    let (code, body, _) = bench.merge(&path, &json!({"data": {"c": "d"}})).await;
    assert_eq!(code, 200, "{body}");
    assert_eq!(bench.delete(&path).await.0, 200);
    for object in [&made, &body] {
        assert_eq!(
            (sets(object).len(), &object["metadata"]["labels"]["marked"]),
            (1, &json!("yes"))
        );
    }
    let seen = bench.webhook.seen();
    let reviews: Vec<&Value> = seen
        .iter()
        .filter(|seen| seen.body["request"]["name"] == "m")
        .map(|seen| &seen.body["request"])
        .collect();
    let of = |operation: &str| {
        reviews
            .iter()
            .filter(|review| review["operation"] == operation)
            .count()
    };
    assert_eq!((of("CREATE"), of("UPDATE"), of("DELETE")), (2, 2, 2));
    for review in reviews {
        for object in [&review["object"], &review["oldObject"]] {
            assert_eq!(sets(object).len(), usize::from(!object.is_null()), "{review}");
        }
    }
}

#[tokio::test]
async fn what_is_only_answered_is_whole() {
    let bench = Bench::start(answer).await;
    let entry = json!({"manager": "m", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {}}});
    let review = json!({"metadata": {"managedFields": [entry]}, "spec": {"token": "x"}});
    let (code, body, _) = bench
        .post("/apis/authentication.k8s.io/v1/tokenreviews", &review)
        .await;
    assert_eq!(code, 201, "{body}");
    sets(&body);
    let map = json!({"metadata": {"name": "m"}, "data": {"a": "b"}});
    let (code, body, _) = bench.post(&format!("{MAPS}?dryRun=All"), &map).await;
    assert_eq!((code, sets(&body).len()), (201, 1), "{body}");
}
