//! Hosts join, leave and are replaced; etcd's data is saved and comes back.

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::{TestLab, until};
use serde_json::Value;

#[test]
fn hosts_come_and_go_and_the_data_stays() {
    let lab = TestLab::up(
        "nodes",
        &[
            "--control-planes",
            "3",
            "--workers",
            "2",
            "--host",
            "worker-3=worker",
        ],
    );
    let whole = std::fs::read_to_string(lab.inventory()).expect("the inventory");
    let begins = whole
        .find("\n[[hosts]]\nname = \"worker-3\"")
        .expect("worker-3 is the last");
    std::fs::write(lab.inventory(), &whole[..begins]).expect("written");
    lab.hardway(&["bootstrap"]).ok();
    lab.fetch_kubeconfig();
    lab.ask_through("worker-1");
    std::fs::write(lab.inventory(), &whole).expect("written");
    a_worker_joins_and_touches_no_other_host(&lab);
    a_worker_leaves(&lab);
    a_namespace_comes_back_from_a_snapshot(&lab);
    a_step_that_would_lose_quorum_is_refused(&lab);
    // cp-2 is dead since then; the first one is replaced like any other.
    for host in ["cp-2", "cp-1", "cp-3"] {
        a_control_plane_is_replaced(&lab, host);
    }
    everything_on_fresh_hosts(&lab);
}

const OTHERS: &[&str] = &["cp-1", "cp-2", "cp-3", "worker-1", "worker-2"];

/// What would differ if something had been changed or restarted.
fn untouched(lab: &TestLab) -> BTreeMap<String, String> {
    let script = "readlink -f /etc/hardway/current /opt/hardway/current; \
                  for u in etcd containerd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy \
                  api-balancer pod-network; do echo $u $(systemctl show -p MainPID --value $u); done";
    OTHERS
        .iter()
        .map(|host| ((*host).to_owned(), lab.exec(host, &["sh", "-c", script]).ok()))
        .collect()
}

fn ready(lab: &TestLab, count: usize) {
    until(
        &format!("{count} nodes are ready"),
        Duration::from_secs(90),
        || {
            let nodes = lab.kubectl(&["get", "nodes"]).result()?;
            if nodes.matches(" Ready").count() == count {
                Ok(())
            } else {
                Err(nodes)
            }
        },
    );
}

fn a_worker_joins_and_touches_no_other_host(lab: &TestLab) {
    let before = untouched(lab);
    let said = lab.hardway(&["node", "join", "worker-3"]);
    println!("{}", said.stderr);
    said.ok();
    assert_eq!(untouched(lab), before, "joining a worker touched another host");
    ready(lab, 6);
    // The others know the way to its pods.
    let node = lab.get(&["node", "worker-3"]);
    let range = node["spec"]["podCIDR"].as_str().expect("a pod range").to_owned();
    until("the others have its route", Duration::from_secs(20), || {
        let routes = lab.exec("cp-1", &["ip", "route"]).ok();
        if routes.contains(&range) {
            Ok(())
        } else {
            Err(routes)
        }
    });
}

fn a_worker_leaves(lab: &TestLab) {
    let range = lab.get(&["node", "worker-3"])["spec"]["podCIDR"]
        .as_str()
        .expect("a pod range")
        .to_owned();
    let said = lab.hardway(&["node", "remove", "worker-3"]);
    println!("{}", said.stderr);
    said.ok();
    ready(lab, 5);
    assert_ne!(
        lab.kubectl(&["get", "node", "worker-3"]).code,
        0,
        "the Node is still there"
    );
    let left = lab
        .exec(
            "worker-3",
            &["sh", "-c", "ls -d /etc/hardway /opt/hardway 2>/dev/null; true"],
        )
        .ok();
    assert_eq!(left.trim(), "", "the host still has something of the cluster");
    let inventory = std::fs::read_to_string(lab.inventory()).expect("the inventory");
    assert!(
        !inventory.contains("worker-3") && inventory.contains("worker-2"),
        "{inventory}"
    );
    until("its route is withdrawn", Duration::from_secs(20), || {
        let routes = lab.exec("cp-1", &["ip", "route"]).ok();
        if routes.contains(&range) {
            Err(routes)
        } else {
            Ok(())
        }
    });
}

