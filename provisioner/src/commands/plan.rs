mod text;

use std::collections::BTreeMap;

use super::{Context, Outcome};
use crate::fleet::Fleet;
use crate::plan::{Change, HostPlan};
use crate::ssh::Connection;
use crate::survey::{Survey, survey};

pub use text::{FileDiff, host_text};

/// Show what bootstrap would change, host by host. Changes nothing.
#[derive(clap::Args)]
pub struct Arguments {}

impl Arguments {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        run(context).map(|()| Outcome::Done)
    }
}

fn run(context: &Context) -> anyhow::Result<()> {
    let (inventory, state) = (&context.inventory()?, &context.open("plan")?);
    let (ui, json) = (&context.ui, context.json);
    let fleet = Fleet::connect(inventory, state, ui)?;
    let survey = survey(&fleet, inventory, state, true)?;
    let old = fleet.each(
        "reading changed files",
        |host| {
            survey.plans[&host.name]
                .files
                .iter()
                .any(|file| shows(file.change, file.secret))
        },
        |host, connection| read_old(connection, &survey.plans[&host.name]),
    )?;
    let empty = BTreeMap::new();
    let mut nothing = true;
    let mut reports = Vec::new();
    for plan in survey.plans.values() {
        nothing &= plan.is_empty();
        let diffs = diffs(&survey, plan, old.get(&plan.host).unwrap_or(&empty));
        if json {
            reports.push(serde_json::json!({ "plan": plan, "diffs": diffs }));
        } else {
            let members = inventory.etcd_members().len();
            ui.print(&host_text(
                plan,
                &survey.facts[&plan.host].generation,
                &diffs,
                members,
            ));
        }
    }
    let findings = survey.preflight(inventory);
    if json {
        let problems: Vec<_> = findings
            .iter()
            .map(|finding| serde_json::json!({ "host": finding.host, "text": finding.text }))
            .collect();
        ui.print(&format!(
            "{}\n",
            serde_json::json!({ "hosts": reports, "problems": problems })
        ));
        return Ok(());
    }
    if nothing {
        ui.print("nothing to change\n");
    }
    for finding in &findings {
        ui.print(&format!("preflight: {}: {}\n", finding.host, finding.text));
    }
    Ok(())
}

fn shows(change: Change, secret: bool) -> bool {
    !secret && matches!(change, Change::Change | Change::Repair | Change::Remove)
}

/// The present content of the files that change; never of secret ones.
fn read_old(connection: &Connection, plan: &HostPlan) -> anyhow::Result<BTreeMap<String, String>> {
    let paths: Vec<&str> = plan
        .files
        .iter()
        .filter(|file| shows(file.change, file.secret))
        .map(|file| file.path.as_str())
        .collect();
    let script = format!(
        "cd /etc/hardway/current && for path in {}; do [ -f \"$path\" ] && \
         printf '%s %s\\n' \"$(wc -c <\"$path\")\" \"$path\" && cat \"$path\"; done; true",
        paths.join(" ")
    );
    let text = connection.script("reading changed files", &script)?;
    Ok(split(&text))
}

/// `LENGTH PATH`, a newline, then that many bytes; repeated.
fn split(mut text: &str) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    while let Some((head, rest)) = text.split_once('\n') {
        let Some((length, path)) = head.trim_start().split_once(' ') else {
            break;
        };
        let Some(content) = length.parse().ok().and_then(|length: usize| rest.get(..length)) else {
            break;
        };
        files.insert(path.to_owned(), content.to_owned());
        text = &rest[content.len()..];
    }
    files
}

fn diffs(survey: &Survey, plan: &HostPlan, old: &BTreeMap<String, String>) -> Vec<FileDiff> {
    let desired = &survey.desired[&plan.host];
    let mut diffs = Vec::new();
    for file in &plan.files {
        if file.secret || file.change == Change::Add {
            continue;
        }
        let Some(old) = old.get(&file.path) else { continue };
        let new = desired.files.iter().find(|wanted| wanted.path == file.path);
        let new = new
            .map(|file| String::from_utf8_lossy(&file.content).into_owned())
            .unwrap_or_default();
        diffs.push(FileDiff {
            path: file.path.clone(),
            old: old.clone(),
            new,
        });
    }
    diffs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_split_by_length() {
        let files = split("4 a/b\nx\ny\n0 empty\n3 last\nend");
        assert_eq!(files["a/b"], "x\ny\n");
        assert_eq!((files["empty"].as_str(), files["last"].as_str()), ("", "end"));
        assert!(split("99 cut\nx").is_empty());
    }
}
