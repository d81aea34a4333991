//! What is on a host, compared with what should be there, down to the running processes. No I/O but one script.

mod expected;
mod fix;
mod probe;
mod processes;

use pki::Inspected;
use serde::Serialize;
use serde_json::Value;

use crate::certs::Row;
use crate::desired::{Desired, GENERATION, RELEASE};
use crate::facts::Facts;
use crate::inventory::{Host, Inventory};
use crate::outside::Outsider;
use crate::ports::{Port, ports};

use expected::Expected;

pub use fix::corrected;
pub use probe::{Probe, gather, parse};

/// What kind of thing differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The whole of it is another one than is asked for, rightly.
    Generation,
    File,
    Program,
    Link,
    User,
    Unit,
    DropIn,
    Flags,
    Sysctl,
    Module,
    Route,
    Certificate,
    Port,
    Node,
}

/// One difference; subjects of files are full paths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub kind: Kind,
    pub subject: String,
    pub problem: String,
    #[serde(skip)]
    pub remedy: Remedy,
}

/// What a plan has to do about it beyond what it finds by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Facts tell already.
    Plan,
    /// The file of the generation is written anew.
    Write(String),
    /// The program with this hash is sent again.
    Send(String),
    /// The unit is restarted.
    Restart(String),
    /// The foreign drop-in is put aside and the unit restarted.
    PutAside { path: String, unit: String },
    /// Modules are loaded again.
    Kernel,
}

/// A node's pod range, from the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodRange {
    pub node: String,
    pub cidr: String,
    /// Where its pods are reached.
    pub address: Option<String>,
}

impl PodRange {
    pub fn of_nodes(nodes: &[Value]) -> Vec<PodRange> {
        let range = |node: &Value| {
            Some(PodRange {
                node: node["metadata"]["name"].as_str()?.to_owned(),
                cidr: node["spec"]["podCIDR"].as_str()?.to_owned(),
                address: node["status"]["addresses"]
                    .as_array()
                    .and_then(|list| list.iter().find(|one| one["type"] == "InternalIP"))
                    .and_then(|one| one["address"].as_str())
                    .map(str::to_owned),
            })
        };
        nodes.iter().filter_map(range).collect()
    }
}

/// What can be seen from elsewhere of a node that SSH does not reach.
pub fn outsider(outsider: &Outsider, served: &[Row], now: std::time::SystemTime) -> Vec<Difference> {
    let mut found = Found(Vec::new());
    if !outsider.ready {
        found.add(Kind::Node, &outsider.name, "is not ready", Remedy::Plan);
    }
    for row in served.iter().filter(|row| row.host == outsider.name) {
        if let Some(days) = soon(&row.certificate, now) {
            let problem =
                format!("expires in {days} days; run hardway node join-here there with a new token");
            found.add(Kind::Certificate, row.place.to_string(), problem, Remedy::Plan);
        }
    }
    found.0
}

/// The days that are left when it should have been renewed.
fn soon(certificate: &Inspected, now: std::time::SystemTime) -> Option<u64> {
    let lifetime = certificate.not_after.duration_since(certificate.not_before);
    let left = certificate.remaining(now);
    (left < lifetime.unwrap_or_default() / 3).then_some(left.as_secs() / 86_400)
}

struct Found(Vec<Difference>);

impl Found {
    fn add(&mut self, kind: Kind, subject: impl Into<String>, problem: impl Into<String>, remedy: Remedy) {
        self.0.push(Difference {
            kind,
            subject: subject.into(),
            problem: problem.into(),
            remedy,
        });
    }
}

/// Every difference on one host; `ranges` is empty when no API server answers.
pub fn differences(
    inventory: &Inventory,
    host: &Host,
    desired: &Desired,
    facts: &Facts,
    probe: &Probe,
    ranges: &[PodRange],
) -> Vec<Difference> {
    let mut found = Found(Vec::new());
    if facts.generation.is_empty() {
        found.add(
            Kind::File,
            "/etc/hardway/current",
            "the host was never bootstrapped",
            Remedy::Plan,
        );
        return found.0;
    }
    if let Some(back) = facts.unconfirmed {
        let problem = format!("has the generation unconfirmed: the host goes back to {back} by itself");
        found.add(Kind::Unit, "hardway-guard.timer", problem, Remedy::Plan);
    }
    let asked = Expected::asked(desired);
    let expected = match Expected::held(&asked, facts, probe) {
        None => asked,
        Some((held, differing)) => {
            found.add(
                Kind::Generation,
                facts.generation_number().to_string(),
                another(&differing),
                Remedy::Plan,
            );
            held
        }
    };
    files(&expected, probe, &mut found);
    expiry(desired, &mut found);
    programs(&expected, probe, &mut found);
    for (link, target) in &expected.links {
        match facts.links.get(link) {
            Some(at) if at == target => {}
            Some(at) => found.add(
                Kind::Link,
                link,
                format!("leads to {at}, not to {target}"),
                Remedy::Plan,
            ),
            None => found.add(Kind::Link, link, format!("is no link to {target}"), Remedy::Plan),
        }
    }
    for user in desired.users.iter().filter(|user| !facts.users.contains(**user)) {
        found.add(Kind::User, *user, "does not exist", Remedy::Plan);
    }
    processes::compare(&expected, facts, probe, &mut found);
    for problem in crate::plan::sysctl_differences(desired, facts) {
        let (subject, problem) = problem
            .trim_start_matches("sysctl ")
            .split_once(' ')
            .unwrap_or((&problem, ""));
        found.add(Kind::Sysctl, subject, problem, Remedy::Plan);
    }
    modules(desired, facts, &mut found);
    routes(host, probe, ranges, &mut found);
    let runs = |unit: &str| expected.units.iter().any(|known| known.name == unit);
    let asked_for_now =
        |port: &Port| desired.units.iter().any(|unit| unit.name == port.unit()) && !runs(&port.unit());
    for port in ports(inventory, host)
        .into_iter()
        .filter(|port| !asked_for_now(port))
    {
        let holder = probe
            .listening
            .iter()
            .find(|listener| listener.port == port.number);
        let restart = Remedy::Restart(port.unit());
        let Some(holder) = holder else {
            let text = format!("{} does not listen", port.daemon);
            found.add(Kind::Port, port.number.to_string(), text, restart);
            continue;
        };
        if let Some(process) = port.stranger(holder) {
            let text = format!("is held by {process}, not by {}", port.daemon);
            found.add(Kind::Port, port.number.to_string(), text, restart);
        }
    }
    found.0
}

