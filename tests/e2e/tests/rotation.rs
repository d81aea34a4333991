//! Certificates and keys are replaced under a client that writes and reads ten times a second, and rescued when all
//! have expired.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use e2e::{TestLab, until};
use serde_json::Value;

const NODES: &[&str] = &["cp-1", "cp-2", "cp-3", "worker-1", "worker-2"];

fn cluster(name: &str) -> TestLab {
    let lab = TestLab::up(name, &["--control-planes", "3", "--workers", "2"]);
    lab.hardway(&["bootstrap"]).ok();
    lab.fetch_kubeconfig();
    lab.ask_through("worker-1");
    lab
}

#[test]
fn leaves_are_renewed_while_the_cluster_serves() {
    let lab = cluster("leaves");
    everything_is_listed(&lab);
    leaves_without_a_restart(&lab);
}

#[test]
fn authorities_and_keys_are_replaced_while_the_cluster_serves() {
    let lab = cluster("rotation");
    store_a_secret(&lab);
    authorities_and_keys_with_kills(&lab);
    an_abort_goes_back(&lab);
}

#[test]
fn a_cluster_whose_certificates_have_all_expired_is_rescued() {
    let lab = cluster("rescue");
    store_a_secret(&lab);
    rescued_when_everything_has_expired(&lab);
}

#[test]
fn one_authority_or_key_is_replaced_and_the_others_stay() {
    let lab = cluster("one-by-one");
    store_a_secret(&lab);
    for (subject, killed_in) in [
        (&["--ca", "kubernetes"][..], "trust"),
        (&["--ca", "etcd"], "issue"),
        (&["--ca", "front-proxy"], "switch"),
        (&["--service-account-key"], "drop"),
        (&["--encryption-key"], "switch"),
    ] {
        let before = authorities(&lab);
        let refresher = lab.refresher();
        let prober = lab.prober("worker-1");
        let mut arguments = vec!["certs", "rotate", "--settle", "20"];
        arguments.extend(subject);
        assert!(
            lab.kill_in(&arguments, &format!("{killed_in}:"), 5),
            "{subject:?} was not interrupted"
        );
        let said = lab.hardway(&arguments);
        lab.fetch_kubeconfig();
        let report = prober.finish();
        drop(refresher);
        println!("{}", said.stderr);
        said.ok();
        report.nothing_failed(&format!("rotation with {subject:?}"));
        // Each authority is its own issuer.
        let replaced = before.difference(&authorities(&lab)).count();
        assert_eq!(replaced, usize::from(subject[0] == "--ca"), "{subject:?}");
    }
    encrypted_with(&lab, "key2");
}

fn store_a_secret(lab: &TestLab) {
    let word = "--from-literal=word=correct-horse";
    lab.kubectl(&["create", "secret", "generic", "kept", word]).ok();
}

fn the_secret_is_kept(lab: &TestLab) {
    let word = lab
        .kubectl(&["get", "secret", "kept", "-o", "jsonpath={.data.word}"])
        .ok();
    assert_eq!(word, "Y29ycmVjdC1ob3JzZQ==");
}

fn listed(lab: &TestLab) -> Vec<Value> {
    let finished = lab.hardway(&["certs", "list", "--json"]);
    let answer: Value = serde_json::from_str(&finished.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", finished.stdout, finished.stderr));
    answer["certificates"].as_array().cloned().unwrap_or_default()
}

fn text<'v>(row: &'v Value, field: &str) -> &'v str {
    row[field].as_str().unwrap_or_default()
}

