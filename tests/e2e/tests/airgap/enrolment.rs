use std::time::Duration;

use e2e::{Finished, TestLab, until};
use serde_json::Value;

use crate::bundles::Bundle;
use crate::holds;

/// A token as `hardway node token create` makes it, and what it is to be used with.
struct Made {
    id: String,
    token: String,
    endpoint: String,
    hash: String,
}

fn create(lab: &TestLab, address: &str) -> Made {
    let said = lab
        .hardway(&[
            "node",
            "token",
            "create",
            "edge-1",
            "--address",
            address,
            "--label",
            "place=edge",
            "--json",
        ])
        .ok();
    let said: Value = serde_json::from_str(said.lines().last().unwrap_or_default()).expect("JSON");
    let text = |field: &Value| field.as_str().expect("a text").to_owned();
    Made {
        id: text(&said["id"]),
        token: text(&said["token"]),
        endpoint: text(&said["endpoint"]),
        hash: text(&said["hashes"][0]),
    }
}

/// Runs on the host itself; the token comes over standard input.
fn join(lab: &TestLab, made: &Made, more: &[&str]) -> Finished {
    let arguments = [
        &[
            "/root/hardway",
            "node",
            "join-here",
            "--endpoint",
            &made.endpoint,
            "--discovery-ca-hash",
            &made.hash,
            "--token-file",
            "-",
        ],
        more,
    ]
    .concat();
    lab.exec_with_input("edge-1", &arguments, made.token.as_bytes())
}

pub(crate) fn wrong_tokens_and_hashes_change_nothing(lab: &TestLab, address: &str) {
    let program = std::fs::read(e2e::binaries().join("hardway")).expect("the program");
    lab.exec_with_input(
        "edge-1",
        &["sh", "-c", "cat >/root/hardway && chmod 755 /root/hardway"],
        &program,
    )
    .ok();
    let taken = lab.hardway(&["node", "token", "create", "worker-1", "--address", address]);
    assert!(
        taken.code == 1 && taken.stderr.contains("is in the inventory"),
        "{taken:?}"
    );
    let good = create(lab, address);
    let listed = lab.hardway(&["node", "token", "list"]).ok();
    println!("{listed}");
    assert!(listed.contains(&good.id) && listed.contains("edge-1"), "{listed}");
    let secret = good.token.split_once('.').expect("a token").1;
    assert!(!listed.contains(secret), "{listed}");
    let other = |token: &str, hash: &str| Made {
        id: good.id.clone(),
        token: token.to_owned(),
        endpoint: good.endpoint.clone(),
        hash: hash.to_owned(),
    };
    let foreign = format!("sha256:{}", "0".repeat(64));
    for (made, expected) in [
        (other("nonsense", &good.hash), "is not a bootstrap token"),
        (
            other("abcdef.0123456789abcdef", &good.hash),
            "does not know the token",
        ),
        (
            other(&format!("{}.0123456789abcdef", good.id), &good.hash),
            "another secret",
        ),
        (other(&good.token, &foreign), "the hash is wrong"),
    ] {
        let refused = join(lab, &made, &[]);
        assert!(
            refused.code == 1 && refused.stderr.contains(expected),
            "{expected}: {refused:?}"
        );
        assert!(!refused.stderr.contains(secret), "{refused:?}");
    }
    // Without a bundle it lacks packages, which is said before a certificate is asked for.
    let lacking = join(lab, &good, &[]);
    assert!(
        lacking.code == 1 && lacking.stderr.contains("lacks containerd"),
        "{lacking:?}"
    );
    // An expired one: its end is moved into the past.
    let past = r#"{"stringData":{"expiration":"2020-01-01T00:00:00Z"}}"#;
    lab.kubectl(&[
        "-n",
        "kube-system",
        "patch",
        "secret",
        &format!("bootstrap-token-{}", good.id),
        "-p",
        past,
    ])
    .ok();
    until("the token's signature is gone", Duration::from_secs(30), || {
        let refused = join(lab, &good, &[]);
        match refused.stderr.contains("does not know the token") {
            true => Ok(()),
            false => Err(refused.stderr),
        }
    });
    let deleted = create(lab, address);
    lab.hardway(&["node", "token", "delete", &deleted.id]).ok();
    until("a deleted one is refused", Duration::from_secs(30), || {
        let refused = join(lab, &deleted, &[]);
        match refused.code == 1 && refused.stderr.contains("hardway node token create") {
            true => Ok(()),
            false => Err(refused.stderr),
        }
    });
    assert_eq!(holds(lab, "edge-1"), "", "edge-1 was changed");
    assert_ne!(lab.kubectl(&["get", "node", "edge-1"]).code, 0);
    let requests = lab.kubectl(&["get", "csr", "-o", "name"]).ok();
    assert_eq!(requests, "", "a certificate was asked for");
}

