//! CPU and memory of the watch cache over the in-memory backend: `cargo bench -p storage`.
//! One line per figure. The backend keeps its own copy of every value and its history, which is subtracted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use storage::{
    Backend, CacheFor, Change, Filter, ListRequest, Marks, MemoryBackend, Preconditions, RequestedRevision,
    ResourceSpec, Storage, StorageError, StorageOptions, Store, WatchItem, WatchRequest,
};

const PODS: usize = 10_000;
const POD_BYTES: usize = 10 * 1024;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("runtime");
    runtime.block_on(run());
}

async fn run() {
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::default());
    let empty = resident();
    let filler = "x".repeat(POD_BYTES - 400);
    for number in 0..PODS {
        let key = format!("/registry/pods/ns-{}/pod-{number}", number % 100);
        backend
            .create(&key, pod(number, &filler).into(), None)
            .await
            .expect("create");
    }
    backend
        .compact(backend.current_revision().await.expect("revision"))
        .await
        .expect("compact");
    println!(
        "values in the backend: {} bytes each",
        (resident() - empty) / PODS
    );

    let storage = Storage::open(backend.clone(), StorageOptions::default());
    let pods = storage.store(spec());
    let before = resident();
    let (begin, cpu) = (Instant::now(), cpu_time());
    pods.warm_up().await.expect("load");
    println!(
        "load: {:.1} µs wall, {:.1} µs CPU per object, {} bytes resident per object of {} bytes",
        per(begin.elapsed(), PODS),
        per(cpu_time() - cpu, PODS),
        (resident().saturating_sub(before)) / PODS,
        pod(0, &filler).len(),
    );
    lists(&pods).await;
    gets(&pods).await;
    updates(&pods, &filler).await;
    idle_watchers(&pods).await;
    for watchers in [500, 2000] {
        fan_out(&pods, &filler, watchers, None).await;
    }
    fan_out(&pods, &filler, 2000, Some("node-none")).await;
}

fn spec() -> ResourceSpec {
    ResourceSpec {
        name: "pods".into(),
        path: "pods".into(),
        namespaced: true,
        fields: vec![
            storage::FieldSpec::path("spec.nodeName"),
            storage::FieldSpec::path("status.phase"),
        ],
        decoder: None,
        cache: CacheFor::All,
    }
}

fn pod(number: usize, filler: &str) -> Vec<u8> {
    format!(
        r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"pod-{number}","namespace":"ns-{}","uid":"00000000-0000-0000-0000-{number:012}","labels":{{"app":"app-{}","pod":"{number}"}},"ownerReferences":[{{"uid":"11111111-0000-0000-0000-000000000000"}}]}},"spec":{{"nodeName":"node-{}","filler":"{filler}"}},"status":{{"phase":"Running"}}}}"#,
        number % 100,
        number % 200,
        number % 50,
    )
    .into_bytes()
}

async fn lists(pods: &Store) {
    const ROUNDS: usize = 50;
    let cpu = cpu_time();
    let mut bytes = 0;
    for _ in 0..ROUNDS {
        let page = pods.list(ListRequest::default()).await.expect("list");
        bytes = page
            .items
            .iter()
            .map(|object| object.json_bytes().len())
            .sum::<usize>();
        assert_eq!(page.items.len(), PODS);
    }
    println!(
        "list all: {:.3} µs CPU per object ({} MB)",
        per(cpu_time() - cpu, ROUNDS * PODS),
        bytes >> 20
    );
    let cpu = cpu_time();
    let filter = Filter::new(Marks::label("app", "app-7"), |object| {
        object.label("app") == Some("app-7")
    });
    for _ in 0..ROUNDS {
        let request = ListRequest {
            filter: Some(filter.clone()),
            ..ListRequest::default()
        };
        assert_eq!(pods.list(request).await.expect("list").items.len(), 50);
    }
    println!(
        "list 50 of {PODS} by label: {:.1} µs CPU per list",
        per(cpu_time() - cpu, ROUNDS)
    );
}

async fn gets(pods: &Store) {
    const ROUNDS: usize = 100_000;
    let cpu = cpu_time();
    for number in 0..ROUNDS {
        let name = format!("pod-{}", number % PODS);
        pods.get(&format!("ns-{}", number % 100), &name, RequestedRevision::Any)
            .await
            .expect("get");
    }
    println!("get from the cache: {:.2} µs CPU", per(cpu_time() - cpu, ROUNDS));
}

