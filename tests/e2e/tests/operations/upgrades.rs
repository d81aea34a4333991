//! To another release and back, while a client writes and reads ten times a second.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Instant;

use e2e::TestLab;

use crate::said;

fn write_program(path: &Path, content: &[u8]) {
    std::fs::write(path, content).expect("written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("made executable");
}

fn releases(lab: &TestLab) -> Vec<String> {
    crate::HOSTS
        .iter()
        .map(|host| lab.exec(host, &["readlink", "-f", "/opt/hardway/current"]).ok())
        .collect()
}

pub(crate) fn a_release_that_does_not_start_stops_at_the_first_host(lab: &TestLab) {
    let folder = lab.other_release("broken");
    // It answers the checks, and then it does not serve.
    let genuine = e2e::binaries().join("kube-apiserver");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *--version|*--help) exec {} \"$@\";; esac\necho 'cannot serve' >&2\nexit 1\n",
        genuine.display()
    );
    write_program(&folder.join("kube-apiserver"), script.as_bytes());
    let before = releases(lab);
    let prober = lab.prober("worker-1");
    let failed = lab.hardway(&["upgrade", "--in-place", "--to", folder.to_str().expect("plain")]);
    let report = prober.finish();
    assert_eq!(failed.code, 1, "{failed:?}");
    let said = said(&failed);
    assert!(
        said.contains("cp-1")
            && said.contains("the host is back on generation")
            && !said.contains("cp-2: rolling"),
        "{said}"
    );
    assert_eq!(before, releases(lab), "a host stayed on the broken release");
    report.nothing_failed("an upgrade that fails on the first host");
    let other = lab.hardway(&["upgrade", "--to", e2e::binaries().to_str().expect("plain")]);
    assert!(
        other.code == 1 && crate::said(&other).contains("--abort"),
        "{other:?}"
    );
    lab.hardway(&["upgrade", "--abort"]).ok();
    let planned = lab.hardway(&["plan", "--brief"]);
    assert_eq!(planned.code, 0, "{planned:?}");
}

pub(crate) fn upgrade_and_rollback_lose_nothing(lab: &TestLab) {
    let folder = lab.other_release("next");
    let before = releases(lab);
    let prober = lab.prober("worker-1");
    let begun = Instant::now();
    println!(
        "{}",
        said(&lab.hardway(&["upgrade", "--to", folder.to_str().expect("plain")]))
    );
    println!("upgrade of 3+2: {:.1} s", begun.elapsed().as_secs_f64());
    let report = prober.finish();
    let after = releases(lab);
    assert!(
        before.iter().zip(&after).all(|(before, after)| before != after),
        "{after:?}"
    );
    report.nothing_failed("upgrade");
    let nodes = lab.kubectl(&["get", "nodes"]).ok();
    assert!(!nodes.contains("SchedulingDisabled"), "{nodes}");
    let planned = lab.hardway(&["plan", "--brief"]);
    assert_eq!(planned.code, 0, "{planned:?}");
    let prober = lab.prober("worker-1");
    let begun = Instant::now();
    // On cp-1 the generation before is the one that failed; it is left out.
    println!("{}", lab.hardway(&["rollback"]).ok());
    println!("rollback of 3+2: {:.1} s", begun.elapsed().as_secs_f64());
    prober.finish().nothing_failed("rollback");
    assert_eq!(before, releases(lab));
    // The inventory's release counts again, not the one that the hosts have left.
    lab.hardway(&["verify"]).ok();
}

pub(crate) fn an_upgrade_that_was_killed_is_finished_by_the_next(lab: &TestLab) {
    let folder = lab.other_release("next");
    let arguments = ["upgrade", "--in-place", "--to", folder.to_str().expect("plain")];
    let before = releases(lab);
    let prober = lab.prober("worker-1");
    // In the phase after that: cp-2's.
    assert!(lab.kill_in(&arguments, "rolling: cp-1", 0));
    lab.hardway(&arguments).ok();
    prober
        .finish()
        .nothing_failed("an upgrade that was killed and finished");
    let after = releases(lab);
    assert!(
        before.iter().zip(&after).all(|(before, after)| before != after),
        "{after:?}"
    );
    assert_eq!(lab.hardway(&["plan", "--brief"]).code, 0);
}
