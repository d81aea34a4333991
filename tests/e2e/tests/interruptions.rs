//! Bootstrap interrupted everywhere, and with hosts that fail: the rerun finishes.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

use e2e::{TestLab, run, until};

#[test]
fn an_interrupted_bootstrap_is_finished_by_the_next_one() {
    let lab = TestLab::up("interrupted", &["--control-planes", "1", "--workers", "1"]);
    a_host_without_disk_space_is_named_and_the_rerun_goes_on(&lab);
    let mut interrupted = BTreeSet::new();
    // Each run gets one event further than those before it, until one gets through.
    while let Some(event) = run_until_new_event(&lab, &interrupted) {
        println!("interrupted at {event}");
        interrupted.insert(event);
        assert!(
            interrupted.len() < 60,
            "the bootstrap does not get anywhere: {interrupted:?}"
        );
    }
    let phases = interrupted
        .iter()
        .filter(|event| event.ends_with("begins"))
        .count();
    assert!(
        phases >= 5,
        "only {phases} phases were interrupted: {interrupted:?}"
    );
    lab.hardway(&["bootstrap"]).ok();
    lab.fetch_kubeconfig();
    until("both nodes are ready", Duration::from_secs(30), || {
        let nodes = lab.kubectl(&["get", "nodes"]).result()?;
        if nodes.matches(" Ready ").count() == 2 {
            Ok(())
        } else {
            Err(nodes)
        }
    });
    a_host_left_between_switch_and_gate_goes_back(&lab);
    reset_leaves_nothing(&lab);
}

/// Killed when worker-1 has been switched and restarted, and waits for its gate.
fn killed_before_the_gate(lab: &TestLab) {
    let killed = lab.kill_when(&["bootstrap"], |event| {
        event["event"] == "host" && event["host"] == "worker-1" && event["doing"] == "health"
    });
    assert!(killed, "the bootstrap was not interrupted");
}

fn a_host_left_between_switch_and_gate_goes_back(lab: &TestLab) {
    let whole = std::fs::read_to_string(lab.inventory()).expect("the inventory");
    let labelled = |value: &str| {
        let text = whole
            .replace("[release]\n", "[release]\nconfirm_within = 30\n")
            .replace(
                "name = \"worker-1\"\n",
                &format!("name = \"worker-1\"\nlabels = {{ \"example.test/tier\" = \"{value}\" }}\n"),
            );
        std::fs::write(lab.inventory(), text).expect("written");
    };
    let goes_back = |to: u64| {
        until("worker-1 goes back", Duration::from_secs(90), || {
            match lab.generation("worker-1")? {
                number if number == to => lab
                    .exec("worker-1", &["test", "!", "-e", "/etc/hardway/guard"])
                    .result(),
                number => Err(format!("it is on {number}")),
            }
        });
    };
    let before = lab.generation("worker-1").expect("a generation");
    labelled("gold");
    killed_before_the_gate(lab);
    assert!(lab.generation("worker-1").expect("a generation") > before);
    let status = lab.hardway(&["status"]);
    assert!(
        status.code == 3 && status.stdout.contains("has not passed its health gate"),
        "{status:?}"
    );
    let planned = lab.hardway(&["plan", "--brief"]);
    assert!(
        planned.code == 3 && planned.stdout.contains("unconfirmed"),
        "{planned:?}"
    );
    goes_back(before);
    let flags = lab
        .exec("worker-1", &["systemctl", "show", "-p", "ExecStart", "kubelet"])
        .ok();
    assert!(!flags.contains("example.test/tier"), "{flags}");
    let history = lab.hardway(&["history", "--host", "worker-1"]).ok();
    assert!(history.contains("failed-bootstrap,unattended"), "{history}");
    // A run that takes over confirms it, and nothing is left that could go back.
    killed_before_the_gate(lab);
    lab.hardway(&["bootstrap"]).ok();
    let confirmed = lab.generation("worker-1").expect("a generation");
    assert!(confirmed > before);
    let left = "ls -d /etc/hardway/guard /etc/systemd/system/hardway-guard.* 2>/dev/null; systemctl is-active hardway-guard.timer";
    let left = lab.exec("worker-1", &["sh", "-c", left]).stdout;
    assert_eq!(left.trim(), "inactive");
    // Nor does a host forget it that loses its power meanwhile.
    labelled("silver");
    killed_before_the_gate(lab);
    lab.kill("worker-1");
    lab.start("worker-1");
    goes_back(confirmed);
    std::fs::write(lab.inventory(), &whole).expect("written");
    lab.hardway(&["bootstrap"]).ok();
    assert_eq!(lab.hardway(&["verify"]).code, 0);
}

