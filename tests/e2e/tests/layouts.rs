//! Another layout of hosts: etcd on a host of its own, and haproxy in front of the API on another.

use std::time::Duration;

use e2e::{TestLab, until};

#[test]
fn etcd_and_the_load_balancer_may_have_hosts_of_their_own() {
    let lab = TestLab::up(
        "layouts",
        &[
            "--control-planes",
            "1",
            "--workers",
            "1",
            "--host",
            "etcd-1=etcd",
            "--host",
            "lb-1=load-balancer",
        ],
    );
    lab.hardway(&["bootstrap"]).ok();
    lab.fetch_kubeconfig();
    let config = std::fs::read_to_string(lab.kubeconfig()).expect("written");
    assert!(
        config.contains("https://10.77.0.14:"),
        "the API is not asked through lb-1"
    );
    until(
        "the control plane and the worker are nodes, the others are not",
        Duration::from_secs(30),
        || {
            let nodes = lab.kubectl(&["get", "nodes"]).result()?;
            if nodes.matches(" Ready ").count() == 2 && nodes.lines().count() == 3 {
                Ok(())
            } else {
                Err(nodes)
            }
        },
    );
    let listening = |host: &str, port: &str| {
        lab.exec(host, &["ss", "-Hltn"]).ok().lines().any(|line| {
            line.split_whitespace()
                .nth(3)
                .is_some_and(|address| address.ends_with(&format!(":{port}")))
        })
    };
    assert!(
        listening("etcd-1", "2379") && !listening("cp-1", "2379"),
        "etcd runs on the wrong host"
    );
    assert!(listening("lb-1", "6443"), "haproxy does not listen on lb-1");
    lab.hardway(&["status"]).ok();
    let again = lab.hardway(&["bootstrap"]);
    let said = format!("{}{}", again.stdout, again.stderr);
    again.ok();
    assert!(said.contains("nothing to change"), "{said}");
}
