//! kubectl: every kind, with the commands that people type.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use anyhow::{Context, Result, bail, ensure};
use clients::sample::{self, Sample};
use clients::server;
use serde_json::{Value, json};
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
            // Debian's kubectl is built with the defaults of an older Go, which offers no post-quantum keys.
            .env("GODEBUG", "tlsmlkem=1")
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

const PATCHES: [(&str, &str); 3] = [
    (
        "json",
        r#"[{"op":"add","path":"/metadata/labels","value":{"json":"yes"}}]"#,
    ),
    ("merge", r#"{"metadata":{"labels":{"merge":"yes"}}}"#),
    ("strategic", r#"{"metadata":{"labels":{"strategic":"yes"}}}"#),
];

/// The commands take all kinds at once: a process for each kind and command would only measure kubectl's start.
#[tokio::test(flavor = "multi_thread")]
async fn every_kind_lives_through_the_commands() {
    let running = server::start().await.unwrap();
    let kubectl = Kubectl {
        kubeconfig: running.api.kubeconfig("admin", &["system:masters"]).unwrap(),
        home: tempfile::tempdir().unwrap(),
    };
    let samples = sample::all().unwrap();
    let manifest = json!({
        "apiVersion": "v1", "kind": "List",
        "items": samples.iter().map(|sample| &sample.0).collect::<Vec<_>>(),
    })
    .to_string();
    life(&kubectl, &samples, &manifest).unwrap();
    explain(&kubectl, &samples).unwrap();
    leave(&kubectl, &samples, &manifest).unwrap();
}

fn life(kubectl: &Kubectl, samples: &[Sample], manifest: &str) -> Result<()> {
    let created = kubectl.run(&["create", "-f", "-", "-o", "name"], manifest)?;
    ensure!(created.lines().count() == samples.len(), "created: {created}");
    kubectl.run(&["get", "-f", "-"], manifest)?;
    let wide = kubectl.run(&["get", "-f", "-", "-o", "wide", "--show-labels"], manifest)?;
    for sample in samples {
        ensure!(
            wide.contains(sample.name()),
            "{} {} is not shown: {wide}",
            sample.kind(),
            sample.name()
        );
    }
    kubectl.run(&["describe", "-f", "-"], manifest)?;
    for (kind, patch) in PATCHES {
        kubectl.run(&["patch", "-f", "-", "--type", kind, "-p", patch], manifest)?;
    }
    kubectl.run(&["annotate", "-f", "-", "note=yes"], manifest)?;
    // Client-side apply onto what create made, then server-side apply, which takes the fields over.
    kubectl.run(&["apply", "-f", "-"], manifest)?;
    kubectl.run(
        &["apply", "--server-side", "--force-conflicts", "-f", "-"],
        manifest,
    )?;
    let differences = kubectl.run(&["diff", "-f", "-"], manifest)?;
    ensure!(differences.is_empty(), "what was applied differs: {differences}");
    let all: Value = serde_json::from_str(&kubectl.run(&["get", "-f", "-", "-o", "json"], manifest)?)?;
    let items = all["items"].as_array().context("a list")?;
    ensure!(
        items.len() == samples.len(),
        "{} of {} are left",
        items.len(),
        samples.len()
    );
    for item in items {
        for (kind, _) in PATCHES {
            ensure!(
                item["metadata"]["labels"][kind] == "yes",
                "the {kind} patch is lost: {item}"
            );
        }
    }
    Ok(())
}

fn explain(kubectl: &Kubectl, samples: &[Sample]) -> Result<()> {
    // One kind of each group and version: they share a document.
    let mut seen = std::collections::BTreeSet::new();
    for sample in samples.iter().filter(|sample| seen.insert(sample.api_version())) {
        let (kind, version) = (sample.kind().to_lowercase(), sample.api_version());
        let explained = kubectl.run(&["explain", &kind, "--api-version", version], "")?;
        ensure!(
            explained.contains(&format!("KIND:       {}", sample.kind())) && explained.contains("metadata"),
            "{explained}"
        );
    }
    Ok(())
}

/// Deletes all of them, and takes over the controllers' part for those that finalizers hold.
fn leave(kubectl: &Kubectl, samples: &[Sample], manifest: &str) -> Result<()> {
    let deleted = kubectl.run(&["delete", "-f", "-", "--wait=false"], manifest)?;
    ensure!(deleted.lines().count() >= samples.len(), "deleted: {deleted}");
    let left = kubectl.run(&["get", "-f", "-", "-o", "json", "--ignore-not-found"], manifest)?;
    let left: Value = if left.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(&left)?
    };
    for held in left["items"].as_array().into_iter().flatten() {
        ensure!(
            held["metadata"]["deletionTimestamp"].is_string(),
            "not being deleted: {held}"
        );
        let mut released = held.clone();
        if held["kind"] == "Namespace" {
            released["spec"]["finalizers"] = json!([]);
            let name = held["metadata"]["name"].as_str().context("a name")?;
            let path = format!("/api/v1/namespaces/{name}/finalize");
            kubectl.run(&["replace", "--raw", &path, "-f", "-"], &released.to_string())?;
        } else {
            let free = r#"{"metadata":{"finalizers":null}}"#;
            kubectl.run(
                &["patch", "-f", "-", "--type", "merge", "-p", free],
                &held.to_string(),
            )?;
        }
    }
    let left = kubectl.run(&["get", "-f", "-", "-o", "name", "--ignore-not-found"], manifest)?;
    ensure!(left.is_empty(), "left: {left}");
    Ok(())
}

/// Go's implementation of these groups is the other end.
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_exchanged_in_each_group() {
    for group in ["4588", "29", "23", "24", "25"] {
        let running = server::start_with(&[&format!("--tls-curve-preferences={group}")])
            .await
            .unwrap();
        let kubectl = Kubectl {
            kubeconfig: running.api.kubeconfig("admin", &["system:masters"]).unwrap(),
            home: tempfile::tempdir().unwrap(),
        };
        let told = kubectl.run(&["get", "--raw", "/readyz"], "").unwrap();
        assert_eq!(told, "ok", "{group}");
    }
}

/// Between what kubectl keeps in an annotation and what the server keeps in managedFields.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_goes_over_to_server_side_apply_and_back() {
    let running = server::start().await.unwrap();
    let kubectl = Kubectl {
        kubeconfig: running.api.kubeconfig("admin", &["system:masters"]).unwrap(),
        home: tempfile::tempdir().unwrap(),
    };
    let manifest = |image: &str, replicas: Option<u32>| {
        let mut manifest = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
            "spec": {
                "selector": {"matchLabels": {"app": "web"}},
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {"containers": [{"name": "c", "image": image}]},
                },
            },
        });
        if let Some(replicas) = replicas {
            manifest["spec"]["replicas"] = replicas.into();
        }
        manifest.to_string()
    };
    let stored = || -> Value {
        let text = kubectl
            .run(&["get", "deployment", "web", "-o", "json"], "")
            .unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let last_applied = |object: &Value| -> Value {
        let text = &object["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"];
        serde_json::from_str(text.as_str().unwrap()).unwrap()
    };
    let server_side = ["apply", "--server-side", "-f", "-"];
    kubectl
        .run(&["apply", "-f", "-"], &manifest("i:1", Some(2)))
        .unwrap();
    // Unchanged since it was applied on the client's side: no conflict.
    kubectl.run(&server_side, &manifest("i:2", Some(2))).unwrap();
    let wanted: Value = serde_json::from_str(&manifest("i:2", Some(2))).unwrap();
    assert_eq!(last_applied(&stored()), wanted);

    kubectl
        .run(&["scale", "deployment", "web", "--replicas", "5"], "")
        .unwrap();
    let error = kubectl
        .run(&server_side, &manifest("i:3", Some(2)))
        .unwrap_err()
        .to_string();
    assert!(error.contains("Apply failed with 1 conflict"), "{error}");
    assert!(error.contains(".spec.replicas"), "{error}");
    kubectl.run(&server_side, &manifest("i:3", None)).unwrap();
    kubectl
        .run(&["apply", "-f", "-"], &manifest("i:4", None))
        .unwrap();
    let after = stored();
    assert_eq!(after["spec"]["replicas"], 5);
    assert_eq!(after["spec"]["template"]["spec"]["containers"][0]["image"], "i:4");
    let wanted: Value = serde_json::from_str(&manifest("i:4", None)).unwrap();
    let mut kept = last_applied(&after);
    kept["metadata"].as_object_mut().unwrap().remove("annotations");
    assert_eq!(kept, wanted);
    // With its status and all else that the server says of it.
    let mut whole = after.clone();
    whole["metadata"].as_object_mut().unwrap().remove("managedFields");
    whole["status"] = json!({"replicas": 7});
    let dumped = ["apply", "--server-side", "--field-manager", "backup", "-f", "-"];
    kubectl.run(&dumped, &whole.to_string()).unwrap();
    assert_ne!(stored()["status"]["replicas"], 7);
}