async fn update(pods: &Store, number: usize, json: Vec<u8>) {
    pods.update(
        &format!("ns-{}", number % 100),
        &format!("pod-{number}"),
        &Preconditions::default(),
        |_| {
            let json = json.clone();
            async move {
                Ok::<_, StorageError>(Change::Write {
                    json: json.into(),
                    ttl: None,
                })
            }
        },
    )
    .await
    .expect("update");
}

fn changed(round: usize, number: usize, filler: &str) -> Vec<u8> {
    let mut json = pod(number, filler);
    json.pop();
    json.extend_from_slice(format!(r#","round":{round}}}"#).as_bytes());
    json
}

async fn updates(pods: &Store, filler: &str) {
    const ROUNDS: usize = 5_000;
    let cpu = cpu_time();
    for number in 0..ROUNDS {
        update(pods, number, changed(1, number, filler)).await;
    }
    println!(
        "update, backend and event included: {:.1} µs CPU",
        per(cpu_time() - cpu, ROUNDS)
    );
}

async fn idle_watchers(pods: &Store) {
    const WATCHERS: usize = 10_000;
    let before = resident();
    let mut tasks = Vec::new();
    for _ in 0..WATCHERS {
        let request = WatchRequest {
            send_initial_events: Some(false),
            revision: RequestedRevision::Any,
            bookmarks: true,
            ..WatchRequest::default()
        };
        let mut watcher = pods.watch(request).await.expect("watch");
        tasks.push(tokio::spawn(async move { watcher.next().await }));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    println!(
        "idle watcher: {} bytes resident",
        resident().saturating_sub(before) / WATCHERS
    );
    for task in tasks {
        task.abort();
    }
}

/// With a node only watchers' selectors are paid for: none of them matches.
async fn fan_out(pods: &Store, filler: &str, watchers: usize, node: Option<&'static str>) {
    const EVENTS: usize = 500;
    let mut tasks = Vec::new();
    for _ in 0..watchers {
        let filter = node.map(|node| {
            Filter::new(Marks::default(), move |object| {
                object.field("spec.nodeName") == Some(node) || object.name() == "pod-9999"
            })
        });
        let request = WatchRequest {
            send_initial_events: Some(false),
            revision: RequestedRevision::Any,
            filter,
            ..WatchRequest::default()
        };
        let mut watcher = pods.watch(request).await.expect("watch");
        let want = if node.is_some() { 1 } else { EVENTS };
        tasks.push(tokio::spawn(async move {
            let mut bytes = 0;
            for _ in 0..want {
                match watcher.next().await {
                    WatchItem::Event(event) => bytes += event.frame().len(),
                    item => panic!("{item:?}"),
                }
            }
            bytes
        }));
    }
    let (begin, cpu) = (Instant::now(), cpu_time());
    for number in 0..EVENTS {
        let number = if number + 1 == EVENTS { 9_999 } else { number };
        update(
            pods,
            number,
            changed(2 + watchers + node.map_or(0, str::len), number, filler),
        )
        .await;
    }
    for task in tasks {
        task.await.expect("watcher");
    }
    println!(
        "fan-out to {watchers} watchers{}: {:.3} µs CPU per event and watcher, writes included; {:?} for {EVENTS} events",
        if node.is_some() { " that don't match" } else { "" },
        per(cpu_time() - cpu, EVENTS * watchers),
        begin.elapsed(),
    );
}

fn per(total: Duration, count: usize) -> f64 {
    total.as_secs_f64() * 1e6 / count as f64
}

/// Resident bytes of this process.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("statm");
    text.split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<usize>().ok())
        .expect("pages")
        * 4096
}

/// CPU of this process so far, in steps of 10 ms.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").expect("stat");
    let after_name = text.rsplit_once(')').expect("stat").1;
    let ticks: u64 = after_name
        .split(' ')
        .skip(12)
        .take(2)
        .map(|field| field.parse::<u64>().expect("ticks"))
        .sum();
    Duration::from_millis(ticks * 10)
}
