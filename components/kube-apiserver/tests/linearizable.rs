//! Three API servers on one etcd stay linearizable for conditional writes while servers, etcd and connections are
//! killed: every history is checked, and no object is ever half written.
//! `LINEARIZABLE_SECONDS` runs it for longer.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

#[path = "linearizable/checker.rs"]
mod checker;
#[path = "linearizable/relay.rs"]
mod relay;

use checker::{Kind, Operation, Value};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, DeleteParams, PostParams, Preconditions};
use rand::Rng;
use relay::Relay;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use testkit::api_server::ApiServer;
use testkit::etcd::Etcd;

const KEYS: [&str; 3] = ["a", "b", "c"];
const CLIENTS: usize = 9;
const PATIENCE: Duration = Duration::from_secs(20);

struct World {
    begin: Instant,
    next_value: AtomicU64,
    stop: AtomicBool,
}

impl World {
    fn now(&self) -> u64 {
        self.begin.elapsed().as_micros() as u64
    }
}

fn object(name: &str, value: u64, version: Option<&str>) -> ConfigMap {
    let text = value.to_string();
    let mut object = ConfigMap::default();
    object.metadata.name = Some(name.to_owned());
    object.metadata.resource_version = version.map(str::to_owned);
    // The second copy tells whether an object is whole.
    object.data = Some(BTreeMap::from([
        ("first".to_owned(), text.clone()),
        ("filler".to_owned(), "z".repeat(2000)),
        ("second".to_owned(), text),
    ]));
    object
}

fn value_of(object: &ConfigMap) -> u64 {
    let data = object.data.as_ref().unwrap();
    let value = data.get("first");
    assert_eq!((data.len(), data.get("second")), (3, value), "half an object");
    value.unwrap().parse().unwrap()
}

/// What an answer says; None when it leaves open what happened.
fn outcome<T>(answer: Result<Result<T, kube::Error>, tokio::time::error::Elapsed>) -> Option<Result<T, u16>> {
    match answer {
        Ok(Ok(found)) => Some(Ok(found)),
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => Some(Err(status.code)),
        _ => None,
    }
}

async fn read(
    world: &World,
    maps: &Api<ConfigMap>,
    key: &str,
    history: &mut Vec<Operation>,
) -> Option<Option<ConfigMap>> {
    let called = world.now();
    let found = match outcome(tokio::time::timeout(PATIENCE, maps.get(key)).await)? {
        Ok(found) => Some(found),
        Err(404) => None,
        Err(_) => return None,
    };
    history.push(Operation {
        called,
        answered: Some(world.now()),
        kind: Kind::Read(found.as_ref().map(value_of)),
    });
    Some(found)
}

