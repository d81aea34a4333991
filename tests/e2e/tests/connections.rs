//! Connections to a host that are lost in the middle of a run: made again, or told; the others are unharmed, and the next
//! run finishes.

use std::time::{Duration, Instant};

use e2e::{TestLab, until};
use serde_json::Value;

#[test]
fn a_lost_connection_leaves_nothing_half_done() {
    let lab = TestLab::up("connections", &["--control-planes", "1", "--workers", "1"]);
    a_session_that_dies_during_the_push_is_opened_again(&lab);
    let whole = std::fs::read_to_string(lab.inventory()).expect("the inventory");
    a_session_that_dies_during_the_switch_is_opened_again(&lab, &whole);
    a_host_that_goes_away_during_the_switch_goes_back(&lab, &whole);
    a_host_that_goes_away_during_the_push_is_not_switched(&lab);
}

/// Sessions, and not the sshd that listens.
fn kill_sessions(lab: &TestLab) {
    // The brackets keep the pattern from naming the shell that holds it.
    lab.exec("worker-1", &["pkill", "-KILL", "-f", "[s]shd(-session)?: root"])
        .ok();
}

fn is_doing(event: &Value, what: &str) -> bool {
    event["event"] == "host" && event["host"] == "worker-1" && event["doing"] == what
}

fn pushes(event: &Value) -> bool {
    event["event"] == "transfer" && event["host"] == "worker-1"
}

/// Runs it, and does `cut` at the first event for which `is_time` is true.
fn cut_at(
    lab: &TestLab,
    arguments: &[&str],
    is_time: impl Fn(&Value) -> bool,
    cut: impl Fn(&TestLab),
) -> (i32, Vec<Value>) {
    let mut done = false;
    let ended = lab.hardway_watched(arguments, |event| {
        if !done && is_time(event) {
            done = true;
            println!("cut at {event}");
            cut(lab);
        }
    });
    assert!(done, "it was not interrupted: {ended:#?}");
    ended
}

#[track_caller]
fn was_made_again((code, events): (i32, Vec<Value>)) {
    assert_eq!(code, 0, "{events:#?}");
    let told = events
        .iter()
        .filter(|event| event["event"] == "note")
        .any(|event| {
            let text = event["text"].as_str().unwrap_or_default();
            text.starts_with("worker-1: ")
                && text.contains("lost the connection")
                && text.contains("connecting again")
        });
    assert!(told, "{events:#?}");
}

/// What the run said of worker-1, in this phase; it says nothing of other hosts.
#[track_caller]
fn was_told<'e>((code, events): &'e (i32, Vec<Value>), phase: &str) -> &'e str {
    assert_eq!(*code, 1, "{events:#?}");
    let errors: Vec<&Value> = events
        .iter()
        .filter(|event| event["event"] == "error" && event["host"].is_string())
        .collect();
    assert!(
        errors.len() == 1 && errors[0]["host"] == "worker-1" && errors[0]["phase"] == phase,
        "{errors:#?}"
    );
    errors[0]["text"].as_str().unwrap_or_default()
}

fn labelled(lab: &TestLab, whole: &str, value: &str) {
    let text = whole
        .replace("[release]\n", "[release]\nconfirm_within = 60\n")
        .replace(
            "name = \"worker-1\"\n",
            &format!("name = \"worker-1\"\nlabels = {{ \"example.test/tier\" = \"{value}\" }}\n"),
        );
    std::fs::write(lab.inventory(), text).expect("written");
}

fn is_whole(lab: &TestLab) {
    let verified = lab.hardway(&["verify"]);
    assert_eq!(verified.code, 0, "{verified:?}");
    let left = "ls -d /etc/hardway/guard /run/hardway-generation.* /run/hardway-guard.* 2>/dev/null; true";
    for host in ["cp-1", "worker-1"] {
        assert_eq!(lab.exec(host, &["sh", "-c", left]).ok(), "", "{host}");
    }
}

/// What would be different after anything was done to the control plane.
fn control_plane(lab: &TestLab) -> String {
    let script = "readlink -f /etc/hardway/current /opt/hardway/current; \
                  for u in etcd kube-apiserver kube-controller-manager kube-scheduler kubelet; \
                  do echo $u $(systemctl show -p MainPID --value $u); done";
    lab.exec("cp-1", &["sh", "-c", script]).ok()
}

fn a_session_that_dies_during_the_push_is_opened_again(lab: &TestLab) {
    was_made_again(cut_at(lab, &["bootstrap"], pushes, kill_sessions));
    is_whole(lab);
}

fn a_session_that_dies_during_the_switch_is_opened_again(lab: &TestLab, whole: &str) {
    labelled(lab, whole, "gold");
    let before = lab.generation("worker-1").expect("a generation");
    was_made_again(cut_at(
        lab,
        &["bootstrap"],
        |event| is_doing(event, "restart"),
        kill_sessions,
    ));
    assert_eq!(lab.generation("worker-1"), Ok(before + 1));
    is_whole(lab);
}

fn a_host_that_goes_away_during_the_switch_goes_back(lab: &TestLab, whole: &str) {
    labelled(lab, whole, "silver");
    let (before, untouched) = (
        lab.generation("worker-1").expect("a generation"),
        control_plane(lab),
    );
    let begun = Instant::now();
    let ended = cut_at(
        lab,
        &["bootstrap"],
        |event| is_doing(event, "restart"),
        |lab| lab.partition("worker-1"),
    );
    // Half a minute until it is known to be gone, and the attempt to reach it again.
    assert!(begun.elapsed() < Duration::from_secs(90), "{:?}", begun.elapsed());
    let text = was_told(&ended, "rolling");
    for part in [
        "lost the connection while",
        "connecting again failed",
        "goes back by itself within 60 s",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(control_plane(lab), untouched);
    until("worker-1 goes back", Duration::from_secs(120), || {
        let now = lab.generation("worker-1")?;
        if now == before {
            Ok(())
        } else {
            Err(format!("it is on {now}"))
        }
    });
    lab.heal();
    lab.hardway(&["bootstrap"]).ok();
    assert!(lab.generation("worker-1").expect("a generation") > before);
    is_whole(lab);
}

fn a_host_that_goes_away_during_the_push_is_not_switched(lab: &TestLab) {
    let folder = lab.other_release("next").display().to_string();
    let upgrade = ["upgrade", "--in-place", "--to", folder.as_str()];
    let (before, untouched) = (
        lab.generation("worker-1").expect("a generation"),
        control_plane(lab),
    );
    let ended = cut_at(lab, &upgrade, pushes, |lab| lab.partition("worker-1"));
    let text = was_told(&ended, "push and switch");
    for part in ["lost the connection while pushing", "connecting again failed"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(control_plane(lab), untouched);
    assert_eq!(lab.generation("worker-1"), Ok(before));
    lab.heal();
    lab.fetch_kubeconfig();
    until("worker-1 is ready again", Duration::from_secs(90), || {
        let nodes = lab.kubectl(&["get", "nodes"]).result()?;
        if nodes.matches(" Ready ").count() == 2 {
            Ok(())
        } else {
            Err(nodes)
        }
    });
    // Over there the script of the lost run still waits for its input.
    lab.hardway(&upgrade).ok();
    assert_ne!(control_plane(lab), untouched);
    is_whole(lab);
}
