use std::collections::BTreeSet;

use serde_json::Value;

use super::State;
use super::journal::{Ending, Entry, Event};

/// Something that changes the cluster, from its beginning to its end, across several runs of the program.
///
/// ```ignore
/// let rotation = state.operation("certs rotate", &input)?; // goes on where the last run stopped
/// rotation.step("trust both", || ...)?;                      // passed over when an earlier run did it
/// rotation.finish()?;
/// ```
pub struct Operation<'s> {
    state: &'s State,
    id: String,
    command: String,
    done: BTreeSet<String>,
    resumed: bool,
}

/// An operation that was begun and neither finished nor given up.
#[derive(Clone, Debug, PartialEq)]
pub struct Unfinished {
    pub id: String,
    pub command: String,
    pub input: Value,
    pub done: BTreeSet<String>,
    pub begun: jiff::Timestamp,
}

/// Another staged operation has to be finished first.
#[derive(Debug, thiserror::Error)]
#[error("hardway {command}, begun {begun:.0}, is not finished; {remedy}")]
pub struct InTheWay {
    pub command: String,
    begun: jiff::Timestamp,
    remedy: String,
}

/// The staged operation that a journal leaves open.
pub fn unfinished(entries: &[Entry]) -> Option<Unfinished> {
    let mut open: Option<Unfinished> = None;
    for entry in entries {
        match &entry.event {
            Event::Begin {
                operation,
                command,
                input,
                staged: true,
            } => {
                open = Some(Unfinished {
                    id: operation.clone(),
                    command: command.clone(),
                    input: input.clone(),
                    done: BTreeSet::new(),
                    begun: entry.time,
                })
            }
            Event::Step { operation, step } => {
                if let Some(open) = open.as_mut().filter(|open| open.id == *operation) {
                    open.done.insert(step.clone());
                }
            }
            Event::End { operation, .. } if open.as_ref().is_some_and(|open| open.id == *operation) => {
                open = None
            }
            _ => {}
        }
    }
    open
}

impl State {
    /// The staged operation that an earlier run left open.
    pub fn unfinished(&self) -> anyhow::Result<Option<Unfinished>> {
        Ok(unfinished(&self.entries()?))
    }

    /// Begins a staged operation, or goes on with the same one; refuses while another is open.
    pub fn operation(&self, command: &str, input: &Value) -> anyhow::Result<Operation<'_>> {
        if let Some(open) = self.unfinished()? {
            if open.command == command && open.input == *input {
                return Ok(self.resume(open));
            }
            return Err(in_the_way(&open, command).into());
        }
        self.begin(command, input, true)
    }

    /// Goes on with an operation that was left open.
    pub fn resume(&self, open: Unfinished) -> Operation<'_> {
        Operation {
            state: self,
            id: open.id,
            command: open.command,
            done: open.done,
            resumed: true,
        }
    }

    /// Begins an operation that finds out from the hosts where to go on, such as bootstrap.
    pub fn simple_operation(&self, command: &str, input: &Value) -> anyhow::Result<Operation<'_>> {
        self.begin(command, input, false)
    }

    fn begin(&self, command: &str, input: &Value, staged: bool) -> anyhow::Result<Operation<'_>> {
        // What cannot be read is told before anything is begun.
        self.record()?;
        let id = format!("{:016x}", rand::random::<u64>());
        self.journal(Event::Begin {
            operation: id.clone(),
            command: command.to_owned(),
            input: input.clone(),
            staged,
        })?;
        Ok(Operation {
            state: self,
            id,
            command: command.to_owned(),
            done: BTreeSet::new(),
            resumed: false,
        })
    }
}

fn in_the_way(open: &Unfinished, command: &str) -> InTheWay {
    let remedy = if open.command == command {
        format!(
            "it was asked for {}: finish it with the same arguments, or give it up with --abort",
            open.input
        )
    } else {
        "run it again to finish it, or with --abort to give it up".to_owned()
    };
    InTheWay {
        command: open.command.clone(),
        begun: open.begun,
        remedy,
    }
}

impl Operation<'_> {
    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn command(&self) -> &str {
        &self.command
    }

    /// True when an earlier run began it.
    pub fn is_resumed(&self) -> bool {
        self.resumed
    }

    pub fn is_done(&self, step: &str) -> bool {
        self.done.contains(step)
    }

    /// Does a step unless an earlier run did it; a step that was cut off is done again, so it must be repeatable.
    pub fn step(&mut self, name: &str, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        if self.is_done(name) {
            return Ok(());
        }
        self.state.check_lock()?;
        work()?;
        self.state.journal(Event::Step {
            operation: self.id.clone(),
            step: name.to_owned(),
        })?;
        self.done.insert(name.to_owned());
        Ok(())
    }

    pub fn finish(self) -> anyhow::Result<()> {
        self.end(Ending::Done)
    }

    /// Records that the operator gave it up; what it did has been taken back.
    pub fn abandon(self) -> anyhow::Result<()> {
        self.end(Ending::Abandoned)
    }

    fn end(self, outcome: Ending) -> anyhow::Result<()> {
        self.state.journal(Event::End {
            operation: self.id.clone(),
            outcome,
        })?;
        self.state.compact_journal()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn state(folder: &std::path::Path) -> State {
        State::open(&folder.join("hosts.toml"), "test", &Default::default()).unwrap()
    }

    #[test]
    fn a_second_run_does_only_what_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let state = state(folder.path());
        let input = json!({ "ca": "etcd" });
        let mut first = state.operation("certs rotate", &input).unwrap();
        first.step("trust both", || Ok(())).unwrap();
        assert!(first.step("issue", || anyhow::bail!("cut")).is_err());
        drop(first);
        // Runs that find out from the hosts where to go on are not in the way, and not stopped.
        state
            .simple_operation("bootstrap", &json!({}))
            .unwrap()
            .finish()
            .unwrap();
        assert!(state.operation("upgrade", &json!({})).is_err());
        assert!(state.operation("certs rotate", &json!({ "ca": "all" })).is_err());
        let mut second = state.operation("certs rotate", &input).unwrap();
        assert!(second.is_resumed() && second.is_done("trust both"));
        second.step("trust both", || anyhow::bail!("done twice")).unwrap();
        second.step("issue", || Ok(())).unwrap();
        second.finish().unwrap();
        let third = state.operation("upgrade", &json!({})).unwrap();
        assert!(!third.is_resumed());
        third.abandon().unwrap();
        assert_eq!(state.unfinished().unwrap(), None);
    }
}