/// One client: reads, and changes what it read on the condition that nobody else has.
async fn client(world: Arc<World>, clients: Vec<Client>) -> BTreeMap<&'static str, Vec<Operation>> {
    let mut histories: BTreeMap<&'static str, Vec<Operation>> = BTreeMap::new();
    while !world.stop.load(Ordering::Relaxed) {
        let (key, server, write, remove, impatient) = {
            let mut random = rand::rng();
            (
                KEYS[random.random_range(0..KEYS.len())],
                random.random_range(0..clients.len()),
                random.random_bool(0.6),
                random.random_bool(0.2),
                random
                    .random_bool(0.1)
                    .then(|| Duration::from_micros(random.random_range(0..6000))),
            )
        };
        let maps: Api<ConfigMap> = Api::namespaced(clients[server].clone(), "default");
        let history = histories.entry(key).or_default();
        let Some(found) = read(&world, &maps, key, history).await else {
            continue;
        };
        if !write {
            continue;
        }
        let value = world.next_value.fetch_add(1, Ordering::Relaxed);
        let patience = impatient.unwrap_or(PATIENCE);
        let called = world.now();
        let from: Value = found.as_ref().map(value_of);
        let (to, answer) = match found.map(|found| found.metadata) {
            None => {
                let new = object(key, value, None);
                let params = PostParams::default();
                let answer = tokio::time::timeout(patience, maps.create(&params, &new)).await;
                (Some(value), outcome(answer).map(|answer| answer.map(|_| ())))
            }
            Some(metadata) if remove => {
                let params = DeleteParams::default().preconditions(Preconditions {
                    resource_version: metadata.resource_version,
                    uid: metadata.uid,
                });
                let answer = tokio::time::timeout(patience, maps.delete(key, &params)).await;
                (None, outcome(answer).map(|answer| answer.map(|_| ())))
            }
            Some(metadata) => {
                let new = object(key, value, metadata.resource_version.as_deref());
                let answer =
                    tokio::time::timeout(patience, maps.replace(key, &PostParams::default(), &new)).await;
                (Some(value), outcome(answer).map(|answer| answer.map(|_| ())))
            }
        };
        history.push(Operation {
            called,
            answered: answer.map(|_| world.now()),
            kind: Kind::Change {
                from,
                to,
                done: !matches!(answer, Some(Err(_))),
            },
        });
    }
    histories
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditional_writes_are_linearizable_whatever_dies() {
    let seconds: u64 = std::env::var("LINEARIZABLE_SECONDS").map_or(8, |text| text.parse().unwrap());
    let binary = Path::new(env!("CARGO_BIN_EXE_kube-apiserver"));
    let mut etcd = Etcd::start().await.unwrap();
    let mut servers = Vec::new();
    for _ in 0..3 {
        servers.push(ApiServer::start(binary, &etcd, &[]).await.unwrap());
    }
    let relay = Relay::start(servers[0].port()).await;
    let world = Arc::new(World {
        begin: Instant::now(),
        next_value: AtomicU64::new(1),
        stop: AtomicBool::new(false),
    });
    let mut running = Vec::new();
    for _ in 0..CLIENTS {
        let mut clients = vec![servers[0].admin_at(relay.port).await.unwrap()];
        for server in &servers {
            clients.push(server.admin().await.unwrap());
        }
        running.push(tokio::spawn(client(Arc::clone(&world), clients)));
    }
    // A fault every half second or so, each followed by a while in which all is well.
    let mut killed = [0; 3];
    while world.begin.elapsed() < Duration::from_secs(seconds) {
        let (fault, server, pause) = {
            let mut random = rand::rng();
            (
                random.random_range(0..4),
                random.random_range(0..3),
                random.random_range(100..700),
            )
        };
        tokio::time::sleep(Duration::from_millis(pause)).await;
        match fault {
            0 => {
                servers[server].kill();
                servers[server].restart(binary, &etcd, &[]).await.unwrap();
                killed[0] += 1;
            }
            1 => {
                etcd.kill(0);
                etcd.restart(0).await.unwrap();
                killed[1] += 1;
            }
            _ => {
                relay.cut();
                killed[2] += 1;
            }
        }
    }
    world.stop.store(true, Ordering::Relaxed);
    let mut histories: BTreeMap<&str, Vec<Operation>> = BTreeMap::new();
    for client in running {
        for (key, operations) in client.await.unwrap() {
            histories.entry(key).or_default().extend(operations);
        }
    }
    for (key, operations) in histories {
        let is_done = |operation: &&Operation| {
            matches!(operation.kind, Kind::Change { done: true, .. }) && operation.answered.is_some()
        };
        let done = operations.iter().filter(is_done).count();
        let open = operations
            .iter()
            .filter(|operation| operation.answered.is_none())
            .count();
        println!(
            "{key}: {} operations, {done} changes done, {open} left open; killed {} servers, {} times etcd, {} times the connections",
            operations.len(),
            killed[0],
            killed[1],
            killed[2]
        );
        assert!(done > 10, "only {done} changes of {key}");
        checker::check(None, &operations).unwrap();
    }
}
