//! Back to the generation before, and forward again.

use std::time::{Duration, Instant};

use e2e::TestLab;

use crate::HOSTS;

pub(crate) fn rollback_takes_seconds_and_uploads_nothing(lab: &TestLab) {
    let number = |host: &str| lab.generation(host).expect("a generation");
    // The generation before was edited by hand in an earlier step, and is not gone back to.
    let edited = lab.hardway(&["rollback", "--host", "worker-1", "--to", "1"]);
    assert!(
        edited.code == 1 && edited.stderr.contains("was changed on this host"),
        "{edited:?}"
    );
    crate::plans::label_worker(lab, "silver");
    lab.hardway(&["bootstrap"]).ok();
    let before = number("worker-1");
    assert!(before >= 2, "worker-1 is on generation {before}");
    let begun = Instant::now();
    println!("{}", lab.hardway(&["rollback", "--host", "worker-1"]).ok());
    let took = begun.elapsed();
    println!("rollback of one host: {:.1} s", took.as_secs_f64());
    assert!(took < Duration::from_secs(10), "rollback took {took:?}");
    assert!(number("worker-1") < before);
    let history = lab.hardway(&["history", "--host", "worker-1"]).ok();
    assert!(
        history.contains("rollback") && history.contains("apply"),
        "{history}"
    );
    let planned = lab.hardway(&["plan", "--brief"]);
    assert_eq!(planned.code, 3, "{planned:?}");
    // That the host is on another generation than is asked for; nobody changed its files.
    let found = crate::drift::differences(lab, "worker-1");
    let expected = [number("worker-1").to_string()].into();
    assert_eq!(found, expected, "{:?}", lab.hardway(&["verify"]));
    lab.hardway(&["bootstrap"]).ok();
    assert!(number("worker-1") > before, "a number was given again");
    let kept = lab.exec("worker-1", &["ls", "/etc/hardway/generations"]).ok();
    assert!(kept.lines().count() <= 3, "{kept}");
    let far = lab.hardway(&["rollback", "--host", "worker-1", "--to", "999"]);
    assert!(far.code == 1 && far.stderr.contains("kept"), "{far:?}");
    for host in HOSTS {
        assert_eq!(lab.exec(host, &["test", "-L", "/opt/hardway/current"]).code, 0);
    }
}

pub(crate) fn a_program_more_in_the_release_restarts_nothing_and_is_no_drift(lab: &TestLab) {
    let processes = |host: &str| {
        let daemons = ["kubelet", "kube-proxy", "api-balancer", "pod-network"];
        let arguments = [
            &["systemctl", "show", "-p", "MainPID", "--value"][..],
            &daemons[..],
        ]
        .concat();
        lab.exec(host, &arguments).ok()
    };
    let all = || HOSTS.iter().map(|host| processes(host)).collect::<Vec<_>>();
    let before = all();
    // Hosts that take snapshots get hardway itself.
    let text = std::fs::read_to_string(lab.inventory()).expect("the inventory");
    let text = text.replacen("[[hosts]]", "[backup]\nschedule = \"yearly\"\n\n[[hosts]]", 1);
    std::fs::write(lab.inventory(), text).expect("written");
    lab.hardway(&["bootstrap"]).ok();
    assert_eq!(before, all());
    // They run from the folder of the release before, which is the same file.
    lab.hardway(&["verify"]).ok();
}
