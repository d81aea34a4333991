use std::path::PathBuf;

use e2e::TestLab;

use crate::{HOSTS, holds};

pub(crate) struct Bundle {
    pub path: PathBuf,
    pub key: String,
}

/// Made on this machine, which has a network.
pub(crate) fn make(lab: &TestLab) -> Bundle {
    let folder = lab.scratch.path();
    let (path, key) = (folder.join("cluster.bundle"), folder.join("bundle.key"));
    let inventory = lab.inventory().display().to_string();
    let hardway = |arguments: &[&str]| {
        let mut command = std::process::Command::new(e2e::binaries().join("hardway"));
        command.args(arguments).args(["--inventory", &inventory]);
        e2e::run(&mut command, None)
    };
    let (bundle, secret) = (path.display().to_string(), key.display().to_string());
    hardway(&["bundle", "keygen", "--out", &secret]).ok();
    println!(
        "{}",
        hardway(&["bundle", "--out", &bundle, "--key", &secret]).ok()
    );
    let public = std::fs::read_to_string(folder.join("bundle.key.pub")).expect("written");
    let public = public.lines().last().expect("a key").to_owned();
    // From here on nothing but the bundle: not even the folder that the lab wrote down.
    let text = std::fs::read_to_string(lab.inventory()).expect("the inventory");
    let binaries = text
        .lines()
        .find(|line| line.starts_with("binaries = "))
        .expect("the lab names the binaries");
    let text = text.replace(binaries, &format!("bundle_key = \"{public}\""));
    std::fs::write(lab.inventory(), text).expect("written");
    Bundle { path, key: public }
}

pub(crate) fn damaged_and_foreign_ones_change_nothing(lab: &TestLab, bundle: &Bundle) {
    let whole = std::fs::read(&bundle.path).expect("the bundle");
    let path = lab.scratch.path().join("broken.bundle");
    let shown = path.display().to_string();
    let mut changed = whole.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    let other = lab.scratch.path().join("other.key").display().to_string();
    lab.hardway(&["bundle", "keygen", "--out", &other]).ok();
    let other = format!("{other}.pub");
    let text = std::fs::read_to_string(lab.inventory()).expect("the inventory");
    let unpinned = lab.inventory().with_file_name("unpinned.toml");
    std::fs::write(&unpinned, text.replace("bundle_key", "# bundle_key")).expect("written");
    let cases: &[(&[u8], &[&str], &str)] = &[
        (&changed, &[], "is not what was signed"),
        (&whole[..whole.len() / 3], &[], "copy"),
        (&whole[..300], &[], "is not a bundle"),
        (&whole, &["--bundle-key", &other], "is not signed by the key"),
    ];
    for (content, more, expected) in cases {
        std::fs::write(&path, content).expect("written");
        let arguments = [&["bootstrap", "--bundle", &shown], *more].concat();
        let refused = lab.hardway(&arguments);
        assert!(
            refused.code == 2 && refused.stderr.contains(expected),
            "{expected}: {refused:?}"
        );
        let refused = lab.hardway(&[&["bundle", "verify", &shown], *more].concat());
        assert_eq!(refused.code, 2, "{refused:?}");
    }
    let mut without = lab.command(e2e::binaries().join("hardway"));
    without
        .args([
            "bootstrap",
            "--bundle",
            &bundle.path.display().to_string(),
            "--inventory",
        ])
        .arg(&unpinned);
    let refused = e2e::run(&mut without, None);
    assert!(
        refused.code == 2 && refused.stderr.contains("release.bundle_key"),
        "{refused:?}"
    );
    for host in HOSTS {
        assert_eq!(holds(lab, host), "", "{host} was changed");
    }
    std::fs::remove_file(path).expect("removed");
}

pub(crate) fn nothing_else_is_needed(lab: &TestLab, bundle: &Bundle) {
    let path = bundle.path.display().to_string();
    let lacking = lab.hardway(&["bootstrap"]);
    assert!(
        lacking.code == 1 && lacking.stderr.contains("bootstrap with --bundle"),
        "{lacking:?}"
    );
    let said = lab.hardway(&["bootstrap", "--bundle", &path]);
    println!("{}", said.stderr);
    said.ok();
    let units = lab
        .exec(
            "cp-1",
            &[
                "systemctl",
                "show",
                "-p",
                "FragmentPath",
                "--value",
                "etcd.service",
            ],
        )
        .ok();
    assert_eq!(units.trim(), "/etc/systemd/system/etcd.service");
    // The bundle's release is the cluster's from now on, and a second run has nothing to do.
    let again = lab.hardway(&["bootstrap", "--bundle", &path]);
    assert!(again.stderr.contains("nothing to change"), "{again:?}");
    let plan = lab.hardway(&["plan", "--brief"]);
    assert_eq!(plan.code, 0, "{plan:?}");
    let drift = lab.hardway(&["verify"]);
    assert_eq!(drift.code, 0, "{drift:?}");
    lab.fetch_kubeconfig();
}

/// edge-1 again, as a host of the inventory: on a fresh disk, with the packages that it lacks.
pub(crate) fn a_host_without_packages_joins(lab: &TestLab, bundle: &Bundle, whole: &str) {
    let edge = whole
        .find("\n[[hosts]]\nname = \"edge-1\"")
        .expect("edge-1 is the last");
    let text = std::fs::read_to_string(lab.inventory()).expect("the inventory");
    std::fs::write(
        lab.inventory(),
        text.trim_end().to_owned() + "\n" + &whole[edge..],
    )
    .expect("written");
    lab.fresh("edge-1");
    let lacking = lab.hardway(&["node", "join", "edge-1"]);
    assert!(
        lacking.code == 1 && lacking.stderr.contains("lacks"),
        "{lacking:?}"
    );
    let said = lab.hardway(&[
        "node",
        "join",
        "edge-1",
        "--bundle",
        &bundle.path.display().to_string(),
    ]);
    println!("{}", said.stderr);
    said.ok();
    assert_eq!(lab.hardway(&["verify"]).code, 0);
}

pub(crate) fn another_release_comes_as_a_bundle(lab: &TestLab, bundle: &Bundle) {
    let folder = lab.other_release("next").display().to_string();
    let path = lab.scratch.path().join("next.bundle").display().to_string();
    let key = bundle.path.with_file_name("bundle.key").display().to_string();
    lab.hardway(&[
        "bundle",
        "--out",
        &path,
        "--key",
        &key,
        "--binaries",
        &folder,
        "--no-packages",
    ])
    .ok();
    let checked = lab.hardway(&["upgrade", "--bundle", &path, "--check"]);
    assert_eq!(checked.code, 0, "{checked:?}");
    let before = lab
        .exec("worker-1", &["readlink", "-f", "/opt/hardway/current"])
        .ok();
    let said = lab.hardway(&["upgrade", "--bundle", &path, "--in-place"]);
    println!("{}", said.stderr);
    said.ok();
    for host in HOSTS {
        let now = lab.exec(host, &["readlink", "-f", "/opt/hardway/current"]).ok();
        assert_ne!(now, before, "{host} runs the release before");
    }
    assert_eq!(lab.hardway(&["plan", "--brief"]).code, 0);
}
