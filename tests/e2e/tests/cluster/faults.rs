//! Power losses.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use e2e::{TestLab, until};

pub(crate) fn any_control_plane_may_lose_power(lab: &TestLab) {
    for host in ["cp-1", "cp-2", "cp-3"] {
        let probe = Probe::start(lab);
        lab.kill(host);
        for replicas in ["--replicas=5", "--replicas=4"] {
            // The request that meets the dying server may fail; scaling must work within seconds.
            until("the deployment is scaled", Duration::from_secs(10), || {
                lab.kubectl(&["scale", "deployment/web", replicas]).result()
            });
            // The controller manager's lease runs out first when the leader was on that host.
            until("the deployment follows", Duration::from_secs(60), || {
                lab.kubectl(&["rollout", "status", "deployment/web", "--timeout=5s"])
                    .result()
            });
        }
        let (outage, longest) = probe.stop();
        println!(
            "power loss of {host}: reads and writes failed for {outage:?} in all, {longest:?} at a stretch"
        );
        assert!(
            outage < Duration::from_secs(10),
            "after the loss of {host} the API failed for {outage:?}"
        );
        until(
            &format!("{host} is seen as gone"),
            Duration::from_secs(90),
            || ready(lab, host, false),
        );
        lab.start(host);
        let (_, took) = until(&format!("{host} is back"), Duration::from_secs(60), || {
            ready(lab, host, true)
        });
        println!("{host} came back by itself after {took:?}");
        until(
            "its etcd and API server run, and the API reaches etcd",
            Duration::from_secs(60),
            || {
                lab.kubectl(&["get", "--raw", "/readyz/etcd"]).result()?;
                lab.exec(host, &["systemctl", "is-active", "etcd", "kube-apiserver"])
                    .result()
            },
        );
    }
}

fn ready(lab: &TestLab, node: &str, wanted: bool) -> Result<(), String> {
    let path = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
    let status = lab.kubectl(&["get", "node", node, "-o", path]).result()?;
    if (status == "True") == wanted {
        Ok(())
    } else {
        Err(format!("Ready is {status}"))
    }
}

/// Reads and writes through worker-1's local balancer, one after the other, as fast as they are answered.
struct Probe {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<(Duration, Duration)>,
}

impl Probe {
    fn start(lab: &TestLab) -> Self {
        lab.kubectl_with_input(
            &["apply", "-f", "-"],
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: probe}\ndata: {round: \"0\"}\n",
        )
        .ok();
        let stop = Arc::new(AtomicBool::new(false));
        let mut command = lab.command_on("worker-1", "kubectl");
        command
            .env("KUBECONFIG", lab.kubeconfig())
            .env("HOME", lab.scratch.path());
        command.args(["--server", "https://127.0.0.1:7443", "--request-timeout", "2s"]);
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let (mut all, mut longest, mut round) = (Duration::ZERO, Duration::ZERO, 0u64);
            let mut failing: Option<Instant> = None;
            let program = command.get_program().to_owned();
            let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
            let variables: Vec<_> = command
                .get_envs()
                .filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned())))
                .collect();
            while !stopped.load(Ordering::Relaxed) {
                round += 1;
                let patch = format!("{{\"data\":{{\"round\":\"{round}\"}}}}");
                let write = ["patch", "configmap", "probe", "--type=merge", "-p", &patch];
                let read = ["get", "configmap", "probe"];
                for call in [&write[..], &read[..]] {
                    let begun = Instant::now();
                    let mut child = std::process::Command::new(&program);
                    child.args(&arguments).args(call).envs(variables.iter().cloned());
                    if e2e::run(&mut child, None).code == 0 {
                        if let Some(since) = failing.take() {
                            all += since.elapsed();
                            longest = longest.max(since.elapsed());
                        }
                    } else {
                        // The failed request's own time counts too.
                        failing.get_or_insert(begun);
                    }
                }
            }
            if let Some(since) = failing {
                all += since.elapsed();
                longest = longest.max(since.elapsed());
            }
            (all, longest)
        });
        Self { stop, thread }
    }

    fn stop(self) -> (Duration, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the probe does not panic")
    }
}

pub(crate) fn pods_of_a_dead_worker_are_replaced(lab: &TestLab) {
    lab.kubectl(&["delete", "pod", "client", "--ignore-not-found"])
        .ok();
    let on = |node: &str| -> Vec<String> {
        let selector = format!("spec.nodeName={node}");
        let pods = lab.get(&["pods", "-l", "app=web", "--field-selector", &selector]);
        let items = pods["items"].as_array().cloned().unwrap_or_default();
        items
            .iter()
            .filter_map(|pod| pod["metadata"]["uid"].as_str().map(str::to_owned))
            .collect()
    };
    let before = on("worker-2");
    assert!(!before.is_empty(), "no pod runs on worker-2");
    lab.kill("worker-2");
    let (_, took) = until("four pods run on worker-1", Duration::from_secs(120), || {
        let pods = lab.get(&[
            "pods",
            "-l",
            "app=web",
            "--field-selector",
            "spec.nodeName=worker-1",
        ]);
        let running = pods["items"].as_array().map_or(0, |items| {
            items
                .iter()
                .filter(|pod| pod["status"]["phase"] == "Running")
                .count()
        });
        if running == 4 {
            Ok(())
        } else {
            Err(format!("{running} run there"))
        }
    });
    println!("pods of the dead worker ran elsewhere after {took:?}");
    lab.start("worker-2");
    until("worker-2 is ready", Duration::from_secs(60), || {
        ready(lab, "worker-2", true)
    });
    until("worker-2 is clean", Duration::from_secs(60), || {
        let left: Vec<String> = on("worker-2")
            .into_iter()
            .filter(|uid| before.contains(uid))
            .collect();
        let sandboxes = lab
            .exec("worker-2", &["ctr", "-n", "k8s.io", "containers", "ls"])
            .result()?;
        let stale = sandboxes.matches("busybox").count();
        if left.is_empty() && stale == 0 {
            Ok(())
        } else {
            Err(format!("pods {left:?}, {stale} containers"))
        }
    });
}
