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
    a_drain_waits_for_budgets(&lab);
    a_namespace_comes_back_from_a_snapshot(&lab);
    a_step_that_would_lose_quorum_is_refused(&lab);
    // cp-2 is dead since then; the first one is replaced like any other.
    for host in ["cp-2", "cp-1", "cp-3"] {
        a_control_plane_is_replaced(&lab, host);
    }
    a_worker_moves_to_another_host(&lab, &whole);
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

fn a_drain_waits_for_budgets(lab: &TestLab) {
    lab.load_sample_image(&["worker-1", "worker-2"]);
    let deployment = "kind: Deployment\napiVersion: apps/v1\nmetadata: {name: web}\nspec:\n  replicas: 2\n  selector: {matchLabels: {app: web}}\n  \
                      template:\n    metadata: {labels: {app: web}}\n    spec:\n      terminationGracePeriodSeconds: 1\n      containers:\n      \
                      - {name: web, image: 'hardway.local/busybox:sample', command: [/bin/busybox, sleep, '3600']}\n";
    lab.kubectl_with_input(&["apply", "-f", "-"], deployment).ok();
    lab.kubectl(&[
        "create",
        "pdb",
        "web",
        "--selector",
        "app=web",
        "--min-available",
        "2",
    ])
    .ok();
    let (node, _) = until("both pods run and are counted", Duration::from_secs(90), || {
        let pods = lab.get(&["pods", "-l", "app=web"]);
        let budget = lab.get(&["pdb", "web"]);
        let node = pods["items"][0]["spec"]["nodeName"].as_str();
        match (budget["status"]["currentHealthy"].as_u64(), node) {
            (Some(2), Some(node)) => Ok(node.to_owned()),
            _ => Err(format!("{}", pods["items"][0]["status"])),
        }
    });
    let held = lab.hardway(&["node", "drain", &node, "--timeout", "3"]);
    assert!(
        held.code == 1
            && held
                .stderr
                .contains("The disruption budget web needs 2 healthy pods"),
        "{held:?}"
    );
    let open = |node: &str| lab.get(&["node", node])["spec"]["unschedulable"] != true;
    assert!(open(&node), "{node} stayed cordoned");
    // It waits, and goes on when the budget allows it.
    let mut patched = false;
    let killed = lab.kill_when(&["node", "drain", &node, "--timeout", "90"], |event| {
        let text = event["text"].as_str().unwrap_or_default();
        if !patched && text.contains("disruption budget web") {
            patched = true;
            lab.kubectl(&["patch", "pdb", "web", "-p", r#"{"spec":{"minAvailable":1}}"#])
                .ok();
        }
        false
    });
    assert!(patched && !killed, "the budget held nothing up");
    let pods = lab.get(&["pods", "-l", "app=web"]);
    let there = |pod: &&Value| {
        pod["spec"]["nodeName"] == node.as_str() && !pod["metadata"]["deletionTimestamp"].is_string()
    };
    assert_eq!(
        pods["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(there)
            .count(),
        0
    );
    assert!(!open(&node), "{node} takes pods");
    lab.hardway(&["node", "uncordon", &node]).ok();
    assert!(open(&node), "{node} takes no pods");
    let unknown = lab.hardway(&["node", "drain", "worker-9"]);
    assert!(
        unknown.code == 1 && unknown.stderr.contains("no node worker-9"),
        "{unknown:?}"
    );
    lab.kubectl(&["delete", "deployment/web", "pdb/web"]).ok();
}

/// The old host still runs: its pods move, and nothing is left on it.
fn a_worker_moves_to_another_host(lab: &TestLab, whole: &str) {
    let table = |host: &str, text: &str| {
        let begins = text.find(&format!("name = \"{host}\"")).expect("its table");
        let rest = &text[begins..];
        rest[..rest.find("\n[").unwrap_or(rest.len())].to_owned()
    };
    let field = |name: &str, table: &str| {
        let line = table
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name} = ")));
        line.expect("its field").trim_matches('"').to_owned()
    };
    let written = std::fs::read_to_string(lab.inventory()).expect("the inventory");
    let (old, new) = (table("worker-2", &written), table("worker-3", whole));
    let fresh = old
        .replace(&field("address", &old), &field("address", &new))
        .replace(&field("host_key", &old), &field("host_key", &new));
    std::fs::write(lab.inventory(), written.replace(&old, &fresh)).expect("written");
    let uid = |lab: &TestLab| lab.get(&["node", "worker-2"])["metadata"]["uid"].clone();
    let before = uid(lab);
    let address = field("address", &old);
    let unknown = lab.hardway(&["node", "replace", "worker-2", "--old-address", &address]);
    assert!(
        unknown.code == 1 && unknown.stderr.contains("--old-host-key"),
        "{unknown:?}"
    );
    assert_eq!(uid(lab), before, "it was changed");
    let key = field("host_key", &old);
    let said = lab.hardway(&[
        "node",
        "replace",
        "worker-2",
        "--old-address",
        &address,
        "--old-host-key",
        &key,
    ]);
    println!("{}", said.stderr);
    said.ok();
    let node = lab.get(&["node", "worker-2"]);
    assert_ne!(node["metadata"]["uid"], before);
    assert!(
        node["status"]["addresses"]
            .to_string()
            .contains(&field("address", &new)),
        "{node}"
    );
    ready(lab, 5);
    let left = lab.exec(
        "worker-2",
        &["sh", "-c", "ls -d /etc/hardway /opt/hardway 2>/dev/null; true"],
    );
    assert_eq!(
        left.ok().trim(),
        "",
        "the old host still has something of the cluster"
    );
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
    let watch = lab.watch_quorum(&["cp-1", "cp-2", "cp-3"]);
    lab.fresh(host);
    let said = lab.hardway(&["node", "replace", host]);
    println!("{}", said.stderr);
    let report = prober.finish();
    let seen = watch.finish();
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
    seen.never_without_quorum(&format!("replacement of {host}"));
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
    assert!(lab.kill_in(&["etcd", "restore", "--yes"], "stop", 0));
    // A host that is lost meanwhile is told before anything more is done to the others.
    lab.kill("cp-3");
    let refused = lab.hardway(&["etcd", "restore", "--yes"]);
    assert!(
        refused.code == 1 && refused.stderr.contains("cp-3") && refused.stderr.contains("connect"),
        "{refused:?}"
    );
    assert!(!refused.stderr.contains("  data"), "{refused:?}");
    lab.start("cp-3");
    let said = lab.hardway(&["etcd", "restore", "--yes"]);
    println!("{}", said.stderr);
    said.ok();
    lab.fetch_kubeconfig();
    words_are_there(lab);
    ready(lab, 5);
}
