//! Hosts that come, go and are replaced. What is refused is decided purely in [`quorum`].

mod edit;
mod join;
mod outsider;
pub mod quorum;
mod remove;
mod replace;

pub use join::join;
pub use outsider::remove_outsider;
pub use remove::remove;
pub use replace::{Replacement, replace};

use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;

use crate::api::{self, Api};
use crate::bootstrap;
use crate::etcd::{Member, Membership};
use crate::fleet::Fleet;
use crate::identities::{self, OPERATOR, Secrets};
use crate::inventory::{Host, Inventory, host_port};
use crate::state::State;
use crate::ui::Ui;
use quorum::Voter;

/// A member that has just left etcd may have been its leader. Until there is another one no API server is ready.
const ELECTED_WITHIN: Duration = Duration::from_secs(30);

/// With what nodes are changed.
#[derive(Clone, Copy)]
pub struct Cluster<'a> {
    pub inventory: &'a Inventory,
    pub state: &'a State,
    pub ui: &'a Ui,
}

impl<'a> Cluster<'a> {
    pub fn host(&self, name: &str) -> anyhow::Result<&'a Host> {
        self.inventory
            .hosts
            .iter()
            .find(|host| host.name == name)
            .with_context(|| {
                format!(
                    "{name} is not in {}; write a [[hosts]] table for it there",
                    self.inventory.path.display()
                )
            })
    }

    fn secrets(&self) -> anyhow::Result<Secrets> {
        identities::prepare(self.inventory, self.state, SystemTime::now(), true)
    }

    /// An API server on another host than `without`.
    fn api(&self, fleet: &Fleet<'_>, secrets: &Secrets, without: &str) -> anyhow::Result<Api> {
        let identity = secrets
            .leaf(OPERATOR, "break-glass")
            .context("there is no break-glass certificate")?;
        let authority = secrets.trusted(pki::Authority::Kubernetes);
        let planes = self.inventory.control_planes();
        let others: Vec<&Host> = planes.filter(|host| host.name != without).collect();
        anyhow::ensure!(
            !others.is_empty(),
            "there is no other control plane than {without}"
        );
        api::wait(
            "another API server is ready",
            Instant::now() + ELECTED_WITHIN,
            || {
                let mut failure = None;
                for host in &others {
                    let api = Api::connect(fleet.target(host)?, 6443, authority, identity);
                    match api.and_then(|api| api.raw("/readyz").map(|_| api)) {
                        Ok(api) => return Ok(Some(api)),
                        Err(error) => {
                            failure = Some(error.context(format!("the API server of {}", host.name)))
                        }
                    }
                }
                failure.map_or(Ok(None), Err)
            },
        )
    }

    /// A healthy member of etcd on another host than `without`, and what the members are.
    fn etcd(&self, fleet: &Fleet<'_>, secrets: &Secrets, without: &str) -> anyhow::Result<Etcd> {
        let mut voters = Vec::new();
        let mut asked: Option<(Member, Vec<Membership>)> = None;
        for host in self.inventory.etcd_members() {
            let member = Member::connect(fleet, host, secrets);
            let healthy = matches!(member.as_ref().map(Member::is_healthy), Ok(Ok(true)));
            voters.push(Voter {
                name: host.name.clone(),
                peer: peer(host),
                healthy,
            });
            if let (Ok(member), true, true) = (member, healthy && host.name != without, asked.is_none()) {
                let members = member.members()?;
                asked = Some((member, members));
            }
        }
        let (member, members) =
            asked.with_context(|| format!("no other member of etcd than {without} is healthy"))?;
        // Only those count that etcd itself counts.
        let voters = members
            .iter()
            .filter(|member| !member.learner)
            .map(|member| {
                let known = voters
                    .iter()
                    .find(|voter| voter.name == member.name || member.peers.contains(&voter.peer));
                Voter {
                    name: member.name.clone(),
                    peer: member.peers.first().cloned().unwrap_or_default(),
                    healthy: known.is_some_and(|voter| voter.healthy),
                }
            })
            .collect();
        Ok(Etcd {
            member,
            members,
            voters,
        })
    }
}

/// etcd as one healthy member sees it.
struct Etcd {
    member: Member,
    members: Vec<Membership>,
    voters: Vec<Voter>,
}

impl Etcd {
    /// The member that was started under this name.
    fn named(&self, name: &str) -> Option<&Membership> {
        self.members.iter().find(|member| member.name == name)
    }

    /// Takes a member out; hands the leadership on first when it leads.
    fn remove(
        &self,
        cluster: &Cluster<'_>,
        fleet: &Fleet<'_>,
        secrets: &Secrets,
        name: &str,
    ) -> anyhow::Result<()> {
        let Some(leaving) = self.named(name) else {
            return Ok(());
        };
        if !leaving.learner {
            quorum::removal(&self.voters, name)?;
        }
        let status = self.member.status()?;
        if status.leader == leaving.id
            && let Ok(leader) = cluster
                .host(name)
                .and_then(|host| Member::connect(fleet, host, secrets))
        {
            // One that does not answer any more loses it anyway.
            if let Err(error) = leader.move_leader(&status.id) {
                cluster.ui.note(&format!("{error:#}"));
            }
        }
        self.member.remove(&leaving.id)
    }
}

fn peer(host: &Host) -> String {
    format!("https://{}", host_port(host.address, 2380))
}

/// Brings all hosts to what they should be now that the members have changed.
fn settle(cluster: &Cluster<'_>, cause: &str) -> anyhow::Result<()> {
    let Cluster {
        inventory, state, ui, ..
    } = *cluster;
    ui.phase(state, "connect to all");
    let fleet = Fleet::connect(inventory, state, ui)?;
    let mut survey = crate::survey::survey(&fleet, inventory, state, false)?;
    bootstrap::preflight(inventory, &survey, ui)?;
    bootstrap::bring(&fleet, inventory, state, ui, &mut survey, cause)?;
    Ok(())
}
