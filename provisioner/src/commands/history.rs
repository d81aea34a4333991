use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;

use super::{Context, Outcome};
use crate::fleet::Fleet;
use crate::plan::Scope;
use crate::state::Event;
use crate::state::journal::{Ending, Entry};

/// Show which generations hosts were on and are kept, and what was done to the cluster from here.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    scope: Scope,
}

/// One switch of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct Switch {
    time: String,
    generation: u64,
    release: String,
    cause: String,
    /// It can be gone back to.
    kept: bool,
    current: bool,
}

const SCRIPT: &str = "cd /etc/hardway 2>/dev/null || exit 0; tail -n 50 history 2>/dev/null | sed 's/^/switch /'; \
                      for kept in generations/[0-9]*; do [ -d \"$kept\" ] && echo \"kept ${kept##*/}\"; done; \
                      current=$(readlink current) && echo \"current ${current##*/}\"; true";

impl Arguments {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        let inventory = context.inventory()?;
        self.scope.check(&inventory)?;
        let state = context.peek();
        let operations = operations(&state.entries()?);
        let (fleet, unreachable) = Fleet::connect_reachable(&inventory, &state, &context.ui)?;
        let hosts = fleet.each(
            "history",
            |host| self.scope.covers(host),
            |_, connection| Ok(parse(&connection.script("reading the history", SCRIPT)?)),
        )?;
        let mut text = String::new();
        for (host, switches) in &hosts {
            text.push_str(&format!("{host}\n"));
            for switch in switches {
                let mark = if switch.current {
                    "*"
                } else if switch.kept {
                    "+"
                } else {
                    " "
                };
                text.push_str(&format!(
                    " {mark} {:<4} {:<21} {:<13} {}\n",
                    switch.generation,
                    switch.time,
                    switch.release.get(..12).unwrap_or(&switch.release),
                    switch.cause
                ));
            }
        }
        text.push_str("operator\n");
        for (time, what) in &operations {
            text.push_str(&format!("   {time:<21} {what}\n"));
        }
        text.push_str("* current, + kept and can be gone back to\n");
        for failure in &unreachable {
            text.push_str(&format!("{}: unreachable: {}\n", failure.host, failure.reason));
        }
        let operations: Vec<_> = operations
            .iter()
            .map(|(time, what)| json!({ "time": time, "what": what }))
            .collect();
        context.answer(&json!({ "hosts": hosts, "operations": operations }), &text);
        Ok(Outcome::Done)
    }
}

/// Reads the script's answer, oldest switch first.
fn parse(text: &str) -> Vec<Switch> {
    let mut switches: Vec<Switch> = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["switch", time, generation, release, cause] => switches.push(Switch {
                time: (*time).to_owned(),
                generation: generation.parse().unwrap_or_default(),
                release: (*release).to_owned(),
                cause: (*cause).to_owned(),
                ..Switch::default()
            }),
            ["kept", number] => mark(&mut switches, number, |switch| switch.kept = true),
            ["current", number] => mark(&mut switches, number, |switch| switch.current = true),
            _ => {}
        }
    }
    switches
}

/// The last switch to a generation is the one that counts.
fn mark(switches: &mut [Switch], number: &str, set: impl Fn(&mut Switch)) {
    let found = switches
        .iter_mut()
        .rev()
        .find(|switch| Ok(switch.generation) == number.parse::<u64>());
    if let Some(switch) = found {
        set(switch);
    }
}

/// What was begun from here, and how it ended.
fn operations(entries: &[Entry]) -> Vec<(String, String)> {
    let mut endings = BTreeMap::new();
    for entry in entries {
        if let Event::End { operation, outcome } = &entry.event {
            endings.insert(operation.as_str(), *outcome);
        }
    }
    let mut found = Vec::new();
    for entry in entries {
        if let Event::Begin {
            operation, command, ..
        } = &entry.event
        {
            let ending = match endings.get(operation.as_str()) {
                Some(Ending::Done) => "done",
                Some(Ending::Abandoned) => "given up",
                None => "not finished",
            };
            found.push((format!("{:.0}", entry.time), format!("{command}: {ending}")));
        }
    }
    found.split_off(found.len().saturating_sub(50))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_switch_to_a_generation_counts() {
        let text = "switch T1 1 abc bootstrap\nswitch T2 2 def apply\nswitch T3 1 abc rollback\nnonsense\n\
                    kept 1\nkept 2\ncurrent 1\n";
        let found: Vec<(u64, bool, bool)> = parse(text)
            .iter()
            .map(|switch| (switch.generation, switch.kept, switch.current))
            .collect();
        assert_eq!(found, [(1, false, false), (2, true, false), (1, true, true)]);
    }
}