fn everything_is_listed(lab: &TestLab) {
    let finished = lab.hardway(&["certs", "list"]);
    println!("{}", finished.stdout);
    assert_eq!(finished.code, 0, "{finished:?}");
    let rows = listed(lab);
    let served: BTreeSet<String> = rows
        .iter()
        .filter(|row| row["kind"] == "served")
        .map(|row| {
            let process = text(row, "place").split(' ').next().unwrap_or_default();
            format!("{} {process}", text(row, "host"))
        })
        .collect();
    for host in NODES {
        let mut processes = vec!["kubelet", "containerd"];
        if host.starts_with("cp") {
            processes.extend(["etcd", "kube-apiserver", "kube-controller", "kube-scheduler"]);
        }
        for process in processes {
            assert!(
                served.contains(&format!("{host} {process}")),
                "{host} {process}: {served:?}"
            );
        }
    }
    for row in &rows {
        assert!(row["days"].as_i64().is_some_and(|days| days > 300), "{row}");
        assert!(!text(row, "issuer").is_empty(), "{row}");
    }
    assert_eq!(lab.hardway(&["certs", "list", "--warn-days", "400"]).code, 3);
    let metrics = lab.hardway(&["certs", "list", "--prometheus"]).ok();
    assert!(
        metrics.contains("hardway_certificate_not_after_seconds{host=\"cp-1\",kind=\"served\""),
        "{metrics}"
    );
}

/// Every container's ID by pod and name, and how often it was started.
fn containers(lab: &TestLab) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for pod in lab.get(&["pods", "-A"])["items"].as_array().into_iter().flatten() {
        for container in pod["status"]["containerStatuses"]
            .as_array()
            .into_iter()
            .flatten()
        {
            found.insert(
                format!("{} {}", pod["metadata"]["name"], container["name"]),
                format!("{} {}", container["containerID"], container["restartCount"]),
            );
        }
    }
    assert!(!found.is_empty(), "there are no containers to look at");
    found
}

/// The processes of daemons that follow their files.
fn processes(lab: &TestLab) -> BTreeMap<String, String> {
    let script = "for u in etcd kube-apiserver kube-controller-manager kube-scheduler kube-proxy api-balancer pod-network; \
                  do echo $u $(systemctl show -p MainPID --value $u); done";
    NODES
        .iter()
        .map(|host| ((*host).to_owned(), lab.exec(host, &["sh", "-c", script]).ok()))
        .collect()
}

fn leaves_without_a_restart(lab: &TestLab) {
    let (before, running, pids) = (listed(lab), containers(lab), processes(lab));
    let refresher = lab.refresher();
    let prober = lab.prober("worker-1");
    let said = lab.hardway(&["certs", "rotate"]);
    println!("{}", said.stderr);
    let report = prober.finish();
    drop(refresher);
    said.ok();
    report.nothing_failed("rotation of all leaves");
    assert_eq!(containers(lab), running, "a container was restarted");
    assert_eq!(processes(lab), pids, "a daemon was restarted");
    let leaves = |rows: &[Value]| -> BTreeSet<String> {
        let rows = rows.iter().filter(|row| row["authority"] == false);
        rows.map(|row| text(row, "fingerprint").to_owned()).collect()
    };
    let after = listed(lab);
    let both: Vec<_> = leaves(&before).intersection(&leaves(&after)).cloned().collect();
    assert!(both.is_empty(), "{} leaves are as before: {both:?}", both.len());
}

/// Issuers of all leaves, and names of all authorities.
fn authorities(lab: &TestLab) -> BTreeSet<String> {
    listed(lab)
        .iter()
        .map(|row| text(row, "issuer").to_owned())
        .collect()
}

fn authorities_and_keys_with_kills(lab: &TestLab) {
    let running = containers(lab);
    let before = authorities(lab);
    let all = ["certs", "rotate", "--all", "--settle", "20"];
    let refresher = lab.refresher();
    let prober = lab.prober("worker-1");
    let pod = lab.pod_prober("worker-2");
    for (stage, nth) in [("trust", 3), ("issue", 4), ("switch", 2), ("drop", 3)] {
        assert!(
            lab.kill_in(&all, &format!("{stage}:"), nth),
            "{stage} was not interrupted"
        );
    }
    let said = lab.hardway(&all);
    println!("{}", said.stderr);
    lab.fetch_kubeconfig();
    let report = prober.finish();
    let of_pod = pod.finish();
    drop(refresher);
    said.ok();
    report.nothing_failed("rotation of all authorities and keys");
    of_pod.nothing_failed("rotation of all, seen by a pod that keeps its token for a while");
    let after = authorities(lab);
    assert!(
        before.is_disjoint(&after),
        "something of the old authorities is left: {before:?} {after:?}"
    );
    assert_eq!(containers(lab), running, "a container was restarted");
    the_secret_is_kept(lab);
    encrypted_with(lab, "key2");
    assert_eq!(lab.hardway(&["certs", "list"]).code, 0);
}

