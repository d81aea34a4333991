use std::fmt::Write;

use similar::TextDiff;

use super::FileDiff;
use crate::plan::{Action, Change, EtcdEffect, HostPlan};
use crate::rollout::Wave;

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
    if let Some(back) = plan.unconfirmed {
        writeln!(
            text,
            "  unconfirmed {}: gated first; without that the host goes back to {back} by itself",
            generation.rsplit('/').next().unwrap_or_default()
        )?;
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
    for certificate in &plan.certificates {
        let reason = certificate.reason.as_deref().unwrap_or("held by the operator");
        writeln!(
            text,
            "  certificate {} of {}: {}, {} days{}",
            certificate.subject,
            certificate.issuer,
            reason,
            certificate.lifetime_days,
            if certificate.names.is_empty() {
                String::new()
            } else {
                format!(", for {}", certificate.names.join(" "))
            }
        )?;
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
    for path in &plan.drop_ins {
        writeln!(text, "  put aside {path}")?;
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

/// In which order hosts are interrupted.
pub fn order_text(waves: &[Wave], plans: &std::collections::BTreeMap<String, HostPlan>) -> String {
    let mut text = String::new();
    for (index, wave) in waves.iter().enumerate() {
        let step = index + 1;
        text.push_str(&match wave {
            Wave::Together(hosts) => {
                format!("{step}. at once, nothing is interrupted: {}\n", hosts.join(", "))
            }
            Wave::Rolling(hosts) => {
                let mut units: Vec<&str> = hosts
                    .iter()
                    .filter_map(|host| plans.get(host))
                    .flat_map(|plan| &plan.units)
                    .filter(|unit| unit.action != Action::Stop)
                    .map(|unit| unit.name.trim_end_matches(".service"))
                    .collect();
                let mut seen = Vec::new();
                units.retain(|unit| {
                    !seen.contains(unit) && {
                        seen.push(*unit);
                        true
                    }
                });
                let restarts = match units.join(", ") {
                    none if none.is_empty() => none,
                    units => format!("{units}, then "),
                };
                format!("{step}. {}: {restarts}the health gate\n", hosts.join(", "))
            }
        });
    }
    if text.is_empty() {
        text
    } else {
        format!("order\n{text}")
    }
}

pub fn wave(wave: &Wave) -> serde_json::Value {
    match wave {
        Wave::Together(hosts) => serde_json::json!({ "together": hosts }),
        Wave::Rolling(hosts) => serde_json::json!({ "rolling": hosts }),
    }
}
