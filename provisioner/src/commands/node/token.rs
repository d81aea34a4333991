use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use pki::Authority;
use serde_json::json;

use super::{Context, Outcome, api};
use crate::enroll::{self, Member};
use crate::identities;
use crate::state::write_file;

/// Tokens with which hosts take themselves in that cannot be reached over SSH.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Make a token for one worker, and show what to run there.
    Create {
        /// The node's name; not one of the inventory.
        name: String,
        /// The worker's address.
        #[arg(long)]
        address: IpAddr,
        /// A label that the node gives itself, KEY=VALUE.
        #[arg(long = "label", value_parser = label)]
        labels: Vec<(String, String)>,
        /// A taint that the node begins with, KEY[=VALUE]:EFFECT.
        #[arg(long = "taint")]
        taints: Vec<String>,
        /// How long it is good, in minutes.
        #[arg(long, value_name = "MINUTES", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=10_080))]
        ttl: u64,
        /// Write the token into a file, mode 0600, instead of showing it.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Show the tokens, without their secrets.
    List,
    /// Take a token back at once.
    Delete { id: String },
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    if domain.ends_with("kubernetes.io") || domain.ends_with("k8s.io") {
        return Err("a node may not give itself this label; set it with kubectl label".to_owned());
    }
    Ok((key.to_owned(), value.to_owned()))
}

impl Arguments {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        let (inventory, state) = (context.inventory()?, context.peek());
        let api = api(&inventory, &state, context)?;
        match &self.command {
            Command::Create {
                name,
                address,
                labels,
                taints,
                ttl,
                out,
            } => {
                let secrets = identities::prepare(&inventory, &state, SystemTime::now(), true)?;
                let member = Member {
                    name: name.clone(),
                    address: *address,
                    labels: labels.iter().cloned().collect::<BTreeMap<_, _>>(),
                    taints: taints.clone(),
                };
                let lifetime = Duration::from_secs(ttl * 60);
                let (token, expires) = enroll::create(&api, &inventory, &secrets, &member, lifetime)?;
                let hashes = enroll::authority_hashes(secrets.trusted(Authority::Kubernetes))?;
                let endpoint = inventory.public_endpoint();
                let pins: String = hashes
                    .iter()
                    .map(|hash| format!(" --discovery-ca-hash {hash}"))
                    .collect();
                let command = format!("hardway node join-here --endpoint {endpoint}{pins} --token-file FILE");
                let shown = match out {
                    None => Some(token.text()),
                    Some(path) => {
                        write_file(path, format!("{}\n", token.text()).as_bytes(), 0o600)
                            .context("the token was made, but not written; delete it and make another")?;
                        None
                    }
                };
                let text = format!(
                    "token {} is for {name} until {expires:.0}\n{}on {name}, with the token in a file (or - for standard \
                     input), run as root\n  {command}\n",
                    token.id,
                    shown
                        .as_ref()
                        .map_or(String::new(), |token| format!("  {token}\n")),
                );
                let answer = json!({
                    "id": token.id, "token": shown, "name": name, "expires": expires, "endpoint": endpoint,
                    "hashes": hashes, "command": command,
                });
                context.answer(&answer, &text);
            }
            Command::List => {
                let tokens = enroll::list(&api)?;
                let mut text: String = tokens
                    .iter()
                    .map(|token| {
                        format!(
                            "{}  until {:<20}  {:<24}  {}\n",
                            token.id,
                            token.expires,
                            token.usages.join(", "),
                            token.description
                        )
                    })
                    .collect();
                if text.is_empty() {
                    "there are no tokens\n".clone_into(&mut text);
                }
                context.answer(&json!({ "tokens": tokens }), &text);
            }
            Command::Delete { id } => {
                enroll::delete(&api, id)?;
                context.answer(&json!({ "deleted": id }), &format!("token {id} is gone\n"));
            }
        }
        Ok(Outcome::Done)
    }
}
