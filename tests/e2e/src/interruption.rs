//! `hardway`, killed or cut off in the middle of what it does.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::TestLab;
use crate::command::run;

impl TestLab {
    /// Runs `hardway` and kills it (SIGKILL) at the `nth` phase after the first whose name begins with `begins`. False
    /// when it got through before.
    pub fn kill_in(&self, arguments: &[&str], begins: &str, nth: usize) -> bool {
        let mut left = None;
        self.kill_when(arguments, |event| {
            if event["event"] != "phase" {
                return false;
            }
            let phase = event["phase"].as_str().unwrap_or_default();
            if left.is_none() && phase.starts_with(begins) {
                left = Some(nth);
            } else if let Some(count) = left.as_mut().filter(|count| **count > 0) {
                *count -= 1;
            } else if left.is_some() {
                return true;
            }
            false
        })
    }

    /// Runs `hardway` to its end, with all its events; `seen` is called with each, while it goes on.
    pub fn hardway_watched(&self, arguments: &[&str], mut seen: impl FnMut(&Value)) -> (i32, Vec<Value>) {
        let mut child = self
            .hardway_command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("hardway runs");
        let mut events = Vec::new();
        for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
            let line = line.expect("text");
            let event = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            seen(&event);
            events.push(event);
        }
        let status = child.wait().expect("ended");
        (status.code().unwrap_or(-1), events)
    }

    /// Runs `hardway` and kills it (SIGKILL) at the first event for which `is_time` is true. False when it got through
    /// before.
    pub fn kill_when(&self, arguments: &[&str], mut is_time: impl FnMut(&Value) -> bool) -> bool {
        let mut child = self
            .hardway_command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("hardway runs");
        let mut last = String::new();
        for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
            let Ok(line) = line else { break };
            let Ok(event) = serde_json::from_str::<Value>(&line) else {
                panic!("not JSON: {line}")
            };
            let now = is_time(&event);
            if !now {
                last = line;
                continue;
            }
            println!("killed at {line}");
            run(
                Command::new("kill").args(["-KILL", &child.id().to_string()]),
                None,
            )
            .ok();
            child.wait().expect("ended");
            return true;
        }
        let output = child.wait_with_output().expect("ended");
        assert!(
            output.status.success(),
            "it failed: {last}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        false
    }
}