pub(crate) fn a_worker_takes_itself_in(lab: &TestLab, bundle: &Bundle, address: &str) {
    let content = std::fs::read(&bundle.path).expect("the bundle");
    lab.exec_with_input("edge-1", &["sh", "-c", "cat >/root/cluster.bundle"], &content)
        .ok();
    let made = create(lab, address);
    let from_bundle = ["--bundle", "/root/cluster.bundle", "--bundle-key", &bundle.key];
    let said = join(lab, &made, &from_bundle);
    println!("{}{}", said.stdout, said.stderr);
    said.ok();
    let node = lab.get(&["node", "edge-1"]);
    assert_eq!(node["metadata"]["labels"]["place"], "edge");
    let requests = lab.kubectl(&["get", "csr"]).ok();
    assert!(requests.contains("Approved,Issued"), "{requests}");
    // Everything that a worker gets over SSH.
    let files = |host: &str| {
        let script = "cut -d' ' -f1,3 /etc/hardway/current/meta/units >/dev/null; cd /etc/hardway/current; \
                      cut -d' ' -f1- MODES; cut -d' ' -f1,2 meta/units; cat meta/links meta/release";
        lab.exec(host, &["sh", "-c", script]).ok()
    };
    assert_eq!(files("edge-1"), files("worker-1"));
    let left = lab.exec("edge-1", &["ls", "/var/lib/hardway-join"]);
    assert_ne!(left.code, 0, "{left:?}");
    works(lab);
    let again = join(lab, &made, &from_bundle);
    println!("{}{}", again.stdout, again.stderr);
    assert_eq!(again.code, 0, "{again:?}");
    assert!(again.stdout.contains("nothing to change"), "{again:?}");
}

pub(crate) fn the_operator_sees_it_and_takes_it_out(lab: &TestLab) {
    let seen = |arguments: &[&str]| {
        let said = lab.hardway(arguments);
        assert!(said.stdout.contains("edge-1"), "{said:?}");
        said.stdout
    };
    let status = seen(&["status"]);
    assert!(status.contains("took itself in"), "{status}");
    let listed = seen(&["certs", "list"]);
    let kubelet =
        |line: &str| line.starts_with("edge-1") && line.contains("kubelet") && line.contains(":10250");
    assert!(listed.lines().any(kubelet), "{listed}");
    let verified = lab.hardway(&["verify"]);
    assert!(
        verified.code == 0 && verified.stderr.contains("edge-1 took itself in"),
        "{verified:?}"
    );
    // It would not learn of a new authority.
    let refused = lab.hardway(&["certs", "rotate", "--ca", "kubernetes"]);
    assert!(
        refused.code == 1 && refused.stderr.contains("edge-1"),
        "{refused:?}"
    );
    lab.hardway(&["node", "drain", "edge-1", "--force"]).ok();
    lab.hardway(&["node", "uncordon", "edge-1"]).ok();
    let range = lab.get(&["node", "edge-1"])["spec"]["podCIDR"]
        .as_str()
        .expect("a pod range")
        .to_owned();
    let unconfirmed = lab.exec("edge-1", &["/root/hardway", "node", "leave-here"]);
    assert!(
        unconfirmed.code == 1 && unconfirmed.stderr.contains("--yes"),
        "{unconfirmed:?}"
    );
    let elsewhere = "cat >/root/hardway && chmod 755 /root/hardway && /root/hardway node leave-here --yes";
    let program = std::fs::read(e2e::binaries().join("hardway")).expect("the program");
    let plane = lab.exec_with_input("cp-1", &["sh", "-c", elsewhere], &program);
    assert!(
        plane.code == 1 && plane.stderr.contains("node remove"),
        "{plane:?}"
    );
    let said = lab.hardway(&["node", "remove", "edge-1"]);
    println!("{}", said.stderr);
    assert!(
        said.code == 0 && said.stderr.contains("node leave-here"),
        "{said:?}"
    );
    assert_ne!(
        lab.kubectl(&["get", "node", "edge-1"]).code,
        0,
        "the Node is still there"
    );
    let routes = lab.exec("worker-1", &["ip", "route"]).ok();
    assert!(!routes.contains(&range), "{routes}");
    let tokens = lab.hardway(&["node", "token", "list"]).ok();
    assert!(!tokens.contains("edge-1"), "{tokens}");
    lab.exec("edge-1", &["/root/hardway", "node", "leave-here", "--yes"])
        .ok();
    assert!(!holds(lab, "edge-1").contains("hardway"));
    let again = lab.hardway(&["node", "remove", "edge-1"]);
    assert!(
        again.code == 1 && again.stderr.contains("nor a node of the cluster"),
        "{again:?}"
    );
    lab.hardway(&["certs", "rotate", "--ca", "kubernetes", "--dry-run"])
        .ok();
}

/// A pod there is reached from elsewhere, and its log and shell through the API server.
fn works(lab: &TestLab) {
    lab.load_sample_image(&["edge-1", "worker-1"]);
    for host in ["edge-1", "worker-1"] {
        let overrides = serde_json::json!({ "spec": { "nodeName": host } }).to_string();
        lab.kubectl(&[
            "run",
            &format!("on-{host}"),
            "--image",
            e2e::lab::SAMPLE_IMAGE,
            "--image-pull-policy=Never",
            "--overrides",
            &overrides,
            "--command",
            "--",
            "/bin/busybox",
            "sh",
            "-c",
            "echo begun; while true; do /bin/busybox sleep 1; done",
        ])
        .ok();
    }
    let (address, _) = until("the pods run", Duration::from_secs(60), || {
        let pod = lab.get(&["pod", "on-edge-1"]);
        let other = lab.get(&["pod", "on-worker-1"]);
        let running = |pod: &Value| pod["status"]["phase"] == "Running";
        match (running(&pod) && running(&other), pod["status"]["podIP"].as_str()) {
            (true, Some(address)) => Ok(address.to_owned()),
            _ => Err(pod["status"].to_string()),
        }
    });
    assert_eq!(lab.kubectl(&["logs", "on-edge-1"]).ok().trim(), "begun");
    let ping = [
        "exec",
        "on-worker-1",
        "--",
        "/bin/busybox",
        "ping",
        "-c",
        "1",
        "-W",
        "5",
        &address,
    ];
    until("the way to its pod is known", Duration::from_secs(30), || {
        lab.kubectl(&ping).result()
    });
}
