//! Plans: shown, saved, carried out, refused.

use e2e::TestLab;

use crate::{HOSTS, running, said};

/// Before anything is on a host: files that were damaged are refused, and nothing happens anywhere.
pub(crate) fn damaged_plans_and_states_change_nothing(lab: &TestLab) {
    let path = lab.scratch.path().join("first.json");
    let name = path.to_str().expect("plain");
    let planned = lab.hardway(&["plan", "--brief", "--out", name]);
    assert_eq!(planned.code, 3, "{planned:?}");
    // No authority is there yet that the operator could hold.
    assert!(
        planned.stdout.contains("-kubernetes-ca: new, ") && !planned.stdout.contains("held by the operator"),
        "{planned:?}"
    );
    let whole = std::fs::read(&path).expect("written");
    let broken = lab.scratch.path().join("broken.json");
    let broken_name = broken.to_str().expect("plain");
    for position in (0..whole.len()).step_by(whole.len() / 12) {
        let mut text = whole.clone();
        text[position] ^= 0x08;
        text.truncate(whole.len() - position / 2);
        std::fs::write(&broken, &text).expect("written");
        refused(lab, &["apply", broken_name], "broken.json");
    }
    let folder = lab.inventory().with_extension("hardway");
    for file in ["state.json", "journal.jsonl"] {
        let path = folder.join(file);
        let before = std::fs::read(&path).ok();
        std::fs::write(&path, "{\"generations\": 7}\nnonsense\n").expect("written");
        refused(lab, &["bootstrap"], file);
        match before {
            Some(before) => std::fs::write(&path, before).expect("written"),
            None => std::fs::remove_file(&path).expect("removed"),
        }
    }
    for host in HOSTS {
        let found = lab.exec(host, &["ls", "/etc/hardway"]);
        assert_ne!(found.code, 0, "{host} was changed: {found:?}");
    }
}

fn refused(lab: &TestLab, arguments: &[&str], file: &str) {
    let finished = lab.hardway(arguments);
    let said = said(&finished);
    assert_eq!(finished.code, 2, "{said}");
    assert!(said.contains(file) && !said.contains("panicked"), "{said}");
}

pub(crate) fn a_saved_plan_is_carried_out_exactly(lab: &TestLab) {
    let path = lab.scratch.path().join("first.json");
    let name = path.to_str().expect("plain");
    println!("{}", lab.hardway(&["apply", name]).ok());
    let again = lab.hardway(&["plan"]);
    assert_eq!(again.code, 0, "{again:?}");
    assert!(again.stdout.contains("nothing to change"), "{again:?}");
    // What it was made for is done.
    let refused = lab.hardway(&["apply", name]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        said(&refused).contains("does not need the change any more"),
        "{refused:?}"
    );
}

/// Gives worker-1 a label in the inventory, so that there is something to do.
pub(crate) fn label_worker(lab: &TestLab, value: &str) {
    let text = std::fs::read_to_string(lab.inventory()).expect("read");
    let mut lines: Vec<String> = text
        .lines()
        .filter(|line| !line.starts_with("labels"))
        .map(str::to_owned)
        .collect();
    let at = lines
        .iter()
        .position(|line| line.trim() == "name = \"worker-1\"")
        .expect("worker-1 is in the inventory");
    if !value.is_empty() {
        lines.insert(
            at + 1,
            format!("labels = {{ \"example.test/tier\" = \"{value}\" }}"),
        );
    }
    std::fs::write(lab.inventory(), lines.join("\n") + "\n").expect("written");
}

pub(crate) fn a_plan_is_refused_when_the_world_has_changed(lab: &TestLab) {
    let path = lab.scratch.path().join("second.json");
    let name = path.to_str().expect("plain");
    label_worker(lab, "gold");
    let elsewhere = lab.hardway(&["plan", "--role", "control-plane"]);
    assert_eq!(elsewhere.code, 0, "{elsewhere:?}");
    let planned = lab.hardway(&["plan", "--host", "worker-1", "--out", name]);
    assert_eq!(planned.code, 3, "{planned:?}");
    assert!(
        planned.stdout.contains("+  --node-labels=example.test/tier=gold")
            && planned.stdout.contains("restart   kubelet.service")
            && !planned.stdout.contains("worker-2"),
        "{planned:?}"
    );
    let edited = "sed -i 's/mode: .*/mode: ipvs/' /etc/hardway/current/config/kube-proxy.yaml";
    lab.exec("worker-1", &["sh", "-c", edited]).ok();
    let before = running(lab);
    let refused = lab.hardway(&["apply", name]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        said(&refused).contains("worker-1: config/kube-proxy.yaml would change as well"),
        "{refused:?}"
    );
    assert_eq!(before, running(lab), "a refused plan changed something");
    // Planned again it says both, and does both.
    let planned = lab.hardway(&["plan", "--host", "worker-1", "--out", name]);
    assert!(planned.stdout.contains("-mode: ipvs"), "{planned:?}");
    lab.hardway(&["apply", name]).ok();
    assert_eq!(lab.hardway(&["plan"]).code, 0);
    let labels = lab.get(&["node", "worker-1"]);
    assert_eq!(labels["metadata"]["labels"]["example.test/tier"], "gold");
}
