//! `hardway verify` finds what was changed by hand, all of it and nothing else.

use std::collections::BTreeSet;
use std::time::Duration;

use e2e::{TestLab, until};
use serde_json::Value;

/// (host, subject) of every difference.
pub(crate) fn differences(lab: &TestLab, host: &str) -> BTreeSet<String> {
    let finished = lab.hardway(&["verify", "--host", host, "--json"]);
    let report: Value = finished
        .stdout
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|line| line["hosts"].is_object())
        .unwrap_or_else(|| panic!("no report: {finished:?}"));
    let found: BTreeSet<String> = report["hosts"][host]
        .as_array()
        .unwrap_or_else(|| panic!("{report}"))
        .iter()
        .map(|difference| difference["subject"].as_str().expect("a subject").to_owned())
        .collect();
    assert_eq!(
        finished.code,
        if found.is_empty() { 0 } else { 3 },
        "{finished:?}"
    );
    found
}

/// Every file of the generation and of the release is changed once, removed once and chmod-ed once, a third of them
/// at a time, so that each kind is told from its neighbours.
pub(crate) fn every_managed_file_and_only_those(lab: &TestLab) {
    lab.hardway(&["verify"]).ok();
    for host in ["worker-1", "cp-3"] {
        let list = "cd /etc/hardway/current/ && find . -type f -printf '/etc/hardway/current/%P\\n'; \
                    cd /opt/hardway/current/ && find . -type f -printf '/opt/hardway/current/%P\\n'";
        let files: Vec<String> = lab
            .exec(host, &["sh", "-c", list])
            .ok()
            .lines()
            .map(str::to_owned)
            .collect();
        assert!(files.len() > 25, "{files:?}");
        for round in 0..3 {
            // Running programs cannot be written to; they are replaced, as an installation would.
            let mut script = "set -e; rm -rf /root/kept; mkdir /root/kept\n".to_owned();
            let mut restore = String::new();
            for (index, file) in files.iter().enumerate() {
                let kept = format!("/root/kept/{index}");
                script.push_str(&format!("cp -a {file} {kept}\n"));
                restore.push_str(&format!("cp -a {kept} {file}.back && mv -T {file}.back {file}\n"));
                script.push_str(&match (index + round) % 3 {
                    0 => format!("cp -a {file} {file}.x && echo x >>{file}.x && mv -T {file}.x {file}\n"),
                    1 => format!("rm {file}\n"),
                    _ => format!("cp -a {file} {file}.x && chmod 640 {file}.x && mv -T {file}.x {file}\n"),
                });
            }
            lab.exec(host, &["sh", "-c", &script]).ok();
            let found = differences(lab, host);
            lab.exec(host, &["sh", "-c", &restore]).ok();
            let expected: BTreeSet<String> = files.iter().cloned().collect();
            let processes = |subject: &&String| !subject.starts_with('/');
            let other: Vec<&String> = found
                .difference(&expected)
                .filter(|one| !processes(one))
                .collect();
            let missed: Vec<&String> = expected.difference(&found).collect();
            assert!(
                other.is_empty() && missed.is_empty(),
                "{host}: missed {missed:?}, more {other:?}"
            );
        }
    }
    // The programs were replaced by copies, which is no difference.
    lab.hardway(&["verify", "--fix", "--yes"]);
    let clean = lab.hardway(&["verify"]);
    assert_eq!(clean.code, 0, "{clean:?}");
}

pub(crate) fn processes_links_sysctls_and_routes(lab: &TestLab) {
    let script = "set -e; mkdir -p /etc/systemd/system/kubelet.service.d; \
                  printf '[Service]\\nEnvironment=X=1\\n' >/etc/systemd/system/kubelet.service.d/mine.conf; \
                  rm /etc/systemd/system/multi-user.target.wants/kube-proxy.service; \
                  sysctl -qw net.ipv4.ip_forward=0; systemctl stop api-balancer";
    lab.exec("worker-2", &["sh", "-c", script]).ok();
    let found = differences(lab, "worker-2");
    for expected in [
        "/etc/systemd/system/kubelet.service.d/mine.conf",
        "/etc/systemd/system/multi-user.target.wants/kube-proxy.service",
        "net.ipv4.ip_forward",
        "api-balancer.service",
        "7443",
    ] {
        assert!(found.contains(expected), "{expected} is not in {found:?}");
    }
    assert!(
        !found.iter().any(|subject| subject.contains("/etc/hardway/")),
        "files are reported that nobody touched: {found:?}"
    );
}

pub(crate) fn fix_puts_it_right(lab: &TestLab) {
    lab.exec(
        "worker-2",
        &["chmod", "777", "/etc/hardway/current/pki/kubelet-server.key"],
    )
    .ok();
    lab.hardway(&["verify", "--fix", "--yes"]).ok();
    until("nothing differs", Duration::from_secs(20), || {
        let found = differences(lab, "worker-2");
        if found.is_empty() {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    });
    let kept = "/etc/systemd/system/kubelet.service.d/mine.conf.before-hardway";
    lab.exec("worker-2", &["test", "-e", kept]).ok();
}
