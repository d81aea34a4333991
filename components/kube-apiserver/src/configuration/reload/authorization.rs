//! A changed AuthorizationConfiguration. Only webhooks come and go.

use super::{Followed, refused};
use crate::authorization::{Kind, Link};
use crate::configuration::authorization;
use crate::metrics::access;
use crate::server::Server;
use crate::webhook::Clients;
use anyhow::bail;

/// Looks at the file.
pub struct Follower {
    file: Followed,
    clients: Clients,
    /// Built-in authorizers of the start, in order of their names.
    initial: Vec<Kind>,
}

impl Follower {
    /// `None` without such a file.
    pub fn new(server: &Server) -> Option<Self> {
        let file = server.flags.authorization.authorization_config.as_deref()?;
        let file = Followed::new(file);
        let metrics = &server.metrics.access;
        metrics.in_use(access::Followed::Authorization, &file.text);
        Some(Self {
            file,
            clients: Clients::new(None).of_server().by(&server.egress),
            initial: built_in(server.authorizer.chain().iter().map(|member| &member.link)),
        })
    }

    /// Takes the file if it has changed and may be taken.
    pub fn look(&mut self, server: &Server) {
        let Some(text) = self.file.changed() else { return };
        let outcome =
            authorization::from_file(text, server.authorizer.policies(), &self.clients).and_then(|chain| {
                let wanted = built_in(chain.iter().map(|named| &named.link));
                check(&self.initial, &wanted).map(|()| chain)
            });
        let metrics = &server.metrics.access;
        metrics.reloaded(access::Followed::Authorization, outcome.is_ok());
        match outcome {
            Ok(chain) => {
                server.authorizer.replace(chain);
                metrics.in_use(access::Followed::Authorization, &self.file.text);
                tracing::info!("the authorization configuration was reloaded");
            }
            Err(error) => refused("authorization", &error),
        }
    }
}

fn built_in<'a>(chain: impl Iterator<Item = &'a Link>) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = chain.map(Link::kind).collect();
    kinds.retain(|kind| *kind != Kind::Webhook);
    kinds.sort_by_key(|kind| kind.name());
    kinds
}

/// The authorizers of the start stay, and none comes that would have had to be set up then.
fn check(initial: &[Kind], wanted: &[Kind]) -> anyhow::Result<()> {
    let missing: Vec<&str> = initial
        .iter()
        .filter(|kind| !wanted.contains(kind))
        .map(|kind| kind.name())
        .collect();
    if !missing.is_empty() {
        bail!("missing required types: [{}]", missing.join(" "));
    }
    let set_up = |kind: &&Kind| matches!(kind, Kind::Node | Kind::Rbac | Kind::Abac);
    if let Some(added) = wanted.iter().filter(set_up).find(|kind| !initial.contains(kind)) {
        bail!(
            "authorizer type {} is not allowed if it was not enabled at initial server startup",
            added.name()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_authorizers_neither_come_nor_go() {
        use Kind::{Abac, AlwaysAllow, Node, Rbac};
        for (initial, wanted, expected) in [
            (&[Node, Rbac][..], &[Node, Rbac][..], None),
            (&[Node, Rbac], &[Node], Some("missing required types: [RBAC]")),
            (
                &[Node, Rbac],
                &[AlwaysAllow],
                Some("missing required types: [Node RBAC]"),
            ),
            (&[Node, Rbac], &[], Some("missing required types: [Node RBAC]")),
            (
                &[Node],
                &[Node, Rbac],
                Some("authorizer type RBAC is not allowed if it was not enabled at initial server startup"),
            ),
            (
                &[],
                &[Abac],
                Some("authorizer type ABAC is not allowed if it was not enabled at initial server startup"),
            ),
            (&[Rbac], &[AlwaysAllow, Rbac], None),
        ] {
            let told = check(initial, wanted).err().map(|error| error.to_string());
            assert_eq!(told.as_deref(), expected, "{initial:?} {wanted:?}");
        }
    }
}
