//! Every command as it is typed: its help, its misuse, and an inventory that is not there.

#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

use serde_json::Value;

/// The words of every command that has none below it.
fn commands() -> Vec<Vec<String>> {
    fn below(command: &clap::Command, words: &[String], found: &mut Vec<Vec<String>>) {
        let mut nested = command
            .get_subcommands()
            .filter(|inner| inner.get_name() != "help")
            .peekable();
        if nested.peek().is_none() {
            found.push(words.to_vec());
        }
        for inner in nested {
            let mut words = words.to_vec();
            words.push(inner.get_name().to_owned());
            below(inner, &words, found);
        }
    }
    let mut found = Vec::new();
    below(&provisioner::cli::command(), &[], &mut found);
    assert!(found.len() > 40, "{found:?}");
    found
}

fn hardway(words: &[String], more: &[&str]) -> Output {
    let empty = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_hardway"))
        .args(words)
        .args(more)
        .current_dir(empty.path())
        .output()
        .unwrap()
}

#[test]
fn every_command_explains_itself() {
    for words in commands() {
        let output = hardway(&words, &["--help"]);
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(&format!("hardway {}", words.join(" "))), "{text}");
    }
}

#[test]
fn misuse_is_told_as_json_where_json_is_asked_for() {
    for words in commands() {
        let output = hardway(&words, &["--json", "--no-such-option"]);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        let event: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(event["event"], "failed", "{words:?}");
        let text = event["text"].as_str().unwrap();
        assert!(
            text.contains("--no-such-option") && !text.starts_with("error: "),
            "{event}"
        );
        let plain = hardway(&words, &["--no-such-option"]);
        assert_eq!(
            (plain.status.code(), plain.stdout.len()),
            (Some(2), 0),
            "{words:?}"
        );
        assert!(String::from_utf8_lossy(&plain.stderr).starts_with("error: "));
    }
}

#[test]
fn an_inventory_that_is_not_there_is_named() {
    for words in [
        &["bootstrap"][..],
        &["plan"],
        &["upgrade", "--to", "next"],
        &["rollback"],
        &["history"],
        &["kubeconfig"],
        &["status"],
        &["certs", "list"],
        &["certs", "rotate"],
        &["etcd", "status"],
        &["etcd", "snapshot"],
        &["node", "join", "worker-1"],
        &["node", "drain", "worker-1"],
        &["verify"],
        &["smoke"],
        &["render", "--out", "out"],
        &["explain", "config/kube-proxy.yaml"],
        &["reset", "--yes"],
        &["trust"],
    ] {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let output = hardway(&words, &["--json", "--inventory", "nowhere.toml"]);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        let event: Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = event["text"].as_str().unwrap();
        assert!(
            text.starts_with("nowhere.toml: cannot be read") && text.contains("--inventory"),
            "{words:?}: {text}"
        );
    }
}