fn a_namespace_comes_back_from_a_snapshot(lab: &TestLab) {
    lab.kubectl(&["create", "namespace", "kept"]).ok();
    lab.kubectl(&[
        "-n",
        "kept",
        "create",
        "configmap",
        "words",
        "--from-literal=word=horse",
    ])
    .ok();
    lab.kubectl(&[
        "-n",
        "kept",
        "create",
        "secret",
        "generic",
        "hidden",
        "--from-literal=word=battery",
    ])
    .ok();
    let taken = lab.hardway(&["etcd", "snapshot", "--json"]).ok();
    let taken: Value = serde_json::from_str(taken.lines().last().unwrap_or_default()).expect("JSON");
    let path = taken["path"].as_str().expect("a path").to_owned();
    println!("{}", lab.hardway(&["etcd", "drill"]).ok());
    println!("{}", lab.hardway(&["etcd", "status"]).ok());
    println!("{}", lab.hardway(&["etcd", "defrag"]).ok());
    lab.kubectl(&["-n", "kept", "delete", "configmap,secret", "--all"])
        .ok();
    let said = lab.hardway(&["etcd", "restore", "--yes", &path]);
    println!("{}", said.stderr);
    said.ok();
    words_are_there(lab);
    ready(lab, 5);
    let mut damaged = std::fs::read(&path).expect("the snapshot");
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    let broken = lab.scratch.path().join("broken.db");
    std::fs::write(&broken, damaged).expect("written");
    let refused = lab.hardway(&["etcd", "restore", "--yes", &broken.display().to_string()]);
    assert_eq!(refused.code, 2, "{refused:?}");
}

fn words_are_there(lab: &TestLab) {
    let get = |kind: &str, name: &str| {
        lab.kubectl(&["-n", "kept", "get", kind, name, "-o", "jsonpath={.data.word}"])
            .result()
    };
    let (word, _) = until("the ConfigMap is back", Duration::from_secs(30), || {
        get("configmap", "words")
    });
    assert_eq!(word, "horse");
    let (word, _) = until("the Secret is back", Duration::from_secs(30), || {
        get("secret", "hidden")
    });
    assert_eq!(word, "YmF0dGVyeQ==");
}

fn a_step_that_would_lose_quorum_is_refused(lab: &TestLab) {
    lab.kill("cp-2");
    until("etcd notices", Duration::from_secs(30), || {
        let status = lab.hardway(&["etcd", "status"]);
        if status.code == 3 {
            Ok(())
        } else {
            Err(status.stdout)
        }
    });
    let refused = lab.hardway(&["node", "remove", "cp-3"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stderr.contains("would have 1 healthy of 2"),
        "{}",
        refused.stderr
    );
    let inventory = std::fs::read_to_string(lab.inventory()).expect("the inventory");
    assert!(inventory.contains("cp-3"));
}

fn a_control_plane_is_replaced(lab: &TestLab, host: &str) {
    let refresher = lab.refresher();
    let prober = lab.prober("worker-1");
    lab.fresh(host);
    let said = lab.hardway(&["node", "replace", host]);
    println!("{}", said.stderr);
    let report = prober.finish();
    drop(refresher);
    println!(
        "{host} was replaced: {report}; failing for {:.1?}",
        report.outage()
    );
    said.ok();
    assert!(
        report.outage() < Duration::from_secs(10),
        "{host}: {report} {:#?}",
        report.failures
    );
    assert!(report.lost.is_empty(), "{host}: {:?}", report.lost);
    lab.fetch_kubeconfig();
    ready(lab, 5);
    assert_eq!(lab.hardway(&["etcd", "status"]).code, 0);
    words_are_there(lab);
}

fn everything_on_fresh_hosts(lab: &TestLab) {
    lab.hardway(&["etcd", "snapshot"]).ok();
    for host in ["cp-1", "cp-2", "cp-3"] {
        lab.fresh(host);
    }
    let said = lab.hardway(&["etcd", "restore", "--yes"]);
    println!("{}", said.stderr);
    said.ok();
    lab.fetch_kubeconfig();
    words_are_there(lab);
    ready(lab, 5);
}
