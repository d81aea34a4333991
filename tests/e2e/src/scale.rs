//! One real control plane and many hollow workers: what a run costs, and what it touches.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{HollowNodes, TestLab, run};

/// Bytes that have passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// From the operator to the hosts.
    pub up: u64,
    /// From the hosts to the operator.
    pub down: u64,
    /// From host to host.
    pub between: u64,
}

impl std::ops::Sub for Traffic {
    type Output = Traffic;

    fn sub(self, before: Traffic) -> Traffic {
        // `between` is a difference of counters that are not read at the same instant, so it can go back a little.
        Traffic {
            up: self.up.saturating_sub(before.up),
            down: self.down.saturating_sub(before.down),
            between: self.between.saturating_sub(before.between),
        }
    }
}

/// One phase of a run.
#[derive(Debug)]
pub struct Phase {
    pub name: String,
    pub seconds: f64,
    pub traffic: Traffic,
}

/// A run of `hardway` with its events.
#[derive(Debug)]
pub struct Run {
    pub phases: Vec<Phase>,
    /// Hosts that got the release from the operator, and those that got it from another host.
    pub uploads: Vec<String>,
    pub relayed: Vec<String>,
    pub notes: Vec<String>,
    /// What went wrong, in the operator's words.
    pub errors: Vec<String>,
    /// User and system time of the operator's process.
    pub cpu_seconds: f64,
}

impl Run {
    pub fn seconds(&self, names: &[&str]) -> f64 {
        self.chosen(names).map(|phase| phase.seconds).sum()
    }

    pub fn traffic(&self, names: &[&str]) -> Traffic {
        self.chosen(names).fold(Traffic::default(), |sum, phase| Traffic {
            up: sum.up + phase.traffic.up,
            down: sum.down + phase.traffic.down,
            between: sum.between + phase.traffic.between,
        })
    }

    fn chosen(&self, names: &[&str]) -> impl Iterator<Item = &Phase> {
        self.phases
            .iter()
            .filter(move |phase| names.is_empty() || names.contains(&phase.name.as_str()))
    }
}

/// What a host shows of having been touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Paths, sizes, times and inode numbers of everything that the provisioner manages.
    files: String,
    /// What its systemctl and ctr were asked.
    calls: String,
    /// Logins over SSH.
    pub logins: usize,
}

/// The lab, with one hollow host more than the inventory names.
pub struct Swarm {
    // Ends before its lab does.
    _nodes: HollowNodes,
    pub lab: TestLab,
    inventory: String,
    pub count: usize,
}

impl Swarm {
    pub fn up(name: &str, count: usize) -> Swarm {
        let hollow = (count + 1).to_string();
        let lab = TestLab::up(
            name,
            &[
                "--control-planes",
                "0",
                "--workers",
                "0",
                "--host",
                "cp-1=control-plane+worker",
                "--hollow",
                &hollow,
            ],
        );
        let inventory = std::fs::read_to_string(lab.inventory()).expect("written by the lab");
        let hosts = (1..=count + 1)
            .map(|number| format!("hollow-{number}"))
            .map(|name| (name.clone(), lab.address(&name)))
            .collect();
        let swarm = Swarm {
            _nodes: HollowNodes::start(&lab, hosts),
            lab,
            inventory,
            count,
        };
        let (without, _) = swarm.inventory.rsplit_once("\n[[hosts]]").expect("many hosts");
        swarm.write_inventory(without);
        swarm
    }

    pub fn write_inventory(&self, text: &str) {
        std::fs::write(self.lab.inventory(), text).expect("written");
    }

    pub fn hosts(&self) -> Vec<String> {
        (1..=self.count)
            .map(|number| format!("hollow-{number}"))
            .collect()
    }

    /// The host that the inventory does not name yet.
    pub fn newcomer(&self) -> String {
        format!("hollow-{}", self.count + 1)
    }

    /// Names the newcomer too.
    pub fn announce(&self) {
        self.write_inventory(&self.inventory);
    }

