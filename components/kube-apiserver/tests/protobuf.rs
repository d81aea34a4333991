//! Answers in protobuf, as upstream's components ask for them.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use futures::AsyncReadExt;
use kube::client::Body;
use kube_apiserver::protobuf;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use testkit::api_server::ApiServer;
use testkit::etcd::Etcd;

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

async fn ask(
    client: &kube::Client,
    method: &str,
    path: &str,
    accept: &str,
    body: Value,
) -> (u16, String, Vec<u8>) {
    let body = if body.is_null() {
        Vec::new()
    } else {
        serde_json::to_vec(&body).unwrap()
    };
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("accept", accept)
        .header("content-type", "application/json")
        .body(Body::from(body))
        .unwrap();
    let response = client.send(request).await.unwrap();
    let code = response.status().as_u16();
    let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    let bytes = response.into_body().collect_bytes().await.unwrap().to_vec();
    (code, content_type, bytes)
}

fn decoded(bytes: &[u8], kind: &str, schema: &str) -> Value {
    let envelope = protobuf::open(bytes).unwrap();
    assert_eq!(envelope.kind, kind);
    protobuf::decode(&api::schema::built_in(), schema, envelope.raw).unwrap()
}

#[tokio::test]
async fn objects_lists_metadata_and_events_are_answered_in_protobuf() {
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(Path::new(env!("CARGO_BIN_EXE_kube-apiserver")), &etcd, &[])
        .await
        .unwrap();
    let client = server.admin().await.unwrap();
    let maps = "/api/v1/namespaces/default/configmaps";
    let map = json!({ "metadata": { "name": "a", "labels": { "l": "1" } }, "data": { "k": "v" } });
    let schema = "io.k8s.api.core.v1.ConfigMap";

    let (code, content_type, bytes) = ask(&client, "POST", maps, PROTOBUF, map).await;
    assert_eq!((code, content_type.as_str()), (201, PROTOBUF));
    let created = decoded(&bytes, "ConfigMap", schema);
    assert_eq!(created["data"]["k"], "v");

    let client_go = "application/vnd.kubernetes.protobuf,application/json";
    let (_, content_type, bytes) = ask(&client, "GET", &format!("{maps}/a"), client_go, Value::Null).await;
    assert_eq!(content_type, PROTOBUF);
    assert_eq!(decoded(&bytes, "ConfigMap", schema), created);

    let list = format!("{maps}?labelSelector=l");
    let (_, _, bytes) = ask(&client, "GET", &list, client_go, Value::Null).await;
    let listed = decoded(&bytes, "ConfigMapList", &format!("{schema}List"));
    assert_eq!(listed["items"], json!([created]));
    let revision = listed["metadata"]["resourceVersion"].as_str().unwrap();

    let metadata = format!("{PROTOBUF};as=PartialObjectMetadataList;v=v1;g=meta.k8s.io");
    let (_, _, bytes) = ask(&client, "GET", &list, &metadata, Value::Null).await;
    let metadata = decoded(&bytes, "PartialObjectMetadataList", &format!("{schema}List"));
    assert_eq!(metadata["items"][0], json!({ "metadata": created["metadata"] }));

    let (code, content_type, bytes) =
        ask(&client, "DELETE", &format!("{maps}/a"), client_go, Value::Null).await;
    assert_eq!((code, content_type.as_str()), (200, PROTOBUF));
    let status = decoded(&bytes, "Status", "io.k8s.apimachinery.pkg.apis.meta.v1.Status");
    assert_eq!(status["status"], "Success");

    // The watch from the list on sees the deletion, framed by its length.
    let request = http::Request::get(format!("{maps}?watch=1&resourceVersion={revision}"))
        .header("accept", "application/vnd.kubernetes.protobuf;stream=watch")
        .body(Vec::new())
        .unwrap();
    let mut stream = Box::pin(client.request_stream(request).await.unwrap());
    let mut length = [0; 4];
    let read = async {
        stream.read_exact(&mut length).await.unwrap();
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut frame).await.unwrap();
        frame
    };
    let frame = tokio::time::timeout(Duration::from_secs(20), read).await.unwrap();
    let event = protobuf::decode(
        &api::schema::built_in(),
        "io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent",
        &frame,
    );
    // The object inside is protobuf, where the schema expects JSON, so only its place is checked.
    assert!(event.is_err());
    assert_eq!(&frame[..9], b"\x0a\x07DELETED");
    assert!(frame.windows(4).any(|window| window == b"k8s\0"));

    // What has no message is answered with the next best form.
    let table = format!("{PROTOBUF};as=Table;v=v1;g=meta.k8s.io,application/json");
    let (_, content_type, _) = ask(&client, "GET", maps, &table, Value::Null).await;
    assert_eq!(content_type, "application/json");
    let (code, _, _) = ask(&client, "GET", maps, "text/html", Value::Null).await;
    assert_eq!(code, 406);
}

