//! exec, attach, cp and port-forward, over both protocols that clients speak, with kubectl, kube-rs and the Python client.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use e2e::{Finished, TestLab, run};

/// kubectl asks for WebSockets and falls back to SPDY; with these it speaks SPDY at once, as clients before v1.30.
const SPDY: [(&str, &str); 2] = [
    ("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false"),
    ("KUBECTL_PORT_FORWARD_WEBSOCKETS", "false"),
];

const POD: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: streams}
spec:
  restartPolicy: Never
  containers:
  - name: listener
    image: hardway.local/busybox:sample
    imagePullPolicy: Never
    stdin: true
    command: [/bin/busybox, sh, -c, "while read line; do echo heard $line; done; /bin/busybox sleep 3600"]
  - name: web
    image: hardway.local/busybox:sample
    imagePullPolicy: Never
    command: [/bin/busybox, sh, -c, "/bin/busybox mkdir -p /www; echo streamed > /www/index.html; exec /bin/busybox httpd -f -p 8080 -h /www"]
"#;

pub(crate) fn reach_pods_by_every_client(lab: &TestLab) {
    lab.kubectl_with_input(&["apply", "-f", "-"], POD).ok();
    lab.kubectl(&["wait", "--for=condition=Ready", "pod/streams", "--timeout=60s"])
        .ok();
    for protocol in [&[][..], &SPDY] {
        runs_commands(lab, protocol);
        attaches(lab, protocol);
        copies(lab, protocol);
        forwards(lab, protocol);
    }
    let python = std::env::var("HARDWAY_PYTHON").expect("HARDWAY_PYTHON, as `make e2e` sets it");
    let script = e2e::own_folder().join("tests/cluster/streams.py");
    let mut command = lab.command(python);
    command.arg(script).arg(lab.kubeconfig()).arg("streams");
    assert_eq!(run(&mut command, None).ok().trim(), "python streams");
    lab.kubectl(&["delete", "pod", "streams", "--grace-period=1"])
        .ok();
}

fn kubectl(lab: &TestLab, protocol: &[(&str, &str)], arguments: &[&str]) -> Command {
    let mut command = lab.kubectl_command(arguments);
    command.envs(protocol.iter().copied());
    command
}

fn shell(lab: &TestLab, protocol: &[(&str, &str)], script: &str, input: &[u8]) -> Finished {
    let arguments = [
        "exec",
        "-i",
        "streams",
        "-c",
        "web",
        "--",
        "/bin/busybox",
        "sh",
        "-c",
        script,
    ];
    run(&mut kubectl(lab, protocol, &arguments), Some(input))
}

fn runs_commands(lab: &TestLab, protocol: &[(&str, &str)]) {
    let said = shell(
        lab,
        protocol,
        "/bin/busybox cat; echo aside >&2; exit 7",
        b"through and back\n",
    );
    assert_eq!(
        (said.stdout.as_str(), said.code),
        ("through and back\n", 7),
        "{protocol:?} {said:?}"
    );
    assert!(said.stderr.contains("aside\n"), "{protocol:?} {said:?}");
    // Much in both directions, while the other end of the pipe is slow.
    let much = "0123456789abcdef\n".repeat(200_000);
    let back = shell(
        lab,
        protocol,
        "/bin/busybox sleep 1; /bin/busybox cat",
        much.as_bytes(),
    )
    .ok();
    assert_eq!(back.len(), much.len(), "{protocol:?}");
    assert!(back == much, "{protocol:?}: the same bytes");
    let missing = run(
        &mut kubectl(lab, protocol, &["exec", "streams", "-c", "web", "--", "/no/such"]),
        None,
    );
    assert!(
        missing.code != 0 && missing.stderr.contains("/no/such"),
        "{protocol:?} {missing:?}"
    );
}

fn attaches(lab: &TestLab, protocol: &[(&str, &str)]) {
    let mut child = kubectl(lab, protocol, &["attach", "-i", "streams", "-c", "listener"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("kubectl runs");
    let mut input = child.stdin.take().expect("piped");
    input.write_all(b"somebody\n").expect("written");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let heard = lines.find_map(|line| line.ok().filter(|line| line.starts_with("heard")));
    assert_eq!(heard.as_deref(), Some("heard somebody"), "{protocol:?}");
    child.kill().expect("killed");
    child.wait().expect("reaped");
}

fn copies(lab: &TestLab, protocol: &[(&str, &str)]) {
    let folder = lab.scratch.path();
    let bytes: Vec<u8> = (0..3_000_000u32)
        .map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    std::fs::write(folder.join("there"), &bytes).expect("written");
    let at = |name: &str| folder.join(name).display().to_string();
    // The image has no tar of its own; busybox is one under that name.
    shell(lab, protocol, "/bin/busybox ln -sf /bin/busybox /bin/tar", b"").ok();
    for (from, to) in [
        (at("there"), "streams:/copied".to_owned()),
        ("streams:/copied".to_owned(), at("back")),
    ] {
        run(
            &mut kubectl(lab, protocol, &["cp", "-c", "web", &from, &to]),
            None,
        )
        .ok();
    }
    let back = std::fs::read(folder.join("back")).expect("copied");
    assert!(
        back == bytes,
        "{protocol:?}: {} of {} bytes",
        back.len(),
        bytes.len()
    );
    std::fs::remove_file(folder.join("back")).expect("removed");
}

fn forwards(lab: &TestLab, protocol: &[(&str, &str)]) {
    let mut child = kubectl(lab, protocol, &["port-forward", "pod/streams", ":8080"])
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
        .unwrap_or_default();
    let url = format!("http://127.0.0.1:{port}/index.html");
    for _ in 0..5 {
        let answer = run(lab.command("curl").args(["-fsS", "-m", "5", &url]), None).ok();
        assert_eq!(answer, "streamed\n", "{protocol:?} {line}");
    }
    child.kill().expect("killed");
    child.wait().expect("reaped");
}
