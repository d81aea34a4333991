use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use super::{Context, Outcome};
use crate::etcd::{self, Member, Status as MemberStatus};
use crate::fleet::Fleet;
use crate::identities;
use crate::inventory::Host;

const DEADLINE: Duration = Duration::from_secs(60);

/// Show every member: leader, revision, size, what could be given back, alarms. Exit code 3 when one is not healthy.
#[derive(clap::Args)]
pub struct Status {}

impl Status {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        let (inventory, state) = (context.inventory()?, context.peek());
        let (fleet, _) = Fleet::connect_reachable(&inventory, &state, &context.ui)?;
        let secrets = identities::prepare(&inventory, &state, SystemTime::now(), true)?;
        let mut lines = Vec::new();
        let mut answers = Vec::new();
        let mut healthy = true;
        for host in inventory.etcd_members() {
            let status = Member::connect(&fleet, host, &secrets)
                .and_then(|member| Ok((member.is_healthy()?, member.status()?)));
            healthy &= matches!(&status, Ok((true, status)) if status.alarms.is_empty());
            lines.push(line(host, &status));
            answers.push(answer(host, &status));
        }
        context.answer(&json!({ "members": answers }), &(lines.join("\n") + "\n"));
        Ok(Outcome::differs_if(!healthy))
    }
}

fn role(status: &MemberStatus) -> &'static str {
    match () {
        () if status.learner => "learner",
        () if status.id == status.leader => "leader",
        () => "follower",
    }
}

fn line(host: &Host, status: &anyhow::Result<(bool, MemberStatus)>) -> String {
    match status {
        Err(error) => format!("{:<16} NOT REACHED: {error:#}", host.name),
        Ok((healthy, status)) => format!(
            "{:<16} {:<9} {:<12} {:<8} revision {:<10} {:>7} KiB, {} KiB in use {}",
            host.name,
            role(status),
            if *healthy { "healthy" } else { "NOT HEALTHY" },
            status.version,
            status.revision,
            status.size / 1024,
            status.used / 1024,
            status.alarms.join(", ")
        ),
    }
}

fn answer(host: &Host, status: &anyhow::Result<(bool, MemberStatus)>) -> Value {
    match status {
        Err(error) => json!({ "name": host.name, "healthy": false, "error": format!("{error:#}") }),
        Ok((healthy, status)) => json!({
            "name": host.name,
            "healthy": healthy,
            "role": role(status),
            "id": status.id,
            "version": status.version,
            "revision": status.revision,
            "bytes": status.size,
            "bytesInUse": status.used,
            "alarms": status.alarms,
        }),
    }
}

/// Give unused space back to the file system, one member after the other, the leader last.
#[derive(clap::Args)]
pub struct Defrag {}

impl Defrag {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        let (inventory, state) = (context.inventory()?, context.open("etcd defrag")?);
        let fleet = Fleet::connect_to(&inventory, &state, &context.ui, |host| inventory.runs_etcd(host))?;
        let secrets = identities::prepare(&inventory, &state, SystemTime::now(), true)?;
        let mut members = Vec::new();
        for host in inventory.etcd_members() {
            // All must be healthy before one is busy with itself.
            etcd::wait_healthy(&fleet, host, &secrets, Instant::now())?;
            let status = Member::connect(&fleet, host, &secrets)?.status()?;
            members.push((status.id == status.leader, host, status));
        }
        members.sort_by_key(|(leader, _, _)| *leader);
        let mut answers = Vec::new();
        let mut text = String::new();
        for (_, host, before) in members {
            let member = Member::connect(&fleet, host, &secrets)?;
            member.defragment()?;
            etcd::wait_healthy(&fleet, host, &secrets, Instant::now() + DEADLINE)?;
            let after = member.status()?;
            text.push_str(&format!(
                "{:<16} {} KiB, was {} KiB\n",
                host.name,
                after.size / 1024,
                before.size / 1024
            ));
            answers.push(json!({ "name": host.name, "bytes": after.size, "before": before.size }));
        }
        context.answer(&json!({ "members": answers }), &text);
        Ok(Outcome::Done)
    }
}
