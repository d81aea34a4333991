use std::path::{Path, PathBuf};

use super::*;
use crate::desired::{Artifact, File, Stage, Unit};
use crate::facts::UnitFacts;
use crate::plan::plan;
use crate::ports::Listener;
use expected::ExpectedFile;
use probe::{FoundFile, FoundUnit};

fn inventory() -> Inventory {
    let text = "[cluster]\nname = \"lab\"\n[[hosts]]\nname = \"cp\"\naddress = \"10.77.0.1\"\n\
                roles = [\"control-plane\"]\n[[hosts]]\nname = \"w\"\naddress = \"10.77.0.2\"\nroles = [\"worker\"]\n";
    Inventory::parse(Path::new("lab.toml"), text).unwrap()
}

fn desired() -> Desired {
    let mut desired = Desired {
        files: vec![
            File::public("config/kubelet.yaml", "a: b\n"),
            File::secret("pki/kubelet.key", "root", "key"),
            File::public(
                "units/kubelet.service",
                "[Service]\nExecStart=/opt/hardway/current/bin/kubelet \\\n  --v=2\n",
            ),
        ],
        units: vec![Unit {
            name: "kubelet.service",
            link: "/etc/systemd/system/kubelet.service".to_owned(),
            file: "units/kubelet.service".to_owned(),
            stage: Stage::Clients,
            content: "c0".to_owned(),
            identity: "c0".to_owned(),
        }],
        artifacts: vec![Artifact {
            name: "kubelet".to_owned(),
            sha256: "f".repeat(64),
            size: 1,
            source: PathBuf::from("kubelet"),
            image: None,
        }],
        users: vec!["api-balancer"],
        links: Vec::new(),
    };
    desired.add_meta();
    desired
}

/// A host that is exactly as it should be.
fn clean(desired: &Desired, inventory: &Inventory, host: &Host) -> (Facts, Probe) {
    let active = UnitFacts {
        state: "active".to_owned(),
        pid: 1,
        content: "c0".to_owned(),
    };
    let facts = Facts {
        ip_forward: true,
        release: format!("releases/{}", desired.release_hash()),
        generation: "generations/1".to_owned(),
        kept_generations: vec![1],
        blobs: ["f".repeat(64)].into(),
        manifest: desired
            .files
            .iter()
            .map(|file| (file.path.clone(), file.sha256()))
            .collect(),
        modes: desired.modes().lines().map(str::to_owned).collect(),
        links: desired.all_links().into_iter().collect(),
        users: ["api-balancer".to_owned()].into(),
        units: [("kubelet.service".to_owned(), active)].into(),
        ..Facts::default()
    };
    let found = |(path, file): (String, ExpectedFile)| {
        let found = FoundFile {
            hash: file.hash,
            mode: file.mode,
            owner: file.owner,
        };
        (path, found)
    };
    let program = FoundFile {
        hash: "f".repeat(64),
        mode: 0o755,
        owner: "root".to_owned(),
    };
    let unit = FoundUnit {
        fragment: "/etc/systemd/system/kubelet.service".to_owned(),
        exe: Some(format!(
            "/opt/hardway/releases/{}/bin/kubelet",
            desired.release_hash()
        )),
        command: vec!["/opt/hardway/current/bin/kubelet".to_owned(), "--v=2".to_owned()],
        ..FoundUnit::default()
    };
    let probe = Probe {
        files: Expected::asked(desired).files.into_iter().map(found).collect(),
        programs: [("bin/kubelet".to_owned(), program)].into(),
        units: [("kubelet.service".to_owned(), unit)].into(),
        routes: [("10.200.0.0/24".to_owned(), Some("10.77.0.1".to_owned()))].into(),
        listening: ports(inventory, host)
            .iter()
            .map(|port| listener(port.number, port.daemon))
            .collect(),
        own_release: desired.release_manifest(),
        own_units: desired.text("meta/units").into_owned(),
        own_links: desired.text("meta/links").into_owned(),
    };
    (facts, probe)
}

