//! Watches etcd's members from outside, ten times a second: how many of those that vote answer, and whether the cluster
//! does linearizable reads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kube::config::{KubeConfigOptions, Kubeconfig};
use nix::sched::{CloneFlags, setns};
use serde_json::{Value, json};

use crate::TestLab;

const INTERVAL: Duration = Duration::from_millis(100);
/// A member that says nothing for longer is not counted.
const PATIENCE: Duration = Duration::from_secs(2);

/// What was seen of etcd.
#[derive(Debug, Default)]
pub struct Seen {
    pub looks: u64,
    /// Looks at which fewer members that vote answered than a quorum needs.
    pub without_quorum: Vec<String>,
    /// The smallest number of members that answered, and how many voted then.
    pub fewest: Option<(usize, usize)>,
    /// The longest time between two linearizable reads that succeeded: an election is part of it.
    pub longest_gap: Duration,
}

impl Seen {
    #[track_caller]
    pub fn never_without_quorum(&self, what: &str) {
        println!("{what}: etcd: {self:?}");
        assert!(self.without_quorum.is_empty(), "{what}: {self:#?}");
        assert!(self.looks > 20, "{what}: only {} looks", self.looks);
        assert!(self.longest_gap < Duration::from_secs(10), "{what}: {self:#?}");
    }
}

/// Looks until it is asked what it saw.
pub struct QuorumWatch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

impl TestLab {
    /// Watches the members on these hosts, which are known by their addresses from now on.
    pub fn watch_quorum(&self, hosts: &[&str]) -> QuorumWatch {
        let pki = self.inventory().with_extension("hardway").join("pki");
        let kubeconfigs: Vec<(String, Kubeconfig)> = hosts
            .iter()
            .map(|host| {
                let address = self.address(host);
                let kubeconfig = client_of(&pki, hosts[0], &address);
                (address, kubeconfig)
            })
            .collect();
        let network = std::fs::File::open(Path::new("/run/netns").join(self.outer_namespace()))
            .expect("the operator's network");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            setns(&network, CloneFlags::CLONE_NEWNET).expect("entered the operator's network");
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(watch(kubeconfigs, &stopped))
        });
        QuorumWatch { stop, thread }
    }
}

impl QuorumWatch {
    pub fn finish(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the watch does not panic")
    }
}

/// The certificates are read now, since the host's may be replaced while it is watched.
fn client_of(pki: &Path, leaf_of: &str, address: &str) -> Kubeconfig {
    let leaf = |kind: &str| {
        pki.join("leaves")
            .join(leaf_of)
            .join(format!("etcd-health.{kind}"))
    };
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "etcd",
        "clusters": [{ "name": "etcd", "cluster": {
            "server": format!("https://{address}:2379"), "certificate-authority": pki.join("etcd-ca.crt"),
        } }],
        "users": [{ "name": "etcd", "user": { "client-certificate": leaf("crt"), "client-key": leaf("key") } }],
        "contexts": [{ "name": "etcd", "context": { "cluster": "etcd", "user": "etcd" } }],
    });
    let mut kubeconfig = Kubeconfig::from_yaml(&text.to_string()).expect("a kubeconfig");
    for named in &mut kubeconfig.auth_infos {
        let user = named.auth_info.as_mut().expect("a user");
        let content = |path: &mut Option<String>| std::fs::read(path.take().expect("a file")).expect("read");
        let certificate = content(&mut user.client_certificate);
        let key = content(&mut user.client_key);
        user.client_certificate_data = Some(base64(&certificate));
        user.client_key_data = Some(base64(&key).into());
    }
    kubeconfig
}

fn base64(bytes: &[u8]) -> String {
    serde_json::to_value(k8s_openapi::ByteString(bytes.to_vec()))
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .expect("bytes have a text form")
}

/// What the members said last, by address.
#[derive(Default)]
struct Said {
    answers: BTreeMap<String, (Instant, Option<Voters>)>,
    /// Members that were asked at least once.
    asked: BTreeSet<String>,
    reads: Vec<Instant>,
}

