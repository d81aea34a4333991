//! Brings the kernel up to date, one family at a time.

use std::net::IpAddr;
use std::sync::Arc;

use ahash::AHashMap;
use client::informer::Key as ServiceKey;
use component_config::kube_proxy::ProxyMode;
use host::command::{CommandError, run};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;

use crate::conntrack::{UdpPort, delete, stale, udp_ports};
use crate::iptables::base::{CANARY, JUMPS};
use crate::iptables::{self, Table};
use crate::model::{Family, Frontend, ThisNode, frontends};
use crate::nftables;
use crate::options::Options;

/// A Service with its slices; None for one that is gone.
pub type ChangedService = (ServiceKey, Option<(Arc<Service>, Vec<Arc<EndpointSlice>>)>);

/// The rules of one family.
pub struct Proxier {
    backend: Backend,
    /// UDP ports of each Service as they are in the kernel.
    udp: AHashMap<ServiceKey, Vec<UdpPort>>,
    /// Nothing is known about what is in the kernel.
    needs_full: bool,
}

enum Backend {
    Nftables(nftables::Ruleset),
    Iptables(iptables::Ruleset),
}

impl Proxier {
    pub fn new(mode: ProxyMode, options: Options) -> Proxier {
        let backend = match mode {
            ProxyMode::Nftables => Backend::Nftables(nftables::Ruleset::new(options)),
            ProxyMode::Iptables => Backend::Iptables(iptables::Ruleset::new(options)),
        };
        Proxier {
            backend,
            udp: AHashMap::new(),
            needs_full: true,
        }
    }

    pub fn options(&self) -> &Options {
        match &self.backend {
            Backend::Nftables(rules) => rules.options(),
            Backend::Iptables(rules) => rules.options(),
        }
    }

    /// Makes everything anew at the next [`Self::apply`].
    pub fn distrust(&mut self) {
        self.needs_full = true;
    }

    pub fn needs_full(&self) -> bool {
        self.needs_full
    }

    /// Applies changes. After an error everything is made anew the next time, so no change is lost.
    pub async fn apply(&mut self, changes: &[ChangedService], node: &ThisNode) -> Result<(), CommandError> {
        let options = self.options().clone();
        let mut models: Vec<(ServiceKey, Vec<Frontend>)> = Vec::with_capacity(changes.len());
        for (key, found) in changes {
            let model = match found {
                Some((service, slices)) => frontends(service, slices, options.family, node),
                None => Vec::new(),
            };
            models.push((key.clone(), model));
        }
        let full = std::mem::replace(&mut self.needs_full, true);
        match &mut self.backend {
            Backend::Nftables(ruleset) => {
                let rules = |(key, model): &(ServiceKey, Vec<Frontend>)| {
                    (key.clone(), Some(nftables::service::rules(model, &options)))
                };
                let mut script = ruleset.update(models.iter().map(rules));
                if full {
                    script = ruleset.full();
                }
                if !script.is_empty() {
                    run("nft", &["-f", "-"], script.into_bytes()).await?;
                }
            }
            Backend::Iptables(ruleset) => {
                let rules = |(key, model): &(ServiceKey, Vec<Frontend>)| {
                    (key.clone(), Some(iptables::service::rules(model, &options)))
                };
                let mut input = ruleset.update(models.iter().map(rules));
                if full {
                    input = ruleset.full(present_chains(options.family).await?);
                }
                if !input.is_empty() {
                    restore(options.family, input).await?;
                }
                if full {
                    ensure_jumps(options.family).await?;
                }
            }
        }
        self.needs_full = false;
        self.end_stale_flows(&models).await;
        Ok(())
    }

    /// Whether the rules are still there. A flush by somebody else takes the canary along.
    pub async fn is_intact(&self) -> bool {
        let result = match &self.backend {
            Backend::Nftables(rules) => {
                let family = nftables::chains::family(rules.options());
                run(
                    "nft",
                    &["list", "chain", family, nftables::TABLE, "mark-for-masquerade"],
                    Vec::new(),
                )
                .await
            }
            Backend::Iptables(rules) => {
                let program = program(rules.options().family);
                let list = async |table: &str| {
                    run(program, &["-w", "5", "-t", table, "-n", "-L", CANARY], Vec::new()).await
                };
                match list("nat").await {
                    Ok(_) => list("filter").await,
                    error => error,
                }
            }
        };
        if let Err(error) = &result {
            tracing::warn!(%error, "rules are gone");
        }
        result.is_ok()
    }