/// The kernel keeps 15 bytes of a name.
fn listener(port: u16, process: &str) -> Listener {
    let text = format!(r#"*:{port} users:(("{process:.15}",pid=7,fd=9))"#);
    Listener::parse(&text).expect("a line of ss")
}

fn compare(change: impl FnOnce(&mut Facts, &mut Probe)) -> Vec<Difference> {
    compare_with(&desired(), &desired(), change)
}

/// A host that is on the generation `held`, compared with another.
fn compare_with(
    held: &Desired,
    desired: &Desired,
    change: impl FnOnce(&mut Facts, &mut Probe),
) -> Vec<Difference> {
    let inventory = inventory();
    let host = &inventory.hosts[1];
    let (mut facts, mut probe) = clean(held, &inventory, host);
    change(&mut facts, &mut probe);
    let ranges = [
        PodRange {
            node: "cp".to_owned(),
            cidr: "10.200.0.0/24".to_owned(),
            address: Some("10.77.0.1".to_owned()),
        },
        PodRange {
            node: "w".to_owned(),
            cidr: "10.200.1.0/24".to_owned(),
            address: None,
        },
    ];
    let found = differences(&inventory, host, desired, &facts, &probe, &ranges);
    let restarts_here = |difference: &Difference| match &difference.remedy {
        Remedy::Restart(unit) => desired.units.iter().any(|known| known.name == unit),
        _ => true,
    };
    if found.iter().any(restarts_here) {
        // Whatever is found, the plan that follows from it does something.
        let fixed = plan("w", desired, &corrected(&facts, &found), 1);
        assert!(!fixed.is_empty(), "nothing is planned for {found:?}");
    }
    found
}

#[test]
fn a_clean_host_has_no_differences() {
    assert_eq!(compare(|_, _| {}), []);
}

#[test]
fn each_managed_file_is_missed_and_no_other() {
    let paths: Vec<String> = Expected::asked(&desired()).files.into_keys().collect();
    for path in paths {
        let subject = format!("{GENERATION}/{path}");
        type Change = fn(&mut Probe, &str);
        let table: [(Change, &str); 4] = [
            (|probe, path| drop(probe.files.remove(path)), "was removed"),
            (
                |probe, path| probe.files.get_mut(path).unwrap().hash = "0".to_owned(),
                "was changed",
            ),
            (
                |probe, path| probe.files.get_mut(path).unwrap().mode = 0o777,
                "has mode 777",
            ),
            (
                |probe, path| probe.files.get_mut(path).unwrap().owner = "nobody".to_owned(),
                "belongs to nobody",
            ),
        ];
        for (change, problem) in table {
            let found = compare(|_, probe| change(probe, &path));
            assert_eq!(found.len(), 1, "{path}: {found:?}");
            assert_eq!(found[0].subject, subject);
            assert!(found[0].problem.contains(problem), "{found:?}");
        }
    }
}

#[test]
fn everything_else_that_differs_is_named() {
    type Case = (Kind, &'static str, fn(&mut Facts, &mut Probe));
    let table: &[Case] = &[
        (Kind::File, "does not belong", |_, probe| {
            probe.files.insert("extra".to_owned(), FoundFile::default());
        }),
        (Kind::Program, "was removed", |_, probe| {
            drop(probe.programs.remove("bin/kubelet"))
        }),
        (Kind::Program, "mode 644", |_, probe| {
            probe.programs.get_mut("bin/kubelet").unwrap().mode = 0o644
        }),
        (Kind::Link, "is no link", |facts, _| {
            drop(facts.links.remove("/etc/systemd/system/kubelet.service"))
        }),
        (Kind::User, "does not exist", |facts, _| facts.users.clear()),
        (Kind::Unit, "is failed", |facts, _| {
            facts.units.get_mut("kubelet.service").unwrap().state = "failed".to_owned()
        }),
        (Kind::Unit, "no longer current", |facts, _| {
            facts.units.get_mut("kubelet.service").unwrap().content = "c1".to_owned();
        }),
        (Kind::DropIn, "not hardway's", |_, probe| {
            let unit = probe.units.get_mut("kubelet.service").unwrap();
            unit.drop_ins = vec![
                "/etc/systemd/system/kubelet.service.d/x.conf".to_owned(),
                "/usr/lib/systemd/system/service.d/10-all.conf".to_owned(),
            ];
        }),
        (Kind::Flags, "has --v=9, lacks --v=2", |_, probe| {
            probe.units.get_mut("kubelet.service").unwrap().command[1] = "--v=9".to_owned();
        }),
        (Kind::Unit, "runs /tmp/x", |_, probe| {
            probe.units.get_mut("kubelet.service").unwrap().exe = Some("/tmp/x".to_owned());
        }),
        (Kind::Route, "pods of cp", |_, probe| probe.routes.clear()),
        (Kind::Route, "leads to 10.77.0.9", |_, probe| {
            probe
                .routes
                .insert("10.200.0.0/24".to_owned(), Some("10.77.0.9".to_owned()));
        }),
        (Kind::Port, "does not listen", |_, probe| {
            probe.listening.retain(|listener| listener.port != 10250)
        }),
        (Kind::Port, "held by nc", |_, probe| {
            probe.listening.retain(|listener| listener.port != 10250);
            probe.listening.push(listener(10250, "nc"));
        }),
    ];
    for (kind, problem, change) in table {
        let found = compare(change);
        assert_eq!(found.len(), 1, "{problem}: {found:?}");
        assert_eq!(found[0].kind, *kind);
        assert!(found[0].problem.contains(problem), "{found:?}");
    }
}

/// Another release, another unit file and a unit more.
fn next() -> Desired {
    let mut desired = desired();
    desired.files.retain(|file| !file.path.starts_with("meta/"));
    desired.files[2] = File::public(
        "units/kubelet.service",
        "[Service]\nExecStart=/opt/hardway/current/bin/kubelet \\\n  --v=3\n",
    );
    desired
        .files
        .push(File::public("units/kube-proxy.service", "[Service]\n"));
    desired.units[0].content = "c1".to_owned();
    desired.units.push(Unit {
        name: "kube-proxy.service",
        link: "/etc/systemd/system/kube-proxy.service".to_owned(),
        file: "units/kube-proxy.service".to_owned(),
        stage: Stage::Clients,
        content: "p".to_owned(),
        identity: "p".to_owned(),
    });
    desired.artifacts[0].sha256 = "e".repeat(64);
    desired.add_meta();
    desired
}

#[test]
fn a_generation_that_was_gone_back_to_is_told_once_and_its_files_were_changed_by_nobody() {
    let expected = "is not what is asked for now: units/kube-proxy.service, units/kubelet.service differ; hardway plan shows it";
    let found = compare_with(&desired(), &next(), |_, _| {});
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (found[0].kind, found[0].problem.as_str()),
        (Kind::Generation, expected)
    );

    type Change = fn(&mut Facts, &mut Probe);
    let by_hand: &[(Change, &str)] = &[
        (
            |_, probe| probe.files.get_mut("config/kubelet.yaml").unwrap().hash = "0".to_owned(),
            "/config/kubelet.yaml",
        ),
        (
            |_, probe| probe.files.get_mut("units/kubelet.service").unwrap().hash = "0".to_owned(),
            "/units/kubelet.service",
        ),
        (
            |_, probe| drop(probe.files.remove("units/kubelet.service")),
            "/units/kubelet.service",
        ),
        (
            |_, probe| drop(probe.files.insert("extra".to_owned(), FoundFile::default())),
            "/extra",
        ),
        (
            |_, probe| probe.programs.get_mut("bin/kubelet").unwrap().hash = "0".to_owned(),
            "bin/kubelet",
        ),
        (
            |facts, _| facts.units.get_mut("kubelet.service").unwrap().content = "c1".to_owned(),
            "kubelet.service",
        ),
        (
            |_, probe| probe.units.get_mut("kubelet.service").unwrap().exe = Some("/tmp/x".to_owned()),
            "kubelet.service",
        ),
        (
            |facts, _| drop(facts.links.remove("/etc/systemd/system/kubelet.service")),
            "/system/kubelet.service",
        ),
    ];
    for (change, subject) in by_hand {
        let found = compare_with(&desired(), &next(), change);
        assert_eq!(found.len(), 2, "{subject}: {found:?}");
        assert!(found[1].subject.ends_with(subject), "{found:?}");
    }
}

#[test]
fn a_host_without_programs_of_ours_can_be_on_another_generation() {
    let without = |mut desired: Desired| {
        desired.files.retain(|file| !file.path.starts_with("meta/"));
        desired.artifacts.clear();
        desired.add_meta();
        desired
    };
    let found = compare_with(&without(desired()), &without(next()), |facts, probe| {
        facts.release.clear();
        probe.programs.clear();
        // Its program is a package's.
        probe.units.get_mut("kubelet.service").unwrap().exe = None;
    });
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].kind, Kind::Generation);
}

#[test]
fn an_edited_list_is_no_other_generation() {
    // The manifest says of a file what it is not; the file is as it is asked for.
    let found = compare(|facts, probe| {
        facts
            .manifest
            .insert("config/kubelet.yaml".to_owned(), "0".to_owned());
        probe.files.get_mut("MANIFEST").unwrap().hash = "0".to_owned();
    });
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].subject.ends_with("/MANIFEST"));
    // Of a generation whose own lists were edited nothing is believed.
    let found = compare_with(&desired(), &next(), |_, probe| {
        probe.files.get_mut("meta/release").unwrap().hash = "0".to_owned();
    });
    assert!(
        found.iter().any(|one| one.subject.ends_with("bin/kubelet")),
        "{found:?}"
    );
}
