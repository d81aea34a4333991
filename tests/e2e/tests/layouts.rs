//! Another layout of hosts: etcd on a host of its own, and haproxy in front of the API on another.

use std::process::Stdio;
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
        config.contains(&format!("https://{}:", lab.address("lb-1"))),
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

#[test]
fn the_api_may_be_behind_an_existing_balancer_and_host_keys_may_be_recorded() {
    let lab = TestLab::up("endpoint", &["--control-planes", "1", "--workers", "1"]);
    // The operator's own balancer, on this machine's address inside the lab.
    let endpoint = format!("{}:16443", lab.machine_address("cp-1"));
    let api_server = format!("{}:6443", lab.address("cp-1"));
    let _balancer = Ended(
        lab.command("systemd-socket-activate")
            .args(["-l", &endpoint, "/lib/systemd/systemd-socket-proxyd", &api_server])
            .stderr(Stdio::null())
            .spawn()
            .expect("systemd-socket-activate runs"),
    );
    let written = std::fs::read_to_string(lab.inventory()).expect("written by the lab");
    let unpinned: String = written
        .lines()
        .filter(|line| !line.starts_with("host_key"))
        .map(|line| format!("{line}\n"))
        .collect();
    let with_endpoint = unpinned.replace(
        "[cluster]\n",
        &format!("[cluster]\napi_endpoint = {endpoint:?}\n"),
    );
    std::fs::write(lab.inventory(), with_endpoint).expect("written");

    // A host whose key nobody recorded is not talked to; recording needs a confirmation.
    let refused = lab.hardway(&["bootstrap"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("hardway trust"), "{refused:?}");
    let asked = lab.hardway(&["trust"]);
    assert_eq!(asked.code, 1, "{asked:?}");
    assert!(asked.stderr.contains("--yes"), "{asked:?}");
    let recorded = lab.hardway(&["trust", "--yes"]).ok();
    assert_eq!(recorded.matches("SHA256:").count(), 2, "{recorded}");
    let again = lab.hardway(&["trust"]).ok();
    assert_eq!(again.matches(" known").count(), 2, "{again}");

    lab.hardway(&["bootstrap"]).ok();
    lab.fetch_kubeconfig();
    let config = std::fs::read_to_string(lab.kubeconfig()).expect("written");
    assert!(config.contains(&format!("https://{endpoint}")), "{config}");
    until(
        "both nodes are ready, asked through the balancer",
        Duration::from_secs(30),
        || {
            let nodes = lab.kubectl(&["get", "nodes"]).result()?;
            if nodes.matches(" Ready ").count() == 2 {
                Ok(())
            } else {
                Err(nodes)
            }
        },
    );
    let kubelet = lab
        .exec(
            "worker-1",
            &["cat", "/etc/hardway/current/kubeconfig/kubelet.yaml"],
        )
        .ok();
    assert!(kubelet.contains(&endpoint), "{kubelet}");
    let units = lab.exec(
        "worker-1",
        &[
            "systemctl",
            "list-units",
            "--all",
            "--plain",
            "api-balancer.service",
        ],
    );
    assert!(!units.ok().contains("active"), "a balancer runs that nobody asks");
}

/// A process that is ended with the test.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone after the wait.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
