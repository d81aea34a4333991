mod here;
mod leave;
mod token;

use std::net::IpAddr;
use std::time::Duration;

use serde_json::json;

use super::bundle::Bundled;
use super::{Context, Outcome, end_on_interrupt};
use crate::drain;
use crate::fleet::Fleet;
use crate::inventory::{Host, Inventory};
use crate::nodes::{self, Cluster, Replacement};
use crate::ssh::HostKey;
use crate::{identities, state::State};

/// Take hosts in and out, empty them, replace them.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Take hosts of the inventory into the cluster, one after the other. A worker touches no other host.
    Join {
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        bundled: Bundled,
    },
    JoinHere(here::Arguments),
    LeaveHere(leave::Arguments),
    Token(token::Arguments),
    /// Move a node's pods elsewhere, as disruption budgets allow it; no new ones come.
    Drain {
        name: String,
        #[command(flatten)]
        drain: Draining,
    },
    /// Let new pods come again.
    Uncordon {
        name: String,
    },
    /// Drain a host, take it out of etcd, clean it, delete its Node and its table in the inventory.
    ///
    /// Of one that took itself in with a token, the pods, the tokens, the Node and the routes go.
    Remove {
        name: String,
        #[command(flatten)]
        drain: Draining,
    },
    /// A fresh host takes over a name: write its address and host key into the inventory first.
    Replace {
        name: String,
        /// Where the host that is being replaced still runs; without it, it is taken to be gone.
        #[arg(long, value_name = "ADDRESS")]
        old_address: Option<IpAddr>,
        /// The SSH host key of the host that is being replaced, when no known_hosts file has it.
        #[arg(long, value_name = "KEY", requires = "old_address", value_parser = host_key)]
        old_host_key: Option<String>,
        #[command(flatten)]
        drain: Draining,
        #[command(flatten)]
        bundled: Bundled,
    },
}

#[derive(clap::Args)]
struct Draining {
    /// How long disruption budgets may hold it up.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u64,
    /// Also end pods that no controller makes again.
    #[arg(long)]
    force: bool,
}

impl Draining {
    fn options(&self) -> drain::Options {
        drain::Options {
            timeout: Duration::from_secs(self.timeout),
            force: self.force,
        }
    }
}

impl Arguments {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        match &self.command {
            Command::JoinHere(arguments) => return arguments.run(context),
            Command::LeaveHere(arguments) => return arguments.run(context),
            Command::Token(arguments) => return arguments.run(context),
            _ => {}
        }
        let inventory = context.inventory()?;
        let state = context.open(self.command.name())?;
        end_on_interrupt()?;
        let cluster = Cluster {
            inventory: &inventory,
            state: &state,
            ui: &context.ui,
        };
        match &self.command {
            Command::JoinHere(_) | Command::LeaveHere(_) | Command::Token(_) => {}
            Command::Join { names, bundled } => {
                for name in names {
                    cluster.host(name)?;
                }
                if let Some(bundle) = bundled.prepare(context, &inventory, &state)? {
                    let chosen = |host: &Host| names.contains(&host.name);
                    bundle.install_packages(&inventory, &state, &context.ui, chosen)?;
                }
                for name in names {
                    nodes::join(&cluster, name)?;
                }
            }
            Command::Drain { name, drain } => {
                let api = api(&inventory, &state, context)?;
                drain::drain(&api, name, drain.options(), &context.ui)?;
                context.answer(&json!({ "drained": name }), &format!("{name} is empty\n"));
            }
            Command::Uncordon { name } => {
                drain::cordon(&api(&inventory, &state, context)?, name, false)?;
                context.answer(
                    &json!({ "uncordoned": name }),
                    &format!("{name} takes pods again\n"),
                );
            }
            Command::Remove { name, drain } if cluster.host(name).is_err() => {
                nodes::remove_outsider(&cluster, name, drain.options())?;
            }
            Command::Remove { name, drain } => nodes::remove(&cluster, name, drain.options())?,
            Command::Replace {
                name,
                old_address,
                old_host_key,
                drain,
                bundled,
            } => {
                cluster.host(name)?;
                if let Some(bundle) = bundled.prepare(context, &inventory, &state)? {
                    let chosen = |host: &Host| host.name == *name;
                    bundle.install_packages(&inventory, &state, &context.ui, chosen)?;
                }
                let replacement = Replacement {
                    old_address: *old_address,
                    old_host_key: old_host_key.clone(),
                    drain: drain.options(),
                };
                nodes::replace(&cluster, name, &replacement)?;
            }
        }
        Ok(Outcome::Done)
    }
}

fn host_key(text: &str) -> Result<String, String> {
    let good = text.starts_with("SHA256:") || HostKey::parse(text).is_some();
    good.then(|| text.to_owned())
        .ok_or_else(|| "write it as in the inventory: ssh-ed25519 AAAA… or SHA256:…".to_owned())
}

fn api(inventory: &Inventory, state: &State, context: &Context) -> anyhow::Result<crate::api::Api> {
    let fleet = Fleet::connect_to(inventory, state, &context.ui, |_| false)?;
    let secrets = identities::prepare(inventory, state, std::time::SystemTime::now(), true)?;
    crate::rollout::any_api(&fleet, inventory, &secrets)
}

impl Command {
    fn name(&self) -> &'static str {
        match self {
            Command::Join { .. } => "node join",
            Command::JoinHere(_) => "node join-here",
            Command::LeaveHere(_) => "node leave-here",
            Command::Token(_) => "node token",
            Command::Drain { .. } => "node drain",
            Command::Uncordon { .. } => "node uncordon",
            Command::Remove { .. } => "node remove",
            Command::Replace { .. } => "node replace",
        }
    }
}
