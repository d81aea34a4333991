//! kubectl v1.36, used as people use it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Duration;

use e2e::{TestLab, run, until};

pub(crate) fn does_what_people_use_it_for(lab: &TestLab) {
    let version = lab.kubectl(&["version"]).ok();
    assert!(
        version.contains("Client Version: v1.36") && version.contains("Server Version: v1.36"),
        "{version}"
    );
    reads(lab);
    applies_diffs_and_edits(lab);
    scales_and_rolls_out(lab);
    follows_logs(lab);
    runs_a_shell_on_a_terminal(lab);
    forwards_a_port(lab);
    deletes_and_waits(lab);
}

fn reads(lab: &TestLab) {
    let nodes = lab.kubectl(&["get", "nodes", "-o", "wide"]).ok();
    assert_eq!(nodes.lines().count(), 6, "{nodes}");
    assert_eq!(nodes.matches(" Ready ").count(), 5, "{nodes}");
    let described = lab.kubectl(&["describe", "deployment", "web"]).ok();
    assert!(
        described.contains("4 desired | 4 updated | 4 total | 4 available"),
        "{described}"
    );
    let described = lab.kubectl(&["describe", "pod", "client"]).ok();
    assert!(
        described.contains("Scheduled") && described.contains("Started"),
        "no events:\n{described}"
    );
    let described = lab.kubectl(&["describe", "node", "worker-1"]).ok();
    assert!(described.contains("KubeletReady"), "{described}");
    let explained = lab.kubectl(&["explain", "deployment.spec.strategy"]).ok();
    assert!(
        explained.contains("rollingUpdate") && explained.contains("GROUP:      apps"),
        "{explained}"
    );
    let resources = lab.kubectl(&["api-resources"]).ok();
    assert!(
        resources
            .lines()
            .any(|line| line.starts_with("deployments") && line.contains("apps/v1")),
        "{resources}"
    );
    assert_eq!(
        lab.kubectl(&["auth", "can-i", "create", "pods"]).ok().trim(),
        "yes"
    );
    let other = lab.kubectl(&["auth", "can-i", "create", "pods", "--as", "nobody"]);
    assert_eq!((other.code, other.stdout.trim()), (1, "no"));
}

fn applies_diffs_and_edits(lab: &TestLab) {
    let manifest = |value: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: edited}}\ndata: {{key: {value}, other: x}}\n"
        )
    };
    for way in [
        &["apply", "-f", "-"][..],
        &["apply", "--server-side", "--force-conflicts", "-f", "-"],
    ] {
        lab.kubectl_with_input(way, &manifest("one")).ok();
        let diff = lab.kubectl_with_input(&["diff", "-f", "-"], &manifest("two"));
        assert_eq!(diff.code, 1, "{}{}", diff.stdout, diff.stderr);
        assert!(
            diff.stdout.contains("-  key: one") && diff.stdout.contains("+  key: two"),
            "{}",
            diff.stdout
        );
        lab.kubectl_with_input(way, &manifest("two")).ok();
        assert_eq!(lab.get(&["configmap", "edited"])["data"]["key"], "two");
    }
    let editor = lab.scratch.path().join("editor");
    std::fs::write(&editor, "#!/bin/sh\nsed -i 's/key: two/key: three/' \"$1\"\n").expect("written");
    std::fs::set_permissions(&editor, PermissionsExt::from_mode(0o755)).expect("executable");
    run(
        lab.kubectl_command(&["edit", "configmap", "edited"])
            .env("EDITOR", &editor),
        None,
    )
    .ok();
    assert_eq!(lab.get(&["configmap", "edited"])["data"]["key"], "three");
    lab.kubectl(&["delete", "configmap", "edited"]).ok();
}

