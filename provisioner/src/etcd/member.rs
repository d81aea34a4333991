use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pki::{Authority, Issued};
use serde_json::{Value, json};

use crate::api::Api;
use crate::fleet::Fleet;
use crate::identities::Secrets;
use crate::inventory::{Host, Inventory, host_port};

/// Keys of one answer.
const PAGE: usize = 500;

/// One member, asked over its JSON gateway with the host's health certificate.
pub struct Member {
    pub host: String,
    api: Api,
}

/// What a member says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub id: String,
    pub leader: String,
    pub version: String,
    pub learner: bool,
    pub revision: u64,
    /// Bytes of the file, and of what is used in it.
    pub size: u64,
    pub used: u64,
    pub alarms: Vec<String>,
}

/// One line of the member list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    pub id: String,
    /// Empty until the member has started.
    pub name: String,
    pub peers: Vec<String>,
    pub learner: bool,
}

impl Member {
    pub fn connect(fleet: &Fleet<'_>, host: &Host, secrets: &Secrets) -> anyhow::Result<Member> {
        let identity = secrets
            .leaf(&host.name, "etcd-health")
            .with_context(|| format!("{} has no etcd-health certificate", host.name))?;
        let api = Api::connect(
            fleet.target(host)?,
            2379,
            secrets.trusted(Authority::Etcd),
            identity,
        )
        .with_context(|| format!("etcd of {}", host.name))?;
        Ok(Member {
            host: host.name.clone(),
            api,
        })
    }

    /// One whose address is known, without a way through SSH.
    pub fn at(name: &str, address: SocketAddr, authority: &str, identity: &Issued) -> anyhow::Result<Member> {
        let api = Api::direct(address, authority, identity).with_context(|| format!("etcd of {name}"))?;
        Ok(Member {
            host: name.to_owned(),
            api,
        })
    }

