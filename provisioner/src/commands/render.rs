use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context as _;
use serde_json::json;

use super::{Context, Outcome};
use crate::desired::{Desired, sha256};
use crate::explain::{Explanation, explain};
use crate::facts::Facts;
use crate::fleet::Fleet;
use crate::identities::{self, Secrets};
use crate::inventory::Inventory;
use crate::plan::Scope;
use crate::render::{Cluster, desired};
use crate::state::State;
use crate::survey;
use crate::templates::Templates;
use crate::{artifacts, bootstrap};

/// Write every artefact of every host into a folder, each with the reason why it exists.
#[derive(clap::Args)]
pub struct Arguments {
    /// The folder; made when it does not exist.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Write keys as well; without it a secret's place is taken by a line that says so.
    #[arg(long)]
    secrets: bool,
    /// Ask no host; suppose a Debian host with containerd 1.7.
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    scope: Scope,
}

impl Arguments {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        let inventory = context.inventory()?;
        self.scope.check(&inventory)?;
        let state = context.peek();
        let rendered = render_all(context, &inventory, &state, &self.scope, self.offline)?;
        let mut count = 0;
        for (host, desired) in &rendered.hosts {
            count += write_host(&self.out, host, desired, self.secrets)?;
        }
        for (name, text) in &rendered.objects {
            write(&self.out.join("cluster").join(name), text.as_bytes(), 0o644)?;
            count += 1;
        }
        let path = self.out.display().to_string();
        context.answer(
            &json!({ "out": path, "files": count }),
            &format!("{count} files in {path}; INDEX.md of each host says why they exist\n"),
        );
        Ok(Outcome::Done)
    }
}

/// What all hosts should hold.
pub struct Rendered {
    pub hosts: Vec<(String, Desired)>,
    /// Manifests that are applied through the API: (file name, YAML).
    pub objects: Vec<(String, String)>,
}

/// Renders the hosts of a scope with the facts of those that can be reached.
pub fn render_all(
    context: &Context,
    inventory: &Inventory,
    state: &State,
    scope: &Scope,
    offline: bool,
) -> anyhow::Result<Rendered> {
    let facts = if offline {
        Default::default()
    } else {
        let (fleet, unreachable) = Fleet::connect_reachable(inventory, state, &context.ui)?;
        for failure in &unreachable {
            context.ui.note(&format!(
                "{} cannot be asked and is supposed to be a Debian host: {}",
                failure.host, failure.reason
            ));
        }
        survey::ask(&fleet)?.0
    };
    let record = state.record()?;
    let release = artifacts::collect(survey::binaries(inventory, &record), state)?;
    let secrets: Secrets = identities::prepare(inventory, state, SystemTime::now(), true)?;
    let templates = Templates::load()?;
    let cluster = Cluster {
        inventory,
        secrets: &secrets,
        release: &release,
        templates: &templates,
        record: &record,
    };
    let supposed = supposed();
    let mut hosts = Vec::new();
    for host in inventory.hosts.iter().filter(|host| scope.covers(host)) {
        let facts = facts.get(&host.name).unwrap_or(&supposed);
        let desired = desired(&cluster, host, facts).with_context(|| format!("rendering {}", host.name))?;
        hosts.push((host.name.clone(), desired));
    }
    let objects = bootstrap::addons::manifests(inventory, &release, &templates)?;
    Ok(Rendered { hosts, objects })
}

fn supposed() -> Facts {
    Facts {
        os: "debian 13".to_owned(),
        cgroup_v2: true,
        may_lower_oom_scores: true,
        containerd_version: "1.7.24".to_owned(),
        cni_bin: Some("/usr/lib/cni".to_owned()),
        ..Facts::default()
    }
}

fn write_host(out: &Path, host: &str, desired: &Desired, secrets: bool) -> anyhow::Result<usize> {
    let folder = out.join(host);
    for file in &desired.files {
        let path = folder.join("etc/hardway/current").join(&file.path);
        if file.secret && !secrets {
            let text = format!(
                "(secret, {} bytes, sha256 {})\n",
                file.content.len(),
                sha256(&file.content)
            );
            write(&path, text.as_bytes(), 0o644)?;
        } else {
            write(&path, &file.content, file.mode)?;
        }
    }
    let explanations = explain(desired);
    write(
        &folder.join("INDEX.md"),
        index(host, desired, &explanations).as_bytes(),
        0o644,
    )?;
    let json = serde_json::to_vec_pretty(&json!({ "files": explanations, "links": desired.all_links() }))?;
    write(&folder.join("index.json"), &json, 0o644)?;
    Ok(desired.files.len() + 2)
}

fn index(host: &str, desired: &Desired, explanations: &[Explanation]) -> String {
    let mut text = format!(
        "# {host}\n\n| file | mode | owner | why | read by | restarts |\n|---|---|---|---|---|---|\n"
    );
    let list = |names: &[String]| {
        let short: Vec<&str> = names
            .iter()
            .map(|name| name.trim_end_matches(".service"))
            .collect();
        short.join(", ")
    };
    for one in explanations {
        text.push_str(&format!(
            "| `{}` | {} | {} | {} | {} | {} |\n",
            one.path,
            one.mode,
            one.owner,
            one.reason,
            list(&one.readers),
            list(&one.restarts)
        ));
    }
    text.push_str("\nLinks outside the generation:\n\n");
    for (link, target) in desired.all_links() {
        text.push_str(&format!("- `{link}` -> `{target}`\n"));
    }
    text
}

fn write(path: &Path, content: &[u8], mode: u32) -> anyhow::Result<()> {
    crate::state::write_file(path, content, mode)
}
