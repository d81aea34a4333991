//! A client behind a load balancer's host, which writes and reads ten times a second, notices nothing of upgrades and
//! rotations.

use e2e::TestLab;

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
}
