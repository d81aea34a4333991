use std::fs::OpenOptions;
use std::io::{BufRead, IsTerminal, Write};

use anyhow::Context as _;
use serde_json::json;

use super::{Context, Outcome};
use crate::fleet;
use crate::inventory::{Host, Inventory};
use crate::ssh::{HostKey, UntrustedKey, entry_name, fetch_host_key};
use crate::state::State;

/// Show the host keys of hosts that are not known yet and record them.
#[derive(clap::Args)]
pub struct Arguments {
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

impl Arguments {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        let (inventory, state) = (context.inventory()?, context.open("trust")?);
        run(&inventory, &state, context, self.yes).map(|()| Outcome::Done)
    }
}

/// Records the keys of hosts that are not known yet. A key that changed is refused, never replaced.
fn run(inventory: &Inventory, state: &State, context: &Context, yes: bool) -> anyhow::Result<()> {
    let mut unknown: Vec<(&Host, HostKey)> = Vec::new();
    let mut problems = Vec::new();
    let mut answers = Vec::new();
    let mut tell = |host: &Host, key: &HostKey, what: &str| {
        answers.push(json!({
            "host": host.name, "algorithm": key.algorithm, "fingerprint": key.fingerprint(), "state": what,
        }));
        // They are to be compared before the question is asked.
        if !context.json {
            context.ui.print(&line(host, key, what));
        }
    };
    for host in &inventory.hosts {
        let target = fleet::target(inventory, state, host)?;
        let key = match fetch_host_key(&target) {
            Ok(key) => key,
            Err(error) => {
                problems.push(format!("{}: {error}", host.name));
                continue;
            }
        };
        match target.trust.check(&target.host, target.settings.port, &key) {
            Ok(()) => tell(host, &key, "known"),
            Err(UntrustedKey::Unknown { .. }) => {
                tell(host, &key, "new");
                unknown.push((host, key));
            }
            Err(error) => problems.push(format!("{}: {error}", host.name)),
        }
    }
    let mut text = String::new();
    let records = !unknown.is_empty() && (yes || confirm()?);
    if records {
        record(state, &unknown)?;
        text = format!(
            "{} keys recorded in {}\n",
            unknown.len(),
            state.known_hosts().display()
        );
    }
    context.answer(&json!({ "keys": answers, "recorded": records }), &text);
    anyhow::ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
}

fn line(host: &Host, key: &HostKey, what: &str) -> String {
    format!(
        "{:<16} {} {} {what}\n",
        host.name,
        key.algorithm,
        key.fingerprint()
    )
}

fn confirm() -> anyhow::Result<bool> {
    anyhow::ensure!(
        std::io::stdin().is_terminal(),
        "compare the new fingerprints with the hosts' own (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then \
         confirm with --yes"
    );
    eprint!("Compare the new fingerprints with the hosts' own. Record them? [y/N] ");
    std::io::stderr().flush().context("cannot ask")?;
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .context("cannot read the answer")?;
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}

fn record(state: &State, keys: &[(&Host, HostKey)]) -> anyhow::Result<()> {
    let path = state.known_hosts();
    let mut lines = String::new();
    for (host, key) in keys {
        lines.push_str(&format!(
            "{} {}\n",
            entry_name(&host.address.to_string(), host.ssh.port),
            key.line()
        ));
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .and_then(|mut file| file.write_all(lines.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}
