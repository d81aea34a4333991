//! A client behind a load balancer's host, which writes and reads ten times a second, notices nothing of upgrades and
//! rotations.

use e2e::TestLab;

/// Where it writes down what it runs with.
const CONTENT: &str = "/run/hardway-haproxy/content";

#[test]
fn haproxy_passes_upgrades_and_rotations_by() {
    let lab = TestLab::up(
        "haproxy",
        &[
            "--control-planes",
            "2",
            "--workers",
            "1",
            "--host",
            "lb-1=load-balancer",
            "--host",
            "etcd-1=etcd",
        ],
    );
    lab.hardway(&["bootstrap"]).ok();
    lab.fetch_kubeconfig();
    let folder = lab.other_release("next").display().to_string();
    for arguments in [
        &["upgrade", "--in-place", "--to", &folder][..],
        &["rollback"],
        &["certs", "rotate"],
        &["certs", "rotate", "--ca", "kubernetes", "--settle", "20"],
    ] {
        let refresher = lab.refresher();
        let prober = lab.prober_of("worker-1", &format!("https://{}:6443", lab.address("lb-1")));
        let said = lab.hardway(arguments);
        lab.fetch_kubeconfig();
        let report = prober.finish();
        drop(refresher);
        println!("{}", said.stderr);
        if arguments[0] == "rollback" {
            // Hosts that the upgrade did not change have nothing to go back to, and the others do.
            assert!(
                said.stderr.contains("etcd-1 stays where it is") && said.stdout.contains("cp-2 "),
                "{said:?}"
            );
        }
        said.ok();
        report.nothing_failed(&arguments.join(" "));
    }
    other_files_are_read_again_and_another_command_line_starts_it_anew(&lab);
}

/// What it runs with has two parts: the command line's hash, and the files'.
fn other_files_are_read_again_and_another_command_line_starts_it_anew(lab: &TestLab) {
    let pid = || {
        lab.exec(
            "lb-1",
            &["systemctl", "show", "hardway-haproxy", "--property", "MainPID"],
        )
        .ok()
    };
    let content = || lab.exec("lb-1", &["cat", CONTENT]).ok().trim().to_owned();
    let newest = content();
    let (start, files) = newest.split_once('.').expect("two parts");

    // The last stage of the authority's rotation changed the file of authorities and nothing else.
    let before = pid();
    lab.hardway(&["rollback", "--host", "lb-1"]).ok();
    let older = content();
    assert!(older.starts_with(start) && older != newest, "{older} {newest}");
    lab.hardway(&["bootstrap"]).ok();
    assert_eq!((content(), pid()), (newest.clone(), before.clone()));

    // As if it had been started by another hardway.
    for command in ["bootstrap", "rollback"] {
        let before = pid();
        let other = format!("printf %s 0000.{files} > {CONTENT}");
        lab.exec("lb-1", &["sh", "-c", &other]).ok();
        match command {
            "bootstrap" => lab.hardway(&["bootstrap"]).ok(),
            _ => lab.hardway(&["rollback", "--host", "lb-1"]).ok(),
        };
        assert!(content().starts_with(start), "{command}: {}", content());
        assert_ne!(pid(), before, "{command}");
    }
}
