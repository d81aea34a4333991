//! Many watchers of one resource over HTTP: everyone sees every event once, in order, whatever etcd goes through,
//! and one that stops reading delays nobody.
//! `WATCHERS` and `EVENTS` set the size; 2000 and 10000 are what the project promises. `WATCH_SECONDS` makes watches
//! end earlier.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use futures::{AsyncBufRead, AsyncBufReadExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams, WatchParams};
use kube::core::{ObjectMeta, Request};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use testkit::api_server::ApiServer;
use testkit::etcd::{Etcd, EtcdSpec};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Watches that are opened at once. Each has a connection of its own, for kube speaks HTTP/1.1: with hundreds of handshakes at once
/// some last longer than a server waits for clients.
const OPENED_AT_ONCE: usize = 16;
const PATIENCE: Duration = Duration::from_secs(120);

fn size(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Another build, such as a release, may be tested by its path.
fn binary() -> PathBuf {
    std::env::var_os("KUBE_APISERVER").map_or_else(
        || Path::new(env!("CARGO_BIN_EXE_kube-apiserver")).to_owned(),
        PathBuf::from,
    )
}

async fn watch(client: &kube::Client, version: &str) -> impl AsyncBufRead + use<> {
    // Watches of many events outlast it, and are begun again.
    let seconds = size("WATCH_SECONDS", 240) as u32;
    let request = Request::new("/api/v1/namespaces/default/configmaps")
        .watch(
            &WatchParams::default().timeout(seconds).disable_bookmarks(),
            version,
        )
        .unwrap();
    client.request_stream(request).await.unwrap()
}

/// The number that an event's object carries in an annotation, read without building the object.
fn number_of(line: &str) -> usize {
    let (_, rest) = line
        .split_once("\"number\":\"")
        .unwrap_or_else(|| panic!("no event: {line}"));
    rest.split('"').next().unwrap().parse().unwrap()
}

/// The revision of an event's object, with which a watch is begun again.
fn version_of(line: &str) -> String {
    let (_, rest) = line.split_once("\"resourceVersion\":\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

/// Reads up to event number `last`, each exactly once, in order. A watch whose time is over is begun again from the
/// last revision that was seen, as clients do.
async fn follow(
    client: kube::Client,
    mut version: String,
    last: usize,
    opening: Arc<Semaphore>,
    seen: Arc<AtomicUsize>,
) {
    let mut want = 1;
    while want <= last {
        let turn = opening.acquire().await.unwrap();
        let mut lines = Box::pin(watch(&client, &version).await).lines();
        drop(turn);
        loop {
            let line = tokio::time::timeout(PATIENCE, lines.try_next()).await;
            let Some(line) = line.unwrap_or_else(|_| panic!("no event {want}")).unwrap() else {
                break;
            };
            assert_eq!(number_of(&line), want, "lost, repeated or out of order");
            version = version_of(&line);
            seen.fetch_add(1, Ordering::Relaxed);
            want += 1;
            if want > last {
                break;
            }
        }
    }
}

async fn write(maps: &Api<ConfigMap>, number: usize) {
    let patch = json!({ "metadata": { "annotations": { "number": number.to_string() } } });
    let deadline = Instant::now() + PATIENCE;
    // While etcd is away a write fails; an unchanged one makes no event, so it is repeated until it is there.
    while let Err(error) = maps
        .patch("counter", &PatchParams::default(), &Patch::Merge(&patch))
        .await
    {
        assert!(Instant::now() < deadline, "event {number}: {error}");
    }
}

struct Run {
    etcd: Etcd,
    server: ApiServer,
    maps: Api<ConfigMap>,
    watchers: JoinSet<()>,
    seen: Arc<AtomicUsize>,
}

impl Run {
    async fn start(
        spec: EtcdSpec,
        watchers: usize,
        events: usize,
    ) -> (Run, Vec<Box<dyn std::any::Any + Send>>) {
        let etcd = Etcd::start_with(spec).await.unwrap();
        let server = ApiServer::start(&binary(), &etcd, &[]).await.unwrap();
        let maps: Api<ConfigMap> = Api::namespaced(server.admin().await.unwrap(), "default");
        let counter = ConfigMap {
            metadata: ObjectMeta {
                name: Some("counter".to_owned()),
                ..ObjectMeta::default()
            },
            ..ConfigMap::default()
        };
        maps.create(&PostParams::default(), &counter).await.unwrap();
        let list = maps.list(&ListParams::default()).await.unwrap();
        let version = list.metadata.resource_version.unwrap();
        let mut run = Run {
            etcd,
            server,
            maps,
            watchers: JoinSet::new(),
            seen: Arc::default(),
        };
        let client = run.server.admin().await.unwrap();
        // These are opened and never read.
        let mut stuck: Vec<Box<dyn std::any::Any + Send>> = Vec::new();
        for _ in 0..3 {
            stuck.push(Box::new(Box::pin(watch(&client, &version).await)));
        }
        let opening = Arc::new(Semaphore::new(OPENED_AT_ONCE));
        for _ in 0..watchers {
            run.watchers.spawn(follow(
                client.clone(),
                version.clone(),
                events,
                Arc::clone(&opening),
                Arc::clone(&run.seen),
            ));
        }
        (run, stuck)
    }

    async fn finish(mut self, watchers: usize, events: usize) {
        while let Some(watcher) = self.watchers.join_next().await {
            watcher.unwrap();
        }
        assert_eq!(self.seen.load(Ordering::Relaxed), watchers * events);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_watcher_sees_every_event_once_in_order() {
    let (watchers, events) = (size("WATCHERS", 300), size("EVENTS", 300));
    deliver(watchers, events).await;
}

async fn deliver(watchers: usize, events: usize) {
    let (run, stuck) = Run::start(EtcdSpec::default(), watchers, events).await;
    let begin = Instant::now();
    for number in 1..=events {
        write(&run.maps, number).await;
    }
    let written = begin.elapsed();
    run.finish(watchers, events).await;
    let all = begin.elapsed();
    println!("{watchers} watchers, {events} events: written in {written:?}, all delivered in {all:?}");
    drop(stuck);
}

/// What the project promises; for a release build, since it is twenty million events:
/// `cargo build --release -p kube-apiserver`, then, with its path,
/// `KUBE_APISERVER=… cargo test --release -p kube-apiserver --test watchers -- --ignored --nocapture thousand`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes"]
async fn two_thousand_watchers_see_ten_thousand_events_once_in_order() {
    deliver(size("WATCHERS", 2000), size("EVENTS", 10_000)).await;
}

/// Restarts, compactions and changes of the leader while events flow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_etcd_restarts_compacts_and_changes_its_leader() {
    let (watchers, events) = (size("WATCHERS", 300).min(500), size("EVENTS", 300).min(1000));
    let spec = EtcdSpec {
        members: 3,
        tls: false,
    };
    let (mut run, stuck) = Run::start(spec, watchers, events).await;
    let mut etcd = etcd_client::Client::connect(run.etcd.endpoints(), None)
        .await
        .unwrap();
    for number in 1..=events {
        write(&run.maps, number).await;
        if number % (events / 6).max(1) == 0 {
            match number / (events / 6).max(1) {
                1 | 4 => {
                    // The leader or not, one member is gone and comes back.
                    let member = number % 3;
                    run.etcd.kill(member);
                    write(&run.maps, number).await;
                    run.etcd.restart(member).await.unwrap();
                }
                2 | 5 => {
                    let revision = etcd.get("x", None).await.unwrap().header().unwrap().revision();
                    etcd.compact(revision, None::<etcd_client::CompactionOptions>)
                        .await
                        .unwrap();
                }
                _ => move_leader(&run.etcd).await,
            }
        }
    }
    run.finish(watchers, events).await;
    drop(stuck);
}

/// Makes another member the leader.
async fn move_leader(etcd: &Etcd) {
    for endpoint in etcd.endpoints() {
        let mut client = etcd_client::Client::connect([endpoint], None).await.unwrap();
        let status = client.status().await.unwrap();
        let own = status.header().unwrap().member_id();
        if status.leader() == own {
            let members = client.member_list().await.unwrap();
            let other = members
                .members()
                .iter()
                .map(|member| member.id())
                .find(|id| *id != own);
            client.move_leader(other.unwrap()).await.unwrap();
            return;
        }
    }
}

/// The code and message of a refusal.
async fn refusal(client: &kube::Client, path: &str) -> (u16, String) {
    let request = http::Request::get(path).body(Vec::new()).unwrap();
    match client.request_text(request).await {
        Err(kube::Error::Api(status)) => (status.code, status.message),
        other => panic!("{path}: {other:?}"),
    }
}

/// Regression: a watch from no revision waited for etcd without regard to its own time, and failed as a request.
#[tokio::test]
async fn watches_end_in_time_while_etcd_hangs() {
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(&binary(), &etcd, &[]).await.unwrap();
    let client = server.admin().await.unwrap();
    etcd.freeze(0, true).unwrap();
    let watch = "/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds=1";
    let request = http::Request::get(watch).body(Vec::new()).unwrap();
    let ended = tokio::time::timeout(PATIENCE, client.request_text(request)).await;
    etcd.freeze(0, false).unwrap();
    assert_eq!(ended.unwrap().unwrap(), "");
}

#[tokio::test]
async fn lists_and_watches_that_make_no_sense_are_refused() {
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(&binary(), &etcd, &[]).await.unwrap();
    let client = server.admin().await.unwrap();
    let maps = "/api/v1/namespaces/default/configmaps";
    for name in ["limit", "timeoutSeconds"] {
        for (value, why) in [
            ("", "invalid syntax"),
            ("x", "invalid syntax"),
            ("9223372036854775808", "value out of range"),
        ] {
            let wanted = format!("strconv.ParseInt: parsing {value:?}: {why}");
            assert_eq!(
                refusal(&client, &format!("{maps}?{name}={value}")).await,
                (400, wanted)
            );
        }
    }
    let one = "/api/v1/watch/namespaces/default/configmaps/a";
    assert_eq!(
        refusal(&client, &format!("{one}?fieldSelector=metadata.name=b")).await,
        (
            400,
            "fieldSelector metadata.name doesn't match requested name".to_owned()
        )
    );
    for (query, code, why) in [
        (
            "resourceVersion=x",
            500,
            "resourceVersion: Invalid value: \"x\": strconv.ParseUint: parsing \"x\": invalid syntax",
        ),
        (
            "resourceVersionMatch=Exact&resourceVersion=5",
            422,
            "ListOptions.meta.k8s.io \"\" is invalid: [resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided, resourceVersionMatch: Unsupported value: \"Exact\": supported values: \"NotOlderThan\"]",
        ),
    ] {
        assert_eq!(
            refusal(&client, &format!("{one}?{query}")).await,
            (code, why.to_owned())
        );
    }
    // One whose time is over ends at once, whatever there is.
    let namespaces = "/api/v1/namespaces?watch=1";
    for watched in [
        format!("{one}?timeoutSeconds=-1"),
        format!("{namespaces}&timeoutSeconds=-1"),
    ] {
        let request = http::Request::get(watched).body(Vec::new()).unwrap();
        let ended = tokio::time::timeout(PATIENCE, client.request_text(request));
        assert_eq!(ended.await.unwrap().unwrap(), "");
    }

    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some("a".to_owned()),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    };
    let made = Api::namespaced(client.clone(), "default")
        .create(&PostParams::default(), &map)
        .await
        .unwrap();
    // Who may get bookmarks and begins from no revision is told where the objects end that there were.
    let ends = async |query: &str| {
        let request = http::Request::get(format!("{maps}?watch=1&{query}"))
            .body(Vec::new())
            .unwrap();
        let mut lines = Box::pin(client.request_stream(request).await.unwrap()).lines();
        let mut kinds = Vec::new();
        while kinds.len() < 2 {
            let next = tokio::time::timeout(PATIENCE, lines.try_next());
            let Some(line) = next.await.unwrap().unwrap() else {
                break;
            };
            let event: serde_json::Value = serde_json::from_str(&line).unwrap();
            let end = &event["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"];
            kinds.push(format!(
                "{}{}",
                event["type"].as_str().unwrap(),
                end.as_str().unwrap_or("")
            ));
        }
        kinds
    };
    for query in ["", "&resourceVersion=", "&resourceVersion=0"] {
        let query = format!("allowWatchBookmarks=true{query}");
        assert_eq!(ends(&query).await, ["ADDED", "BOOKMARKtrue"], "{query}");
    }
    assert_eq!(ends("timeoutSeconds=1").await, ["ADDED"]);
    // Reflectors look for a revision that isn't reached inside the stream.
    let now: i64 = made.metadata.resource_version.unwrap().parse().unwrap();
    let ahead = format!(
        "{maps}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion={}",
        now + 1000
    );
    let request = http::Request::get(ahead).body(Vec::new()).unwrap();
    let answer = client.request_text(request).await.unwrap();
    let event: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(event["type"], "ERROR", "{answer}");
    assert_eq!(event["object"]["code"], 504, "{answer}");
    assert_eq!(
        event["object"]["details"]["causes"][0]["reason"],
        "ResourceVersionTooLarge"
    );

    let mut direct = etcd_client::Client::connect(etcd.endpoints(), None)
        .await
        .unwrap();
    direct
        .compact(now, None::<etcd_client::CompactionOptions>)
        .await
        .unwrap();
    // A server that starts now has nothing of what was before.
    let later = ApiServer::start(&binary(), &etcd, &[]).await.unwrap();
    let gone = format!("{maps}?resourceVersion={}&resourceVersionMatch=Exact", now - 1);
    assert_eq!(
        refusal(&later.admin().await.unwrap(), &gone).await,
        (
            410,
            "The resourceVersion for the provided list is too old.".to_owned()
        )
    );
}