fn encrypted_with(lab: &TestLab, key: &str) {
    let script = format!(
        "cd /etc/hardway/current/pki && ETCDCTL_API=3 etcdctl --endpoints https://127.0.0.1:2379 --cacert etcd-ca.crt \
         --cert etcd-health.crt --key etcd-health.key get /registry/secrets/default/kept --print-value-only \
         | head -c 100 | grep -aq k8s:enc:secretbox:v1:{key}:"
    );
    lab.exec("cp-1", &["sh", "-c", &script]).ok();
}

fn an_abort_goes_back(lab: &TestLab) {
    let before = authorities(lab);
    let refresher = lab.refresher();
    let prober = lab.prober("worker-1");
    assert!(lab.kill_in(&["certs", "rotate", "--all", "--settle", "5"], "issue:", 4));
    let other = lab.hardway(&["certs", "rotate", "--encryption-key"]);
    assert_eq!(other.code, 1, "another rotation may not begin: {other:?}");
    let said = lab.hardway(&["certs", "rotate", "--abort", "--settle", "5"]);
    println!("{}", said.stderr);
    lab.fetch_kubeconfig();
    let report = prober.finish();
    drop(refresher);
    said.ok();
    report.nothing_failed("an aborted rotation");
    assert_eq!(authorities(lab), before);
    encrypted_with(lab, "key2");
    assert_eq!(
        lab.hardway(&["certs", "rotate", "--abort"]).code,
        1,
        "there is nothing to abort"
    );
}

fn rescued_when_everything_has_expired(lab: &TestLab) {
    lab.hardway(&["certs", "rotate", "--lifetime", "150"]).ok();
    until("all leaves have expired", Duration::from_secs(200), || {
        let rows = listed(lab);
        let valid = rows
            .iter()
            .filter(|row| row["authority"] == false)
            .filter(|row| row["days"].as_i64().is_some_and(|days| days >= 0))
            .count();
        if valid <= 2 {
            Ok(())
        } else {
            Err(format!("{valid} are valid"))
        }
    });
    // One after the other: asked for both, systemd starts the API server only when etcd's start has failed after two
    // minutes, since without valid certificates the members find no quorum.
    for restart in [&["kube-apiserver"][..], &["--no-block", "etcd"]] {
        for host in ["cp-1", "cp-2", "cp-3"] {
            lab.exec(host, &[&["systemctl", "restart"], restart].concat())
                .ok();
        }
    }
    assert_ne!(lab.kubectl(&["get", "nodes"]).code, 0, "the API should be dead");
    // What the hosts hold and serve, and not what the operator would issue.
    until("status tells of it", Duration::from_secs(60), || {
        let status = lab.hardway(&["status"]);
        let told = status.code == 3
            && status.stdout.contains(", has expired")
            && status
                .stdout
                .contains("cp-1: kube-apiserver 0.0.0.0:6443: expired; run hardway certs rotate");
        told.then_some(()).ok_or_else(|| format!("{status:?}"))
    });
    let said = lab.hardway(&["certs", "rotate", "--rescue"]);
    println!("{}", said.stderr);
    said.ok();
    lab.fetch_kubeconfig();
    the_secret_is_kept(lab);
    until("all nodes are ready", Duration::from_secs(60), || {
        let nodes = lab.kubectl(&["get", "nodes"]).result()?;
        if nodes.matches(" Ready ").count() == NODES.len() {
            Ok(())
        } else {
            Err(nodes)
        }
    });
    assert_eq!(lab.hardway(&["certs", "list"]).code, 0);
}