const SHOWN_FILES: usize = 3;

fn another(differing: &[String]) -> String {
    let shown = differing.iter().filter(|path| !path.starts_with("meta/"));
    let mut names: Vec<&str> = shown.map(String::as_str).collect();
    let more = names.len().saturating_sub(SHOWN_FILES);
    names.truncate(SHOWN_FILES);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!(
        "is not what is asked for now: {}{more} differ; hardway plan shows it",
        names.join(", ")
    )
}

fn files(expected: &Expected, probe: &Probe, found: &mut Found) {
    for (path, wanted) in &expected.files {
        let subject = format!("{GENERATION}/{path}");
        let remedy = || Remedy::Write(path.clone());
        let Some(file) = probe.files.get(path) else {
            found.add(Kind::File, subject, "was removed", remedy());
            continue;
        };
        let mut problems = Vec::new();
        if file.hash != wanted.hash {
            problems.push("was changed".to_owned());
        }
        if file.mode != wanted.mode {
            problems.push(format!("has mode {:o}, not {:o}", file.mode, wanted.mode));
        }
        if file.owner != wanted.owner {
            problems.push(format!("belongs to {}, not to {}", file.owner, wanted.owner));
        }
        if !problems.is_empty() {
            found.add(Kind::File, subject, problems.join(", "), remedy());
        }
    }
    for path in probe
        .files
        .keys()
        .filter(|path| !expected.files.contains_key(*path))
    {
        found.add(
            Kind::File,
            format!("{GENERATION}/{path}"),
            "does not belong there",
            Remedy::Write(path.clone()),
        );
    }
}

fn expiry(desired: &Desired, found: &mut Found) {
    let now = std::time::SystemTime::now();
    for file in desired.files.iter().filter(|file| file.path.ends_with(".crt")) {
        let subject = format!("{GENERATION}/{}", file.path);
        match pki::inspect(&desired.text(&file.path)) {
            Ok(certificate) => {
                if let Some(days) = soon(&certificate, now) {
                    found.add(
                        Kind::Certificate,
                        subject,
                        format!("expires in {days} days"),
                        Remedy::Plan,
                    );
                }
            }
            Err(error) => found.add(Kind::Certificate, subject, error.to_string(), Remedy::Plan),
        }
    }
}

fn programs(expected: &Expected, probe: &Probe, found: &mut Found) {
    for (path, hash) in &expected.programs {
        let subject = format!("{RELEASE}/{path}");
        let remedy = Remedy::Send(hash.clone());
        match probe.programs.get(path) {
            None => found.add(Kind::Program, subject, "was removed", remedy),
            Some(file) if file.hash != *hash => found.add(Kind::Program, subject, "was changed", remedy),
            Some(file) if file.mode != 0o755 => {
                found.add(
                    Kind::Program,
                    subject,
                    format!("has mode {:o}, not 755", file.mode),
                    remedy,
                );
            }
            Some(file) if file.owner != "root" => {
                found.add(
                    Kind::Program,
                    subject,
                    format!("belongs to {}, not to root", file.owner),
                    remedy,
                );
            }
            Some(_) => {}
        }
    }
}

fn modules(desired: &Desired, facts: &Facts, found: &mut Found) {
    if facts.container {
        return;
    }
    for module in desired.text("config/modules.conf").lines() {
        if !facts.modules.contains(module) {
            found.add(Kind::Module, module, "is not loaded", Remedy::Kernel);
        }
    }
}

fn routes(host: &Host, probe: &Probe, ranges: &[PodRange], found: &mut Found) {
    if !host.is_node() {
        return;
    }
    for range in ranges.iter().filter(|range| range.node != host.name) {
        let problem = match (probe.routes.get(&range.cidr), &range.address) {
            (None, _) => format!("no route to the pods of {}", range.node),
            (Some(Some(hop)), Some(address)) if hop != address => {
                format!("leads to {hop}, the pods of {} are behind {address}", range.node)
            }
            (Some(None), Some(address)) => {
                format!("has no next hop, the pods of {} are behind {address}", range.node)
            }
            _ => continue,
        };
        let remedy = Remedy::Restart("pod-network.service".to_owned());
        found.add(Kind::Route, &range.cidr, problem, remedy);
    }
}

#[cfg(test)]
mod tests;
