//! The kubelets that hollow hosts lack: one client for all registers their nodes and says that they are ready.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kube::config::{KubeConfigOptions, Kubeconfig};
use nix::sched::{CloneFlags, setns};
use serde_json::{Value, json};

use crate::TestLab;

const LOOK: Duration = Duration::from_millis(300);
/// The controller manager gives up on a node after 40 seconds.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Stops when it is dropped; the nodes stay.
pub struct HollowNodes {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl HollowNodes {
    /// Registers each of `hosts`, with its address, once the kubelet has been started there.
    pub fn start(lab: &TestLab, hosts: Vec<(String, String)>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let network =
            std::fs::File::open(format!("/run/netns/{}", lab.outer_namespace())).expect("the lab's network");
        let roots = hosts
            .into_iter()
            .map(|(name, address)| (lab.process_file(&name), name, address))
            .collect::<Vec<_>>();
        let mut kubeconfig = Command::new(crate::binaries().join("hardway"));
        kubeconfig
            .arg("kubeconfig")
            .arg("--inventory")
            .arg(lab.inventory());
        let thread = std::thread::spawn(move || {
            setns(&network, CloneFlags::CLONE_NEWNET).expect("entered the lab's network");
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(keep(&mut kubeconfig, &roots, &stopped));
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for HollowNodes {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the hollow nodes do not panic");
        }
    }
}

async fn keep(kubeconfig: &mut Command, hosts: &[(std::path::PathBuf, String, String)], stop: &AtomicBool) {
    let mut client = None;
    let mut registered = BTreeSet::new();
    let mut beat = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(LOOK).await;
        if client.is_none() {
            client = connect(kubeconfig).await;
        }
        let Some(client) = &client else { continue };
        let due = beat.elapsed() > HEARTBEAT;
        if due {
            beat = Instant::now();
        }
        for (process, name, address) in hosts {
            let known = registered.contains(name);
            let up = || {
                crate::lab::root_of(process)
                    .is_some_and(|root| root.join("run/hollow/units/kubelet.service").exists())
            };
            // What fails is tried again at the next look: the API may not be up yet.
            let wanted = if known { due } else { up() };
            if wanted && register(client, name, address, known).await.is_ok() {
                registered.insert(name.clone());
            }
        }
    }
}

async fn connect(kubeconfig: &mut Command) -> Option<kube::Client> {
    let output = kubeconfig
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let config = Kubeconfig::from_yaml(&String::from_utf8(output.stdout).ok()?).ok()?;
    let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default())
        .await
        .ok()?;
    kube::Client::try_from(config).ok()
}

async fn register(client: &kube::Client, name: &str, address: &str, known: bool) -> anyhow::Result<()> {
    if !known {
        let node = json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": { "name": name },
            // Nothing runs there.
            "spec": { "taints": [{ "key": "hollow", "effect": "NoSchedule" }] },
        });
        let request = http::Request::post("/api/v1/nodes").body(node.to_string().into_bytes())?;
        match client.request::<Value>(request).await {
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            other => drop(other?),
        }
    }
    let now = k8s_openapi::jiff::Timestamp::now().to_string();
    let status = json!({ "status": {
        "addresses": [{ "type": "InternalIP", "address": address }],
        "conditions": [{
            "type": "Ready",
            "status": "True",
            "reason": "Hollow",
            "message": "nothing runs here",
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        }],
    }});
    let request = http::Request::patch(format!("/api/v1/nodes/{name}/status"))
        .header("content-type", "application/merge-patch+json")
        .body(status.to_string().into_bytes())?;
    client.request::<Value>(request).await?;
    Ok(())
}
