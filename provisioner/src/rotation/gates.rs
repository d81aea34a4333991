//! What has to be seen, live, before a stage counts as reached.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use pki::Authority;

use super::Gate;
use super::probes;
use super::published;
use super::rewrite;
use crate::api;
use crate::certs::{self, Finding, report};
use crate::etcd::Member;
use crate::fleet::Fleet;
use crate::identities::OPERATOR;
use crate::inventory::Inventory;
use crate::rollout::any_api;
use crate::survey::Survey;

/// Long enough for every reload interval, a kubelet's sync and a leader election.
const DEADLINE: Duration = Duration::from_secs(240);
/// What has to be set going is set going again after this time.
const NUDGE: Duration = Duration::from_secs(45);
const PAUSE: Duration = Duration::from_millis(500);

/// Through what the gates look.
pub struct Seen<'a> {
    pub fleet: &'a Fleet<'a>,
    pub inventory: &'a Inventory,
    pub survey: &'a Survey,
    pub settle: Duration,
}

pub fn describe(gate: Gate) -> &'static str {
    match gate {
        Gate::EtcdHealthy => "etcd is healthy",
        Gate::ApiServersReady => "API servers are ready",
        Gate::NodesReady => "nodes are ready",
        Gate::ServedCertificates => "certificates are served",
        Gate::RootCaPublished => "pods trust the API server",
        Gate::AuthoritiesPublished => "other servers trust the authorities",
        Gate::TokensRenewed => "tokens are renewed",
        Gate::SecretsRewritten => "Secrets are rewritten",
        Gate::TokensSettled => "clients read their tokens",
    }
}

/// Waits until the gate is open; what was seen last is told when it stays shut.
pub fn pass(seen: &Seen<'_>, gate: Gate) -> anyhow::Result<()> {
    if gate == Gate::TokensSettled {
        std::thread::sleep(seen.settle);
        return Ok(());
    }
    let deadline = Instant::now() + DEADLINE;
    let mut nudged: Option<Instant> = None;
    loop {
        let nudge = nudged.is_none_or(|nudged| nudged.elapsed() >= NUDGE);
        if nudge {
            nudged = Some(Instant::now());
        }
        let last = match look(seen, gate, nudge) {
            Ok(missing) if missing.is_empty() => return Ok(()),
            Ok(missing) => missing.join("; "),
            Err(error) => format!("{error:#}"),
        };
        anyhow::ensure!(
            Instant::now() < deadline,
            "{} was not seen within {} s: {last}. Nothing is lost: run the command again, or with --abort to go back",
            describe(gate),
            DEADLINE.as_secs()
        );
        std::thread::sleep(PAUSE);
    }
}

/// What is still missing; with `nudge`, what can be set going to mend it is.
fn look(seen: &Seen<'_>, gate: Gate, nudge: bool) -> anyhow::Result<Vec<String>> {
    match gate {
        Gate::EtcdHealthy => etcd(seen),
        Gate::ApiServersReady => api_servers(seen),
        Gate::NodesReady => nodes(seen),
        Gate::ServedCertificates => served(seen),
        Gate::RootCaPublished => root_ca(seen),
        Gate::AuthoritiesPublished => published::authorities(seen),
        Gate::TokensRenewed => probes::old_tokens(seen, nudge),
        Gate::SecretsRewritten => rewrite::secrets(seen),
        Gate::TokensSettled => Ok(Vec::new()),
    }
}

fn etcd(seen: &Seen<'_>) -> anyhow::Result<Vec<String>> {
    let mut leaders = std::collections::BTreeSet::new();
    for host in seen.inventory.etcd_members() {
        if !seen.fleet.is_connected(host) {
            continue;
        }
        let member = Member::connect(seen.fleet, host, &seen.survey.secrets)?;
        if !member.is_healthy()? {
            return Ok(vec![format!("{} is not healthy", host.name)]);
        }
        leaders.insert(member.status()?.leader);
    }
    Ok(match leaders.len() {
        1 => Vec::new(),
        count => vec![format!("the members name {count} leaders")],
    })
}

fn api_servers(seen: &Seen<'_>) -> anyhow::Result<Vec<String>> {
    let identity = seen
        .survey
        .secrets
        .leaf(OPERATOR, "admin")
        .context("there is no administrator's certificate")?;
    let authority = seen.survey.secrets.trusted(Authority::Kubernetes);
    for host in seen
        .inventory
        .control_planes()
        .filter(|host| seen.fleet.is_connected(host))
    {
        let api = api::Api::connect(seen.fleet.target(host)?, 6443, authority, identity)
            .with_context(|| format!("the API server of {}", host.name))?;
        for path in ["/readyz", "/api/v1/namespaces/default"] {
            api.raw(path)
                .with_context(|| format!("the API server of {}", host.name))?;
        }
    }
    Ok(Vec::new())
}

fn nodes(seen: &Seen<'_>) -> anyhow::Result<Vec<String>> {
    let nodes = seen.api()?.nodes()?;
    let ready = |name: &str| {
        nodes
            .iter()
            .any(|node| node["metadata"]["name"] == name && api::is_ready(node))
    };
    Ok(seen
        .inventory
        .nodes()
        .filter(|host| seen.fleet.is_connected(host) && !ready(&host.name))
        .map(|host| format!("{} is not ready", host.name))
        .collect())
}

fn served(seen: &Seen<'_>) -> anyhow::Result<Vec<String>> {
    let mut rows: Vec<certs::Row> = certs::from(seen.fleet)?.into_iter().flatten().collect();
    report::judge(&mut rows, std::time::SystemTime::now(), Duration::ZERO);
    let wrong = |finding: &Finding| {
        matches!(
            finding,
            Finding::OldServed { .. } | Finding::AuthorityGone | Finding::Expired
        )
    };
    Ok(rows
        .iter()
        .filter(|row| row.place.kind() == "served")
        .filter_map(|row| {
            let finding = row.findings.iter().find(|finding| wrong(finding))?;
            Some(format!("{}: {}: {finding}", row.host, row.place))
        })
        .collect())
}

fn root_ca(seen: &Seen<'_>) -> anyhow::Result<Vec<String>> {
    let bundle = seen.survey.secrets.trusted(Authority::Kubernetes);
    let api = seen.api()?;
    let maps = api.get("/api/v1/configmaps?fieldSelector=metadata.name%3Dkube-root-ca.crt")?;
    let namespaces = api.get("/api/v1/namespaces")?;
    let mut missing = Vec::new();
    for namespace in namespaces["items"].as_array().into_iter().flatten() {
        if namespace["metadata"]["deletionTimestamp"].is_string() {
            continue;
        }
        let name = &namespace["metadata"]["name"];
        let published = maps["items"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|map| map["metadata"]["namespace"] == *name)
            .and_then(|map| map["data"]["ca.crt"].as_str());
        if published.map(str::trim) != Some(bundle.trim()) {
            missing.push(format!("namespace {name} has another kube-root-ca.crt"));
        }
    }
    if missing.is_empty() {
        missing = probes::old_root_ca(seen, bundle)?;
    }
    Ok(missing)
}

impl Seen<'_> {
    /// An API server that answers.
    pub fn api(&self) -> anyhow::Result<api::Api> {
        any_api(self.fleet, self.inventory, &self.survey.secrets)
    }
}