    /// A healthy member.
    pub fn any(fleet: &Fleet<'_>, inventory: &Inventory, secrets: &Secrets) -> anyhow::Result<Member> {
        let mut last = anyhow::anyhow!("no etcd member can be reached");
        for host in inventory
            .etcd_members()
            .into_iter()
            .filter(|host| fleet.is_connected(host))
        {
            match Member::connect(fleet, host, secrets) {
                Ok(member) => match member.is_healthy() {
                    Ok(true) => return Ok(member),
                    Ok(false) => last = anyhow::anyhow!("etcd of {} is not healthy", host.name),
                    Err(error) => last = error,
                },
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn call(&self, method: &str, body: &Value) -> anyhow::Result<Value> {
        self.api
            .post(&format!("/v3/{method}"), body)
            .with_context(|| format!("etcd of {}", self.host))
    }

    /// True when it has a leader and takes a proposal.
    pub fn is_healthy(&self) -> anyhow::Result<bool> {
        let answer = self
            .api
            .get("/health")
            .with_context(|| format!("etcd of {}", self.host))?;
        Ok(answer["health"] == "true")
    }

    pub fn status(&self) -> anyhow::Result<Status> {
        let answer = self.call("maintenance/status", &json!({}))?;
        Ok(Status {
            id: text(&answer["header"]["member_id"]),
            leader: text(&answer["leader"]),
            version: text(&answer["version"]),
            learner: answer["isLearner"] == true,
            revision: number(&answer["header"]["revision"]),
            size: number(&answer["dbSize"]),
            used: number(&answer["dbSizeInUse"]),
            alarms: answer["errors"]
                .as_array()
                .into_iter()
                .flatten()
                .map(text)
                .collect(),
        })
    }

    pub fn members(&self) -> anyhow::Result<Vec<Membership>> {
        let answer = self.call("cluster/member/list", &json!({}))?;
        let members = answer["members"].as_array().into_iter().flatten();
        Ok(members
            .map(|member| Membership {
                id: text(&member["ID"]),
                name: text(&member["name"]),
                peers: member["peerURLs"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(text)
                    .collect(),
                learner: member["isLearner"] == true,
            })
            .collect())
    }

    /// Announces a host as a learner; returns its ID.
    pub fn add_learner(&self, host: &Host) -> anyhow::Result<String> {
        let peer = format!("https://{}", host_port(host.address, 2380));
        let answer = self.call(
            "cluster/member/add",
            &json!({ "peerURLs": [peer], "isLearner": true }),
        )?;
        Ok(text(&answer["member"]["ID"]))
    }

    /// Makes a learner a voter; an error while it has not caught up.
    pub fn promote(&self, id: &str) -> anyhow::Result<()> {
        self.call("cluster/member/promote", &json!({ "ID": id }))
            .map(drop)
    }

    pub fn remove(&self, id: &str) -> anyhow::Result<()> {
        self.call("cluster/member/remove", &json!({ "ID": id })).map(drop)
    }

    /// Hands the leadership on; only the leader can.
    pub fn move_leader(&self, to: &str) -> anyhow::Result<()> {
        self.call("maintenance/transfer-leadership", &json!({ "targetID": to }))
            .map(drop)
    }

    /// Gives unused space back; the member does not answer meanwhile.
    pub fn defragment(&self) -> anyhow::Result<()> {
        self.call("maintenance/defragment", &json!({})).map(drop)
    }

    /// The whole database, in pieces.
    pub fn snapshot(&self, sink: &mut dyn FnMut(&[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let mut lines = Vec::new();
        let mut remaining = None;
        self.api
            .stream("/v3/maintenance/snapshot", &json!({}), &mut |part| {
                lines.extend_from_slice(part);
                let mut start = 0;
                while let Some(end) = lines[start..].iter().position(|byte| *byte == b'\n') {
                    let message: Value = serde_json::from_slice(&lines[start..start + end])
                        .context("a piece of the snapshot is not JSON")?;
                    start += end + 1;
                    anyhow::ensure!(message["error"].is_null(), "etcd refuses: {}", message["error"]);
                    sink(&decoded(&message["result"]["blob"])?)?;
                    remaining = Some(number(&message["result"]["remaining_bytes"]));
                }
                lines.drain(..start);
                Ok(())
            })
            .with_context(|| format!("the snapshot of {}", self.host))?;
        anyhow::ensure!(remaining == Some(0), "the snapshot of {} broke off", self.host);
        Ok(())
    }

    /// Every key below a prefix, with its value.
    pub fn range(&self, prefix: &str) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
        let mut end = prefix.as_bytes().to_vec();
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        let mut start = prefix.as_bytes().to_vec();
        let mut found = Vec::new();
        loop {
            let answer = self.call(
                "kv/range",
                &json!({ "key": STANDARD.encode(&start), "range_end": STANDARD.encode(&end), "limit": PAGE }),
            )?;
            let pairs = answer["kvs"].as_array().cloned().unwrap_or_default();
            for pair in &pairs {
                let key = decoded(&pair["key"])?;
                start = [key.as_slice(), &[0]].concat();
                found.push((
                    String::from_utf8_lossy(&key).into_owned(),
                    decoded(&pair["value"])?,
                ));
            }
            if answer["more"] != true || pairs.is_empty() {
                return Ok(found);
            }
        }
    }
}

/// Waits until a host's member is healthy.
pub fn wait_healthy(
    fleet: &Fleet<'_>,
    host: &Host,
    secrets: &Secrets,
    deadline: Instant,
) -> anyhow::Result<()> {
    loop {
        let last = match Member::connect(fleet, host, secrets).and_then(|member| member.is_healthy()) {
            Ok(true) => return Ok(()),
            Ok(false) => "it has no leader".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        anyhow::ensure!(Instant::now() < deadline, "etcd did not become healthy: {last}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The gateway writes 64-bit numbers as text.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn number(value: &Value) -> u64 {
    text(value).parse().unwrap_or_default()
}

fn decoded(value: &Value) -> anyhow::Result<Vec<u8>> {
    STANDARD
        .decode(value.as_str().unwrap_or_default())
        .context("etcd answered with something else than base64")
}