fn scales_and_rolls_out(lab: &TestLab) {
    lab.kubectl(&["scale", "deployment/web", "--replicas=6"]).ok();
    lab.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"])
        .ok();
    lab.kubectl(&["set", "env", "deployment/web", "ROUND=2"]).ok();
    lab.kubectl(&["rollout", "status", "deployment/web", "--timeout=90s"])
        .ok();
    let history = lab.kubectl(&["rollout", "history", "deployment/web"]).ok();
    assert!(history.contains('2'), "{history}");
    lab.kubectl(&["rollout", "undo", "deployment/web"]).ok();
    lab.kubectl(&["rollout", "status", "deployment/web", "--timeout=90s"])
        .ok();
    lab.kubectl(&["scale", "deployment/web", "--replicas=4"]).ok();
    lab.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"])
        .ok();
    until("four pods are left", Duration::from_secs(30), || {
        let count = lab.get(&["pods", "-l", "app=web"])["items"]
            .as_array()
            .map_or(0, Vec::len);
        if count == 4 {
            Ok(())
        } else {
            Err(format!("{count} pods"))
        }
    });
}

fn follows_logs(lab: &TestLab) {
    let script = "i=0; while true; do echo line $i; i=$((i+1)); /bin/busybox sleep 0.2; done";
    lab.kubectl(&[
        "run",
        "talker",
        "--image=hardway.local/busybox:sample",
        "--image-pull-policy=Never",
        "--restart=Never",
        "--command",
        "--",
        "/bin/busybox",
        "sh",
        "-c",
        script,
    ])
    .ok();
    lab.kubectl(&["wait", "--for=condition=Ready", "pod/talker", "--timeout=30s"])
        .ok();
    let mut child = lab
        .kubectl_command(&["logs", "-f", "talker"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("kubectl runs");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let seen: Vec<String> = lines.take(8).map(|line| line.expect("text")).collect();
    child.kill().expect("killed");
    child.wait().expect("reaped");
    assert_eq!(
        seen,
        (0..8).map(|number| format!("line {number}")).collect::<Vec<_>>()
    );
    let tail = lab.kubectl(&["logs", "--tail=1", "talker"]).ok();
    assert_eq!(tail.lines().count(), 1, "{tail}");
}

fn runs_a_shell_on_a_terminal(lab: &TestLab) {
    let said = lab
        .kubectl_with_input(
            &["exec", "-i", "talker", "--", "/bin/busybox", "cat"],
            "through and back\n",
        )
        .ok();
    assert_eq!(said, "through and back\n");
    // script(1) gives kubectl a terminal.
    let command = format!(
        "kubectl --kubeconfig {} exec -it talker -- /bin/busybox sh -c 'test -t 0 && echo on a terminal; exit 7'",
        lab.kubeconfig().display()
    );
    let mut shell = lab.command("script");
    let finished = run(shell.args(["-qec", &command, "/dev/null"]), None);
    assert!(finished.stdout.contains("on a terminal"), "{finished:?}");
    assert_eq!(finished.code, 7, "the exit code of the command: {finished:?}");
}

fn forwards_a_port(lab: &TestLab) {
    let mut child = lab
        .kubectl_command(&["port-forward", "service/web", ":80"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("kubectl runs");
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("piped"))
        .read_line(&mut line)
        .expect("a line");
    let port = line
        .trim_start_matches("Forwarding from 127.0.0.1:")
        .split(' ')
        .next()
        .unwrap_or_default()
        .to_owned();
    for _ in 0..3 {
        let url = format!("http://127.0.0.1:{port}/index.html");
        let answer = run(lab.command("curl").args(["-fsS", "-m", "5", &url]), None).ok();
        assert_eq!(answer.trim(), "hello from hardway", "{line}");
    }
    child.kill().expect("killed");
    child.wait().expect("reaped");
    let mut rest = String::new();
    child
        .stdout
        .take()
        .expect("piped")
        .read_to_string(&mut rest)
        .expect("text");
}

fn deletes_and_waits(lab: &TestLab) {
    lab.kubectl(&["delete", "pod", "talker", "--wait=false", "--grace-period=1"])
        .ok();
    lab.kubectl(&["wait", "--for=delete", "pod/talker", "--timeout=30s"])
        .ok();
    lab.kubectl(&["create", "namespace", "short-lived"]).ok();
    lab.kubectl(&[
        "-n",
        "short-lived",
        "create",
        "configmap",
        "x",
        "--from-literal=a=b",
    ])
    .ok();
    lab.kubectl(&["delete", "namespace", "short-lived", "--timeout=60s"])
        .ok();
    assert_ne!(lab.kubectl(&["get", "namespace", "short-lived"]).code, 0);
}