    async fn end_stale_flows(&mut self, models: &[(ServiceKey, Vec<Frontend>)]) {
        for (key, model) in models {
            let after = udp_ports(model);
            let before = self.udp.remove(key).unwrap_or_default();
            for stale in stale(&before, &after) {
                // The rules are right; what is left ends by its timeout.
                if let Err(error) = delete(&stale).await {
                    tracing::warn!(?stale, %error, "stale UDP flows not deleted");
                }
            }
            if !after.is_empty() {
                self.udp.insert(key.clone(), after);
            }
        }
    }
}

fn program(family: Family) -> &'static str {
    match family {
        Family::V4 => "iptables",
        Family::V6 => "ip6tables",
    }
}

async fn restore(family: Family, input: String) -> Result<(), CommandError> {
    let program = format!("{}-restore", program(family));
    run(&program, &["-w", "5", "--noflush"], input.into_bytes())
        .await
        .map(drop)
}

/// The chains that are in the kernel.
async fn present_chains(family: Family) -> Result<Vec<(Table, String)>, CommandError> {
    let save = format!("{}-save", program(family));
    let mut chains = Vec::new();
    for table in [Table::Filter, Table::Nat] {
        let listed = run(&save, &["-t", table.name()], Vec::new()).await?;
        let listed = String::from_utf8_lossy(&listed);
        let names = listed
            .lines()
            .filter_map(|line| line.strip_prefix(':')?.split(' ').next());
        chains.extend(names.map(|name| (table, name.to_owned())));
    }
    Ok(chains)
}

async fn ensure_jumps(family: Family) -> Result<(), CommandError> {
    for jump in JUMPS {
        let words = |verb: &'static str| {
            [&["-w", "5", "-t", jump.table.name(), verb, jump.chain], jump.rule].concat()
        };
        if run(program(family), &words("-C"), Vec::new()).await.is_err() {
            run(program(family), &words("-I"), Vec::new()).await?;
        }
    }
    Ok(())
}

/// Removes what the given mode leaves in the kernel, for both families.
pub async fn cleanup(mode: ProxyMode) -> Result<(), CommandError> {
    match mode {
        ProxyMode::Nftables => run("nft", &["-f", "-"], nftables::base::cleanup_script().into_bytes())
            .await
            .map(drop),
        ProxyMode::Iptables => {
            for family in [Family::V4, Family::V6] {
                cleanup_iptables(family).await?;
            }
            Ok(())
        }
    }
}

async fn cleanup_iptables(family: Family) -> Result<(), CommandError> {
    let chains = present_chains(family).await?;
    // Also what other versions made; KUBE-FIREWALL and the KUBELET chains belong to the kubelet.
    let ours: Vec<&(Table, String)> = chains
        .iter()
        .filter(|(_, name)| {
            name.starts_with("KUBE-")
                && !name.starts_with("KUBE-FIREWALL")
                && !name.starts_with("KUBE-KUBELET-CANARY")
        })
        .collect();
    if ours.is_empty() {
        return Ok(());
    }
    for jump in JUMPS {
        let words = [&["-w", "5", "-t", jump.table.name(), "-D", jump.chain], jump.rule].concat();
        // As often as it is there.
        while run(program(family), &words, Vec::new()).await.is_ok() {}
    }
    let mut input = String::new();
    for table in [Table::Filter, Table::Nat] {
        let of_table = || {
            ours.iter()
                .filter(move |(of, _)| *of == table)
                .map(|(_, name)| name)
        };
        let declared: String = of_table().map(|name| format!(":{name} - [0:0]\n")).collect();
        let removed: String = of_table().map(|name| format!("-X {name}\n")).collect();
        input.push_str(&format!("*{}\n{declared}{removed}COMMIT\n", table.name()));
    }
    restore(family, input).await
}

/// This host's addresses, for node ports.
pub async fn host_addresses() -> Vec<IpAddr> {
    let listed = async { host::routing::Routing::open()?.addresses().await };
    match listed.await {
        Ok(addresses) => addresses.iter().map(|address| address.network.addr()).collect(),
        Err(error) => {
            tracing::error!(%error, "addresses of this host are not known");
            Vec::new()
        }
    }
}
