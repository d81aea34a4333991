//! Makes the host be as planned.

use host::routing::Routing;
use ipnet::IpNet;

use component_config::pod_network::Flags;

use crate::cni::{self, CniConfiguration};
use crate::masquerade;
use crate::node::NodeNetwork;
use crate::plan::{Plan, ROUTE_PROTOCOL, Snapshot, plan};

/// What one pass left undone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub errors: Vec<String>,
    /// Routes that were made, exchanged or removed.
    pub changes: usize,
}

/// How much of the host is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checks {
    /// Routes and files.
    Routes,
    /// Also whether the rules are still as they were left, which takes a program to run.
    Everything,
}

/// Applies plans and remembers what it has applied.
pub struct Reconciler {
    flags: Flags,
    routing: Routing,
    /// The script that was applied last and how the kernel showed it afterwards.
    masquerade: Option<(String, String)>,
}

impl Reconciler {
    pub fn new(flags: Flags, routing: Routing) -> Reconciler {
        Reconciler {
            flags,
            routing,
            masquerade: None,
        }
    }

    /// Waits until the kernel reports a change.
    pub async fn host_changed(&mut self) -> bool {
        self.routing.changed().await
    }

    /// One pass. What fails is reported and doesn't keep the rest from being done.
    pub async fn reconcile(&mut self, nodes: &[NodeNetwork], checks: Checks) -> Report {
        let mut report = Report::default();
        let own = self
            .flags
            .node_name
            .as_deref()
            .and_then(|name| nodes.iter().find(|node| node.name == name));
        if let Err(error) = self.routes(nodes, &mut report).await {
            report.errors.push(describe(&error));
        }
        if let Some(own) = own.filter(|own| !own.pod_cidrs.is_empty())
            && let Err(error) = self.cni(own).await
        {
            report.errors.push(format!("{error:#}"));
        }
        let pod_cidrs = own.map(|own| own.pod_cidrs.as_slice()).unwrap_or_default();
        if let Err(error) = self.masquerade(pod_cidrs, checks).await {
            report.errors.push(describe(&error));
        }
        report
    }

    async fn routes(
        &self,
        nodes: &[NodeNetwork],
        report: &mut Report,
    ) -> Result<(), host::routing::RoutingError> {
        let addresses = self.routing.addresses().await?;
        let routes = self.routing.routes().await?;
        let Plan {
            replace,
            remove,
            problems,
        } = plan(Snapshot {
            nodes,
            own_name: self.flags.node_name.as_deref(),
            cluster_cidrs: &self.flags.cluster_cidr,
            addresses: &addresses,
            routes: &routes,
        });
        report.errors.extend(problems.iter().map(ToString::to_string));
        for route in &remove {
            match self.routing.remove(route).await {
                Ok(()) => {
                    report.changes += 1;
                    tracing::info!(destination = %route.destination, gateway = ?route.gateway, "route removed");
                }
                Err(error) => report.errors.push(describe(&error)),
            }
        }
        for route in &replace {
            match self.routing.replace(route, ROUTE_PROTOCOL).await {
                Ok(()) => {
                    report.changes += 1;
                    tracing::info!(destination = %route.destination, gateway = %route.gateway, "route set");
                }
                Err(error) => report.errors.push(describe(&error)),
            }
        }
        Ok(())
    }

    async fn cni(&self, own: &NodeNetwork) -> anyhow::Result<()> {
        let mtu = match self.flags.mtu {
            0 => self.uplink_mtu(own).await?,
            mtu => Some(mtu),
        };
        let content = cni::render(&CniConfiguration {
            pod_cidrs: &own.pod_cidrs,
            bridge: &self.flags.bridge,
            mtu,
        });
        let path = self.flags.cni_conf_dir.join(&self.flags.cni_conf_name);
        let written = cni::write_if_changed(&path, &content)
            .map_err(|error| anyhow::anyhow!("write {}: {error}", path.display()))?;
        if written {
            tracing::info!(path = %path.display(), pod_cidrs = ?own.pod_cidrs, "CNI configuration written");
        }
        Ok(())
    }

    async fn uplink_mtu(&self, own: &NodeNetwork) -> Result<Option<u32>, host::routing::RoutingError> {
        let addresses = self.routing.addresses().await?;
        let uplink = addresses
            .iter()
            .find(|local| own.addresses.contains(&local.network.addr()));
        match uplink {
            Some(uplink) => self.routing.mtu(uplink.interface).await,
            None => Ok(None),
        }
    }

    async fn masquerade(
        &mut self,
        pod_cidrs: &[IpNet],
        checks: Checks,
    ) -> Result<(), host::command::CommandError> {
        let script = masquerade::script(pod_cidrs, &self.flags.cluster_cidr);
        if let Some((applied, shown)) = &self.masquerade
            && *applied == script
            && (checks == Checks::Routes || *shown == masquerade::present().await?)
        {
            return Ok(());
        }
        masquerade::apply(&script).await?;
        self.masquerade = Some((script, masquerade::present().await?));
        tracing::info!(?pod_cidrs, "masquerading set");
        Ok(())
    }
}

fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
