//! kubectl: every kind, with the commands that people type.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use anyhow::{Context, Result, bail, ensure};
use clients::sample::{self, Sample};
use clients::server;
use serde_json::Value;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

struct Kubectl {
    kubeconfig: PathBuf,
    home: tempfile::TempDir,
}

impl Kubectl {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", self.home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Standard output; the error holds what kubectl said.
    fn run(&self, arguments: &[&str], input: &str) -> Result<String> {
        let mut child = self.command(arguments).spawn().context("kubectl starts")?;
        child.stdin.take().context("stdin")?.write_all(input.as_bytes())?;
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!(
                "kubectl {}: {}",
                arguments.join(" "),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_lives_through_the_commands() {
    let running = server::start().await.unwrap();
    let kubectl = Kubectl {
        kubeconfig: running.api.kubeconfig("admin", &["system:masters"]).unwrap(),
        home: tempfile::tempdir().unwrap(),
    };
    // The first command fetches discovery; the others find it cached.
    kubectl.run(&["api-resources"], "").unwrap();
    let mut failures = Vec::new();
    for sample in sample::all().unwrap() {
        if let Err(error) = life(&kubectl, &sample) {
            failures.push(format!("{} {}: {error:#}", sample.api_version(), sample.kind()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn life(kubectl: &Kubectl, sample: &Sample) -> Result<()> {
    let (group, version) = sample.group_version();
    let kind = match group {
        "" => sample.kind().to_owned(),
        _ => format!("{}.{version}.{group}", sample.kind()),
    };
    let target = format!("{kind}/{}", sample.name());
    let manifest = sample.0.to_string();
    let created = kubectl.run(&["create", "-f", "-", "-o", "json"], &manifest)?;
    let created: Value = serde_json::from_str(&created)?;
    ensure!(created["metadata"]["uid"].is_string(), "created without a uid");
    kubectl.run(&["get", &target], "")?;
    kubectl.run(&["get", &target, "-o", "wide"], "")?;
    let listed = kubectl.run(&["get", &kind, "-o", "name"], "")?;
    ensure!(
        listed
            .lines()
            .any(|line| line.ends_with(&format!("/{}", sample.name()))),
        "not listed: {listed}"
    );
    kubectl.run(&["describe", &target], "")?;
    for (kind_of_patch, patch) in [
        (
            "json",
            r#"[{"op":"add","path":"/metadata/labels","value":{"json":"yes"}}]"#,
        ),
        ("merge", r#"{"metadata":{"labels":{"merge":"yes"}}}"#),
        ("strategic", r#"{"metadata":{"labels":{"strategic":"yes"}}}"#),
    ] {
        kubectl.run(&["patch", &target, "--type", kind_of_patch, "-p", patch], "")?;
    }
    kubectl.run(&["annotate", &target, "note=yes"], "")?;
    // Client-side apply onto what create made, then server-side apply, which takes the fields over.
    kubectl.run(&["apply", "-f", "-"], &manifest)?;
    kubectl.run(
        &["apply", "--server-side", "--force-conflicts", "-f", "-"],
        &manifest,
    )?;
    kubectl.run(&["diff", "-f", "-"], &manifest)?;
    let explained = kubectl.run(
        &[
            "explain",
            &sample.kind().to_lowercase(),
            "--api-version",
            sample.api_version(),
        ],
        "",
    )?;
    ensure!(explained.contains(sample.kind()), "explain: {explained}");
    let labels = kubectl.run(&["get", &target, "-o", "jsonpath={.metadata.labels}"], "")?;
    for label in ["json", "merge", "strategic"] {
        ensure!(
            labels.contains(&format!("{label:?}:\"yes\"")),
            "the {label} patch is lost: {labels}"
        );
    }
    kubectl.run(&["delete", &target, "--wait=false"], "")?;
    let left = kubectl.run(&["get", &target, "-o", "json", "--ignore-not-found"], "")?;
    if left.is_empty() {
        return Ok(());
    }
    let mut left: Value = serde_json::from_str(&left)?;
    ensure!(
        left["metadata"]["deletionTimestamp"].is_string(),
        "still there, and not being deleted"
    );
    if sample.kind() == "Namespace" {
        left["spec"]["finalizers"] = serde_json::json!([]);
        let path = format!("/api/v1/namespaces/{}/finalize", sample.name());
        kubectl.run(&["replace", "--raw", &path, "-f", "-"], &left.to_string())?;
    } else {
        kubectl.run(
            &[
                "patch",
                &target,
                "--type",
                "merge",
                "-p",
                r#"{"metadata":{"finalizers":null}}"#,
            ],
            "",
        )?;
    }
    kubectl.run(&["wait", &target, "--for=delete", "--timeout=20s"], "")?;
    Ok(())
}
