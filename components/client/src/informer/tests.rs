use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use ahash::AHashSet;
use bytes::Bytes;
use futures::StreamExt as _;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::client::Body;
use kube::{Client, ResourceExt as _};
use parking_lot::Mutex;

use super::*;

fn config_map(name: &str, version: &str, label: &str) -> ConfigMap {
    let mut object = ConfigMap::default();
    object.metadata.name = Some(name.to_owned());
    object.metadata.namespace = Some("n".to_owned());
    object.metadata.resource_version = Some(version.to_owned());
    object.metadata.labels = Some([("app".to_owned(), label.to_owned())].into());
    object
}

#[test]
fn a_relist_reports_only_what_changed() {
    let informer = Informer::fixed([config_map("a", "1", "x"), config_map("b", "2", "x")]);
    informer.add_index("app", |object| object.labels().values().cloned().collect());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    informer.on_change(move |change| {
        log.lock().push((
            change.object().name_any(),
            change.old.is_some(),
            change.new.is_some(),
        ));
    });
    seen.lock().clear();
    informer.copy.apply(config_map("a", "1", "x"), false);
    informer.copy.apply(config_map("c", "4", "y"), false);
    let listed: AHashSet<Key> = [("n".to_owned(), "a".to_owned()), ("n".to_owned(), "c".to_owned())].into();
    informer.copy.retain(&listed);
    assert_eq!(
        *seen.lock(),
        [("c".to_owned(), false, true), ("b".to_owned(), true, false)]
    );
    assert_eq!(informer.by_index("app", "x").len(), 1);
    assert_eq!(informer.by_index("app", "y").len(), 1);
    informer.copy.apply(config_map("c", "5", "x"), false);
    assert_eq!(informer.by_index("app", "x").len(), 2);
    assert!(informer.by_index("app", "y").is_empty());
}

/// A server whose list and watch each answer with a fixed text; the watch then stays open.
fn server(list: &'static str, watch: &'static str) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| async move {
        let watching = request.uri().query().unwrap_or_default().contains("watch=");
        let text = if watching { watch } else { list };
        let data = futures::stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from(text)))]);
        let body = match watching {
            true => data.chain(futures::stream::pending()).left_stream(),
            false => data.right_stream(),
        };
        Ok::<_, Infallible>(Response::new(StreamBody::new(body)))
    });
    Client::new(service, "default")
}

const LIST: &str = r#"{"apiVersion":"v1","kind":"ConfigMapList","metadata":{"resourceVersion":"9"},"items":[
    {"metadata":{"name":"a","namespace":"n","resourceVersion":"1"}},
    {"metadata":{"name":"broken","namespace":"n","resourceVersion":"2"},"data":["not","a","map"]},
    {"metadata":{"name":"c","namespace":"n","resourceVersion":"3"}}]}"#;
const WATCH: &str = concat!(
    r#"{"type":"MODIFIED","object":{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"c","namespace":"n","resourceVersion":"10"},"data":7}}"#,
    "\n",
    r#"{"type":"DELETED","object":{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","namespace":"n","resourceVersion":"11","labels":[]}}}"#,
    "\n",
    r#"{"type":"ADDED","object":{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"last","namespace":"n","resourceVersion":"12"}}}"#,
    "\n",
);

#[tokio::test]
async fn a_malformed_object_or_a_panicking_handler_does_not_stop_the_watch() {
    let shutdown = CancellationToken::new();
    let api: Api<ConfigMap> = Api::all(server(LIST, WATCH));
    let informer = Informer::start(api, watcher::Config::default(), shutdown.clone());
    informer.add_index("all", |object| match object.name_any().as_str() {
        "c" => panic!("an index that cannot"),
        _ => vec!["all".to_owned()],
    });
    informer.on_change(|_| panic!("a handler that cannot"));
    let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
    informer.on_change(move |change| {
        let _ = sender.send((change.object().name_any(), change.new.is_some()));
    });
    let mut seen = BTreeSet::new();
    while !seen.contains(&("last".to_owned(), true)) {
        let next = tokio::time::timeout(Duration::from_secs(10), told.recv()).await;
        seen.extend(next.unwrap_or_else(|_| panic!("only {seen:?}")));
    }
    let want = [("a", false), ("a", true), ("c", true), ("last", true)];
    assert_eq!(seen, want.map(|(name, there)| (name.to_owned(), there)).into());
    // What no longer decodes stays as it was.
    assert_eq!(
        informer
            .get("n", "c")
            .and_then(|object| object.resource_version())
            .as_deref(),
        Some("3")
    );
    let indexed: Vec<_> = informer
        .by_index("all", "all")
        .iter()
        .map(|object| object.name_any())
        .collect();
    assert_eq!(indexed, ["last"]);
    shutdown.cancel();
}
