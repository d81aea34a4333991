use std::fmt::Write;

use serde::Serialize;
use similar::TextDiff;

use crate::plan::{Change, EtcdEffect, HostPlan};

/// Old and new content of one file.
#[derive(Clone, Debug, Serialize)]
pub struct FileDiff {
    pub path: String,
    pub old: String,
    pub new: String,
}

/// One host's plan for people; empty when nothing changes.
pub fn host_text(plan: &HostPlan, generation: &str, diffs: &[FileDiff], etcd_members: usize) -> String {
    let mut text = String::new();
    if plan.is_empty() {
        return text;
    }
    // Writing into a String cannot fail.
    let _ = write(&mut text, plan, generation, diffs, etcd_members);
    text
}

fn write(
    text: &mut String,
    plan: &HostPlan,
    generation: &str,
    diffs: &[FileDiff],
    etcd_members: usize,
) -> std::fmt::Result {
    writeln!(text, "{}", plan.host)?;
    for push in &plan.pushes {
        writeln!(
            text,
            "  push      {} ({:.1} MB, {})",
            push.name,
            push.size as f64 / 1e6,
            &push.sha256[..12]
        )?;
    }
    if let Some(release) = &plan.release {
        writeln!(text, "  release   {}", &release[..12])?;
    }
    if let Some(number) = plan.generation {
        let from = generation
            .rsplit('/')
            .next()
            .filter(|from| !from.is_empty())
            .unwrap_or("none");
        writeln!(text, "  generation {from} -> {number}")?;
    }
    for file in &plan.files {
        let sign = match file.change {
            Change::Add => '+',
            Change::Change => '~',
            Change::Repair => '!',
            Change::Remove => '-',
        };
        let note = match (file.change, file.secret) {
            (Change::Repair, _) => " (was edited on the host)",
            (_, true) => " (secret)",
            _ => "",
        };
        writeln!(text, "  {sign} {}{note}", file.path)?;
        if let Some(diff) = diffs.iter().find(|diff| diff.path == file.path) {
            let lines = TextDiff::from_lines(&diff.old, &diff.new)
                .unified_diff()
                .context_radius(1)
                .to_string();
            for line in lines.lines() {
                writeln!(text, "      {line}")?;
            }
        }
    }
    for user in &plan.users {
        writeln!(text, "  user      {user}")?;
    }
    for (link, target) in &plan.links {
        writeln!(text, "  link      {link} -> {target}")?;
    }
    for link in &plan.stale_links {
        writeln!(text, "  unlink    {link}")?;
    }
    if plan.kernel_settings {
        writeln!(text, "  kernel    modules and sysctls")?;
    }
    if plan.swap_off {
        writeln!(text, "  swap      off")?;
    }
    for image in &plan.images {
        writeln!(text, "  image     {image}")?;
    }
    for unit in &plan.units {
        writeln!(
            text,
            "  {:<9} {}",
            format!("{:?}", unit.action).to_lowercase(),
            unit.name
        )?;
    }
    match plan.etcd {
        EtcdEffect::None => Ok(()),
        EtcdEffect::Form => writeln!(text, "  etcd      takes part in forming the cluster"),
        EtcdEffect::Restart => {
            let quorum = etcd_members / 2 + 1;
            let effect = if etcd_members > quorum {
                "quorum is kept"
            } else {
                "QUORUM IS LOST while it restarts"
            };
            writeln!(
                text,
                "  etcd      one of {etcd_members} members restarts, {quorum} are needed: {effect}"
            )
        }
    }
}
