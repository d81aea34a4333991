use super::*;
use crate::plan::{Action, Change, FileChange, UnitChange};

fn host_plan(host: &str) -> HostPlan {
    HostPlan {
        host: host.to_owned(),
        generation: Some(2),
        files: vec![FileChange {
            path: "config/kubelet.yaml".to_owned(),
            change: Change::Change,
            secret: false,
            before: Some("aa".to_owned()),
            after: Some("bb".to_owned()),
        }],
        units: vec![UnitChange {
            name: "kubelet.service".to_owned(),
            action: Action::Restart,
            stage: Some(crate::desired::Stage::Clients),
        }],
        ..HostPlan::default()
    }
}

fn plan() -> SavedPlan {
    let hosts = BTreeMap::from([
        ("a".to_owned(), host_plan("a")),
        (
            "b".to_owned(),
            HostPlan {
                host: "b".to_owned(),
                ..HostPlan::default()
            },
        ),
    ]);
    SavedPlan::new("lab", &Scope::default(), hosts, Some(Vec::new()))
}

#[test]
fn a_plan_is_read_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.json");
    let plan = plan();
    plan.write(&path).unwrap();
    let read = SavedPlan::read(&path).unwrap();
    assert_eq!(read, plan);
    assert_eq!(read.differences(&plan), Vec::<String>::new());
}

#[test]
fn what_has_changed_is_named() {
    let before = plan();
    let mut after = plan();
    let host = after.hosts.get_mut("a").unwrap();
    host.files[0].after = Some("cc".to_owned());
    host.files.push(FileChange {
        path: "pki/a.crt".to_owned(),
        change: Change::Repair,
        secret: false,
        before: None,
        after: None,
    });
    host.units.clear();
    after.hosts.insert("c".to_owned(), host_plan("c"));
    after.hosts.remove("b");
    let found = before.differences(&after).join("\n");
    for expected in [
        "a: config/kubelet.yaml would change in another way",
        "a: pki/a.crt would change as well",
        "a: units: restart kubelet.service then, none now",
        "b: is not there any more",
        "c: is new",
    ] {
        assert!(found.contains(expected), "{expected} not in:\n{found}");
    }
}

/// Every cut and every changed byte is refused, with a message that names the file.
#[test]
fn damaged_plans_are_refused() {
    let text = serde_json::to_vec(&plan()).unwrap();
    let path = Path::new("plan.json");
    for position in 0..text.len() {
        let cut = SavedPlan::parse(path, &text[..position]).unwrap_err().to_string();
        assert!(cut.starts_with("plan.json: is not a plan"), "{cut}");
        for bit in [1, 4, 32] {
            let mut changed = text.clone();
            changed[position] ^= bit;
            // A change without a meaning is none: the same plan was read.
            if let Ok(read) = SavedPlan::parse(path, &changed) {
                assert_eq!(serde_json::to_vec(&read).unwrap(), text, "byte {position}");
            }
        }
    }
}

proptest::proptest! {
    #[test]
    fn no_plan_makes_it_panic(text in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
        proptest::prop_assert!(SavedPlan::parse(Path::new("plan.json"), &text).is_err());
    }
}
