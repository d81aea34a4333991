//! Bootstrap from nothing, and again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use e2e::TestLab;

pub(crate) const HOSTS: &[&str] = &["cp-1", "cp-2", "cp-3", "worker-1", "worker-2"];

pub(crate) fn from_empty_hosts(lab: &TestLab) {
    let begun = Instant::now();
    let said = lab.hardway(&["bootstrap"]).ok();
    let took = begun.elapsed();
    println!(
        "{said}\nbootstrap of 3+2 from empty hosts: {:.1} s",
        took.as_secs_f64()
    );
    assert!(took < Duration::from_secs(60), "bootstrap took {took:?}");
}

pub(crate) fn again_changes_nothing(lab: &TestLab) {
    let before = running(lab);
    let begun = Instant::now();
    let said = lab.hardway(&["bootstrap"]).ok();
    let took = begun.elapsed();
    println!("second bootstrap: {:.1} s", took.as_secs_f64());
    assert_eq!(
        before,
        running(lab),
        "the second bootstrap restarted or changed something:\n{said}"
    );
    assert!(
        took < Duration::from_secs(5),
        "the second bootstrap took {took:?}"
    );
}

/// What would differ after a change: the generation, and each unit's process.
fn running(lab: &TestLab) -> BTreeMap<String, String> {
    let script = "readlink -f /etc/hardway/current /opt/hardway/current; \
                  for u in etcd containerd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy \
                  api-balancer pod-network; do echo $u $(systemctl show -p MainPID -p NRestarts -p ActiveEnterTimestamp $u); done";
    HOSTS
        .iter()
        .map(|host| ((*host).to_owned(), lab.exec(host, &["sh", "-c", script]).ok()))
        .collect()
}
