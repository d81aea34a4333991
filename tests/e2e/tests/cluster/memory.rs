//! What the daemons need when nothing happens.

use e2e::TestLab;

/// Megabytes of resident memory that each daemon may have.
const LIMITS: &[(&str, u64)] = &[
    ("kube-apiserver", 60),
    ("kube-controller", 30),
    ("kube-scheduler", 30),
    ("kubelet", 30),
    ("kube-proxy", 30),
    ("pod-network", 30),
    ("api-balancer", 30),
];

pub(crate) fn daemons_are_small(lab: &TestLab) {
    let mut over = Vec::new();
    for host in ["cp-1", "cp-2", "cp-3", "worker-1"] {
        for line in lab.exec(host, &["ps", "axo", "rss=,comm="]).ok().lines() {
            let Some((kibibytes, name)) = line.trim().split_once(' ') else {
                continue;
            };
            // The kernel cuts names to 15 bytes.
            let Some((_, limit)) = LIMITS.iter().find(|(daemon, _)| name.trim().starts_with(daemon)) else {
                continue;
            };
            let megabytes = kibibytes.parse::<u64>().expect("a number") / 1000;
            println!(
                "{host} {:<16} {megabytes:>4} MB resident (limit {limit})",
                name.trim()
            );
            if megabytes >= *limit {
                over.push(format!("{host} {name}: {megabytes} MB, limit {limit}"));
            }
        }
    }
    assert!(over.is_empty(), "too much memory: {}", over.join("; "));
}
