//! What puts a host back when nobody is there to do it: `hardway` was killed, or the connection was lost, between the
//! switch to a new generation and the health gate.

use std::time::Duration;

use crate::apply;
use crate::desired::sha256;
use crate::facts::Facts;
use crate::plan::HostPlan;
use crate::shell::Shell;
use crate::ssh::SshError;

const ARM: &str = include_str!("../../templates/scripts/guard.sh");
const DISARM: &str = include_str!("../../templates/scripts/disarm.sh");
const HOLD: &str = "[ ! -e /etc/hardway/guard/target ] || systemctl restart hardway-guard.timer";

/// From where a host may be taken, and where it goes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// The generation that it is on.
    pub from: u64,
    /// The last that was confirmed.
    pub back_to: u64,
}

impl Way {
    /// None when the plan switches to nothing that would have to be confirmed, or there is nothing to go back to.
    pub fn of(plan: &HostPlan, facts: &Facts) -> Option<Way> {
        let from = facts.generation_number();
        let back_to = plan.unconfirmed.or(plan.generation.map(|_| from))?;
        (back_to > 0).then_some(Way { from, back_to })
    }
}

/// From now on the host goes back after `within`, unless [`disarm`] comes first. Refused when it is not on the
/// generation that it was found on.
pub fn arm(shell: &dyn Shell, way: Way, within: Duration, cause: &str) -> Result<(), SshError> {
    let go_back = apply::unattended_script(way.back_to, cause);
    let script = ARM
        .replace("@SHA256@", &sha256(go_back.as_bytes()))
        .replace("@FROM@", &way.from.to_string())
        .replace("@TARGET@", &way.back_to.to_string())
        .replace("@SECONDS@", &within.as_secs().to_string());
    let mut go_back = std::io::Cursor::new(go_back);
    shell.check("preparing the way back", &script, &mut go_back, &|_| {})?;
    Ok(())
}

/// The host stays where it is; an error when it has gone back already.
pub fn disarm(shell: &dyn Shell) -> Result<(), SshError> {
    shell.script("confirming the generation", DISARM)?;
    Ok(())
}

/// Somebody is there again: the time begins anew.
pub fn hold(shell: &dyn Shell) -> Result<(), SshError> {
    shell.script("taking over", HOLD)?;
    Ok(())
}
