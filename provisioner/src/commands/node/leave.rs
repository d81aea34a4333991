use anyhow::Context as _;
use serde_json::json;

use super::{Context, Outcome};
use crate::commands::{confirm, reset};
use crate::shell::ThisHost;

const UNITS: &str = "/etc/hardway/current/meta/units";

/// Take off the host on which this runs everything that hardway node join-here put there.
///
/// Its Node stays in the API until the operator runs hardway node remove.
#[derive(clap::Args)]
pub struct Arguments {
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

impl Arguments {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        anyhow::ensure!(
            nix::unistd::geteuid().is_root(),
            "this changes the host: run it as root"
        );
        let units = match std::fs::read_to_string(UNITS) {
            Ok(units) => units,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                anyhow::bail!("this host holds nothing of a cluster: there is no {UNITS}")
            }
            Err(error) => return Err(error).context(format!("cannot read {UNITS}")),
        };
        if let Some(unit) = kept(&units) {
            anyhow::bail!(
                "this host runs {unit}, so others depend on it: the operator takes it out with hardway node remove"
            );
        }
        if !confirm(
            "remove the node's pods and everything of hardway from this host",
            self.yes,
        )? {
            anyhow::bail!("not confirmed; nothing was changed");
        }
        reset::clean(&ThisHost)?;
        context.answer(
            &json!({ "left": true }),
            "this host has left; the operator removes its Node with hardway node remove NAME\n",
        );
        Ok(Outcome::Done)
    }
}

/// A unit that makes the host more than a worker.
fn kept(units: &str) -> Option<&'static str> {
    [
        "etcd.service",
        "kube-apiserver.service",
        "hardway-haproxy.service",
    ]
    .into_iter()
    .find(|kept| units.lines().any(|line| line.split(' ').nth(1) == Some(*kept)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_workers_leave_by_themselves() {
        assert_eq!(kept("0 containerd.service x\n3 kubelet.service y\n"), None);
        assert_eq!(kept("1 etcd.service x\n"), Some("etcd.service"));
        assert_eq!(kept("not etcd.service-like\n"), None);
    }
}