async fn watch(kubeconfigs: Vec<(String, Kubeconfig)>, stop: &AtomicBool) -> Seen {
    let said = Arc::new(Mutex::new(Said::default()));
    // A member that hangs holds nobody else up.
    let count = kubeconfigs.len();
    let mut asking = tokio::task::JoinSet::new();
    for (address, kubeconfig) in kubeconfigs {
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .expect("a configuration");
        let client = kube::Client::try_from(config).expect("a client");
        asking.spawn(ask_again_and_again(address, client, said.clone()));
    }
    let begun = Instant::now();
    let mut seen = Seen::default();
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        let said = said.lock().expect("nobody panicked");
        if said.asked.len() < count {
            continue;
        }
        let fresh: Vec<(&String, &Option<Voters>)> = said
            .answers
            .iter()
            .filter(|(_, (when, _))| when.elapsed() < PATIENCE)
            .map(|(address, (_, voters))| (address, voters))
            .collect();
        // Those that have gone on say who votes.
        let voters = fresh
            .iter()
            .filter_map(|(_, voters)| voters.as_ref())
            .max_by_key(|voters| voters.revision);
        let Some(voters) = voters else { continue };
        let alive = voters
            .addresses
            .iter()
            .filter(|voter| fresh.iter().any(|(address, _)| address == voter))
            .count();
        let (all, needed) = (voters.addresses.len(), voters.addresses.len() / 2 + 1);
        seen.fewest = Some(
            seen.fewest
                .map_or((alive, all), |fewest| fewest.min((alive, all))),
        );
        if alive < needed {
            seen.without_quorum
                .push(format!("look {}: {alive} of {all}", seen.looks));
        }
        seen.looks += 1;
    }
    let ended = Instant::now();
    let said = said.lock().expect("nobody panicked");
    let reads = &said.reads;
    let after = reads.iter().copied().chain([ended]);
    seen.longest_gap = [begun]
        .into_iter()
        .chain(reads.iter().copied())
        .zip(after)
        .map(|(before, after)| after.saturating_duration_since(before))
        .max()
        .unwrap_or_default();
    seen
}

async fn ask_again_and_again(address: String, client: kube::Client, said: Arc<Mutex<Said>>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let found = look(&client).await;
        let now = Instant::now();
        let mut said = said.lock().expect("nobody panicked");
        said.asked.insert(address.clone());
        let Some(voters) = found else { continue };
        if voters.is_some() {
            said.reads.push(now);
        }
        said.answers.insert(address.clone(), (now, voters));
    }
}

/// Who votes, as of a revision.
struct Voters {
    revision: u64,
    addresses: BTreeSet<String>,
}

/// None when the member does not answer; without voters when it answers and does no linearizable read.
async fn look(client: &kube::Client) -> Option<Option<Voters>> {
    ask(client, "/v3/maintenance/status", &json!({})).await?;
    let linearizable = async {
        // Both go through a quorum.
        let read = ask(client, "/v3/kv/range", &json!({ "key": "AA==", "limit": 1 })).await?;
        let list = ask(
            client,
            "/v3/cluster/member/list",
            &json!({ "linearizable": true }),
        )
        .await?;
        let revision = read["header"]["revision"].as_str()?.parse().ok()?;
        let addresses = list["members"]
            .as_array()?
            .iter()
            .filter(|member| member["isLearner"] != true)
            .filter_map(|member| {
                let peer = member["peerURLs"][0].as_str()?;
                Some(peer.strip_prefix("https://")?.rsplit_once(':')?.0.to_owned())
            })
            .collect();
        Some(Voters { revision, addresses })
    };
    Some(linearizable.await)
}

async fn ask(client: &kube::Client, path: &str, body: &Value) -> Option<Value> {
    let request = http::Request::builder()
        .method("POST")
        .uri(path)
        .header("content-type", "application/json")
        .body(body.to_string().into_bytes())
        .ok()?;
    tokio::time::timeout(PATIENCE, client.request::<Value>(request))
        .await
        .ok()?
        .ok()
}
