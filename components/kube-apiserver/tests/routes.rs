//! Every route asks whether the caller may use it.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use std::path::Path;
use testkit::api_server::ApiServer;
use testkit::etcd::Etcd;

/// What every authenticated user may do, by the roles that a new cluster has.
const FOR_EVERYBODY: &[&str] = &[
    "selfsubjectaccessreviews",
    "selfsubjectrulesreviews",
    "selfsubjectreviews",
];

fn routes() -> Vec<(&'static str, String)> {
    let mut routes = Vec::new();
    for row in api::Registry::built_in().iter() {
        if FOR_EVERYBODY.contains(&row.plural.as_str()) {
            continue;
        }
        let root = if row.gvk.group.is_empty() {
            format!("/api/{}", row.gvk.version)
        } else {
            format!("/apis/{}", row.gvk.api_version())
        };
        let collection = if row.namespaced {
            format!("{root}/namespaces/default/{}", row.plural)
        } else {
            format!("{root}/{}", row.plural)
        };
        let mut add = |verbs: &[String], collection: &str, one: &str| {
            for verb in verbs {
                routes.push(match verb.as_str() {
                    "list" | "watch" => ("GET", collection.to_owned()),
                    "create" if one.contains("/x/") => ("POST", one.to_owned()),
                    "create" => ("POST", collection.to_owned()),
                    "deletecollection" => ("DELETE", collection.to_owned()),
                    "get" => ("GET", one.to_owned()),
                    "update" => ("PUT", one.to_owned()),
                    "patch" => ("PATCH", one.to_owned()),
                    _ => ("DELETE", one.to_owned()),
                });
            }
        };
        add(&row.verbs, &collection, &format!("{collection}/x"));
        for subresource in &row.subresources {
            let one = format!("{collection}/x/{}", subresource.name);
            add(&subresource.verbs, &one, &one);
        }
    }
    routes.extend(
        ["/metrics", "/logs/", "/debug/pprof/", "/configz", "/"].map(|path| ("GET", path.to_owned())),
    );
    routes
}

#[tokio::test]
async fn a_user_without_rights_is_refused_everywhere() {
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(Path::new(env!("CARGO_BIN_EXE_kube-apiserver")), &etcd, &[])
        .await
        .unwrap();
    let nobody = server.client("nobody", &[]).await.unwrap();
    let routes = routes();
    assert!(routes.len() > 400, "{}", routes.len());
    for (method, path) in routes {
        let request = http::Request::builder()
            .method(method)
            .uri(&path)
            .header("content-type", "application/json")
            .body(b"{}".to_vec())
            .unwrap();
        match nobody.request_text(request).await {
            Err(kube::Error::Api(status)) if status.code == 403 => {}
            other => panic!("{method} {path}: {other:?}"),
        }
    }
}