#[tokio::test]
async fn failures_are_answered_in_the_clients_encoding() {
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(Path::new(env!("CARGO_BIN_EXE_kube-apiserver")), &etcd, &[])
        .await
        .unwrap();
    let client = server.admin().await.unwrap();
    let maps = "/api/v1/namespaces/default/configmaps";
    let wrong = json!({ "metadata": { "name": "Wrong!" } });
    let definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/none";
    for (method, path, body, code) in [
        ("GET", format!("{maps}/none"), Value::Null, 404),
        ("POST", maps.to_owned(), wrong, 422),
        ("PUT", maps.to_owned(), json!({}), 405),
        ("GET", definition.to_owned(), Value::Null, 404),
    ] {
        let (_, content_type, json) = ask(&client, method, &path, "application/json", body.clone()).await;
        assert_eq!(content_type, "application/json");
        let json: Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(json["code"], code);

        let (found, content_type, bytes) = ask(&client, method, &path, PROTOBUF, body.clone()).await;
        assert_eq!(
            (found, content_type.as_str()),
            (code, PROTOBUF),
            "{method} {path}"
        );
        let status = decoded(&bytes, "Status", protobuf::STATUS);
        for field in ["message", "reason", "code", "status"] {
            assert_eq!(status[field], json[field], "{method} {path} {field}");
        }
        assert_eq!(status["details"]["name"], json["details"]["name"]);

        let (_, content_type, yaml) = ask(&client, method, &path, "application/yaml", body.clone()).await;
        assert_eq!(content_type, "application/yaml");
        assert_eq!(serde_yaml_ng::from_slice::<Value>(&yaml).unwrap(), json);

        // What can't be had is answered as JSON, with the failure that came first.
        let (found, content_type, _) = ask(&client, method, &path, "text/html", body).await;
        assert_eq!(content_type, "application/json");
        assert!(found == code || found == 406, "{found}");
    }
}

/// The first occurrence of each numbered field, from outside in.
fn at<'a>(mut bytes: &'a [u8], path: &[u32]) -> Option<&'a [u8]> {
    use protobuf::wire::{Field, Reader};
    for number in path {
        bytes = Reader::new(bytes).find_map(|field| match field {
            Ok((found, Field::Bytes(inner))) if found == *number => Some(inner),
            _ => None,
        })?;
    }
    Some(bytes)
}

#[tokio::test]
async fn documents_are_answered_in_protobuf_under_the_tag_of_their_json() {
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(Path::new(env!("CARGO_BIN_EXE_kube-apiserver")), &etcd, &[])
        .await
        .unwrap();
    let client = server.admin().await.unwrap();
    let asked = |path: &'static str, accept: String, more: Option<(&'static str, String)>| {
        let client = client.clone();
        async move {
            let mut request = http::Request::get(path).header("accept", accept);
            if let Some((name, value)) = more {
                request = request.header(name, value);
            }
            let response = client.send(request.body(Body::empty()).unwrap()).await.unwrap();
            let (parts, body) = response.into_parts();
            let bytes = body.collect_bytes().await.unwrap().to_vec();
            (parts, bytes)
        }
    };
    let current = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf";
    let path = "/openapi/v3/apis/apps/v1";
    let (json, _) = asked(path, "application/json".into(), None).await;
    for accept in [
        current,
        "application/com.github.proto-openapi.spec.v3@v1.0+protobuf",
    ] {
        let (answer, bytes) = asked(path, format!("{accept},application/json;q=0.5"), None).await;
        assert_eq!(answer.headers["content-type"], current);
        assert_eq!(answer.headers["etag"], json.headers["etag"]);
        assert_eq!(at(&bytes, &[1]), Some(&b"3.0.0"[..]));
        // components, schemas, the first of them, its name
        assert!(at(&bytes, &[5, 1, 1, 1]).is_some());
    }
    // As it is kept, and as it was before.
    let (answer, bytes) = asked(path, current.into(), Some(("accept-encoding", "gzip".into()))).await;
    assert_eq!(answer.headers["content-encoding"], "gzip");
    assert_eq!(bytes[..2], [0x1f, 0x8b]);
    let tag = json.headers["etag"].to_str().unwrap().to_owned();
    let (answer, bytes) = asked(path, current.into(), Some(("if-none-match", tag))).await;
    assert_eq!((answer.status.as_u16(), bytes.len()), (304, 0));
    let (answer, _) = asked(path, "text/html".into(), None).await;
    assert_eq!(answer.status.as_u16(), 406);
    let (index, _) = asked("/openapi/v3", "application/json".into(), None).await;
    let tag = index.headers["etag"].to_str().unwrap().to_owned();
    let (answer, _) = asked("/openapi/v3", "*/*".into(), Some(("if-none-match", tag))).await;
    assert_eq!(answer.status.as_u16(), 304);

    let aggregated = ";g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let (json, _) = asked("/apis", format!("application/json{aggregated}"), None).await;
    let (answer, bytes) = asked("/apis", format!("{PROTOBUF}{aggregated}"), None).await;
    assert_eq!(answer.headers["content-type"], format!("{PROTOBUF}{aggregated}"));
    assert_eq!(answer.headers["etag"], json.headers["etag"]);
    assert_eq!(answer.headers["cache-control"], "public");
    let envelope = protobuf::open(&bytes).unwrap();
    assert_eq!(
        (envelope.api_version.as_str(), envelope.kind.as_str()),
        ("apidiscovery.k8s.io/v2", "APIGroupDiscoveryList")
    );
    // items, metadata, name
    assert_eq!(at(envelope.raw, &[2, 1, 1]), Some(&b"apiregistration.k8s.io"[..]));
    for (path, kind, field, expected) in [
        ("/api", "APIVersions", &[1][..], "v1"),
        ("/apis", "APIGroupList", &[1, 1], "apiregistration.k8s.io"),
        ("/apis/apps", "APIGroup", &[3, 1], "apps/v1"),
        ("/apis/apps/v1", "APIResourceList", &[1], "apps/v1"),
        ("/api/v1", "APIResourceList", &[1], "v1"),
    ] {
        let (answer, bytes) = asked(path, format!("{PROTOBUF},application/json"), None).await;
        assert_eq!(answer.headers["content-type"], PROTOBUF, "{path}");
        let envelope = protobuf::open(&bytes).unwrap();
        assert_eq!(envelope.kind, kind);
        assert_eq!(at(envelope.raw, field), Some(expected.as_bytes()), "{path}");
    }
}