    /// Runs `hardway` and measures its phases.
    pub fn hardway(&self, arguments: &[&str]) -> Run {
        let mut child = self
            .lab
            .hardway_command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("hardway runs");
        let mut found = Run {
            phases: Vec::new(),
            uploads: Vec::new(),
            relayed: Vec::new(),
            notes: Vec::new(),
            errors: Vec::new(),
            cpu_seconds: 0.0,
        };
        let mut since = self.traffic();
        let mut current: Option<String> = None;
        let mut traffic: Vec<(String, Traffic)> = Vec::new();
        let mut seconds: BTreeMap<String, f64> = BTreeMap::new();
        for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
            let line = line.expect("text");
            let event: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"));
            let text = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
            match event["event"].as_str() {
                Some(kind @ ("phase" | "summary")) => {
                    let now = self.traffic();
                    if let Some(name) = current.take() {
                        traffic.push((name, now - since));
                    }
                    since = now;
                    if kind == "phase" {
                        current = Some(text("phase"));
                    } else {
                        for phase in event["phases"].as_array().into_iter().flatten() {
                            let name = phase["phase"].as_str().unwrap_or_default().to_owned();
                            *seconds.entry(name).or_default() +=
                                phase["seconds"].as_f64().unwrap_or_default();
                        }
                    }
                }
                Some("transfer") => found.uploads.push(text("host")),
                Some("host") if text("doing").starts_with("receives from") => {
                    found.relayed.push(text("host"));
                }
                Some("note") => found.notes.push(text("text")),
                Some("error" | "failed") => found.errors.push(line),
                _ => {}
            }
        }
        found.cpu_seconds = cpu_seconds(child.id());
        let output = child.wait_with_output().expect("ended");
        assert!(
            output.status.success(),
            "hardway {arguments:?} failed in {current:?}: {}\n{}\n{found:#?}",
            found.errors.join("\n"),
            String::from_utf8_lossy(&output.stderr),
        );
        found.phases = traffic
            .into_iter()
            .map(|(name, traffic)| Phase {
                seconds: seconds.get(&name).copied().unwrap_or_default(),
                name,
                traffic,
            })
            .collect();
        found
    }

    /// Counted by the kernel: the operator sits on the bridge itself, each host at a port of it.
    pub fn traffic(&self) -> Traffic {
        let links = run(
            Command::new("ip").args(["-n", &self.lab.outer_namespace(), "-s", "-j", "link", "show"]),
            None,
        )
        .ok();
        let links: Value = serde_json::from_str(&links).expect("ip prints JSON");
        let mut found = Traffic::default();
        let mut from_hosts = 0;
        for link in links.as_array().into_iter().flatten() {
            let bytes = |way: &str| link["stats64"][way]["bytes"].as_u64().unwrap_or_default();
            match link["ifname"].as_str().unwrap_or_default() {
                "br0" => (found.up, found.down) = (bytes("tx"), bytes("rx")),
                name if name.starts_with("port") => from_hosts += bytes("rx"),
                _ => {}
            }
        }
        found.between = from_hosts.saturating_sub(found.down);
        found
    }

    /// Whether the hosts reach each other; the operator reaches them in any case.
    pub fn isolate(&self, isolated: bool) {
        let state = if isolated { "on" } else { "off" };
        for index in 0..=self.count + 1 {
            let arguments = format!(
                "-n {} link set port{index} type bridge_slave isolated {state}",
                self.lab.outer_namespace()
            );
            run(Command::new("ip").args(arguments.split(' ')), None).ok();
        }
    }

    /// Looks at every host of the inventory from outside.
    pub fn traces(&self) -> BTreeMap<String, Trace> {
        let trace = |host: String| {
            let root = self.lab.root(&host).expect("the host runs");
            let files = run(
                Command::new("find")
                    .args([
                        "etc",
                        "opt",
                        "usr/lib/systemd",
                        "-printf",
                        "%p %y %s %T@ %C@ %i %l\n",
                    ])
                    .current_dir(&root),
                None,
            )
            .ok();
            let calls = std::fs::read_to_string(root.join("var/lib/hollow/calls")).unwrap_or_default();
            let logins = self.lab.console(&host).matches("Accepted publickey").count();
            let trace = Trace { files, calls, logins };
            (host, trace)
        };
        self.hosts().into_iter().map(trace).collect()
    }

    /// Nothing of a push is left behind on a host.
    pub fn leftovers(&self, host: &str) -> Vec<String> {
        let root = self.lab.root(host).expect("the host runs");
        let mut found = Vec::new();
        for folder in ["run", "opt/hardway", "opt/hardway/blobs"] {
            for entry in std::fs::read_dir(root.join(folder))
                .into_iter()
                .flatten()
                .flatten()
            {
                let name = entry.file_name().to_string_lossy().into_owned();
                let expected = name.ends_with(".lock") || matches!(name.as_str(), "hardway" | "blobs");
                if !expected && (name.starts_with("hardway-") || name.starts_with('.') || name == "relay") {
                    found.push(format!("{folder}/{name}"));
                }
            }
        }
        let mut listening = self.lab.command_on(host, "ss");
        let listening = run(listening.args(["-Hltn"]), None).ok();
        found.extend(
            listening
                .lines()
                .filter(|line| line.contains(":1027"))
                .map(str::to_owned),
        );
        found
    }
}

/// What a process that has closed its output has used so far; it has little left to do.
fn cpu_seconds(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().collect())
        .unwrap_or_default();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok());
    // A tick is a hundredth of a second on every Linux.
    (ticks(11).unwrap_or_default() + ticks(12).unwrap_or_default()) / 100.0
}