/// Runs a bootstrap and ends it at the first event that has not been interrupted yet: the beginning of a
/// phase by SIGKILL, a host's first step in it by Ctrl-C. None when the bootstrap got through.
fn run_until_new_event(lab: &TestLab, interrupted: &BTreeSet<String>) -> Option<String> {
    let mut command = lab.command(e2e::binaries().join("hardway"));
    command
        .arg("bootstrap")
        .arg("--inventory")
        .arg(lab.inventory())
        .arg("--json");
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("hardway runs");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut phase = String::new();
    let mut said = String::new();
    for line in lines {
        let Ok(line) = line else { break };
        said.push_str(&line);
        said.push('\n');
        let Ok(event) = serde_json::from_str::<serde_json::Value>(&line) else {
            panic!("not JSON: {line}")
        };
        let (name, signal) = match event["event"].as_str() {
            Some("phase") => {
                phase = event["phase"].as_str().expect("a phase has a name").to_owned();
                (format!("{phase} begins"), "KILL")
            }
            Some("host") => (format!("{phase} is under way"), "INT"),
            _ => continue,
        };
        if interrupted.contains(&name) {
            continue;
        }
        // `ip netns exec` has become the program itself, so this is its process.
        run(
            std::process::Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]),
            None,
        )
        .ok();
        let output = child.wait_with_output().expect("ended");
        assert!(!output.status.success());
        assert!(
            !String::from_utf8_lossy(&output.stderr).contains("panicked"),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        return Some(name);
    }
    let output = child.wait_with_output().expect("ended");
    assert!(
        output.status.success(),
        "a rerun failed: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    None
}

fn a_host_without_disk_space_is_named_and_the_rerun_goes_on(lab: &TestLab) {
    lab.exec(
        "worker-1",
        &[
            "sh",
            "-c",
            "mkdir -p /opt/hardway && mount -t tmpfs -o size=1m tmpfs /opt/hardway",
        ],
    )
    .ok();
    let failed = lab.hardway(&["bootstrap"]);
    assert_eq!(failed.code, 1, "{failed:?}");
    let said = format!("{}{}", failed.stdout, failed.stderr);
    assert!(
        said.contains("worker-1") && (said.contains("push") || said.contains("disk")),
        "{said}"
    );
    assert!(!said.contains("panicked"), "{said}");
    lab.exec("worker-1", &["umount", "/opt/hardway"]).ok();
}

fn reset_leaves_nothing(lab: &TestLab) {
    lab.hardway(&["reset", "--yes"]).ok();
    for host in ["cp-1", "worker-1"] {
        let script = "ls -d /etc/hardway /opt/hardway /var/lib/hardway /var/lib/etcd/member 2>/dev/null; \
                      systemctl list-units --no-legend --plain 'kube*' 'api-balancer*' 'pod-network*' etcd.service --state=active; \
                      ip route show | grep 10.200.; nft list tables | grep kube; true";
        let left = lab.exec(host, &["sh", "-c", script]).ok();
        assert_eq!(left.trim(), "", "{host} still has something of the cluster");
    }
}

#[test]
fn an_unreachable_host_is_named_and_the_others_are_unharmed() {
    let lab = TestLab::up("unreachable", &["--control-planes", "1", "--workers", "1"]);
    lab.kill("worker-1");
    let failed = lab.hardway(&["bootstrap"]);
    assert_eq!(failed.code, 1, "{failed:?}");
    let said = format!("{}{}", failed.stdout, failed.stderr);
    assert!(said.contains("worker-1"), "{said}");
    lab.start("worker-1");
    lab.hardway(&["bootstrap"]).ok();
    a_changed_host_key_is_refused(&lab);
}

fn a_changed_host_key_is_refused(lab: &TestLab) {
    let script = "rm /etc/ssh/ssh_host_ed25519_key*; ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key; \
                  systemctl restart ssh";
    lab.exec("worker-1", &["sh", "-c", script]).ok();
    let refused = lab.hardway(&["bootstrap"]);
    assert_ne!(refused.code, 0);
    let said = format!("{}{}", refused.stdout, refused.stderr);
    assert!(
        said.matches("SHA256:").count() >= 2,
        "both fingerprints must be shown:\n{said}"
    );
    assert!(said.contains("worker-1") && said.contains("host_key"), "{said}");
}
