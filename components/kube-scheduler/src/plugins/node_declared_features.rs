//! NodeDeclaredFeatures: pods go to nodes whose kubelets declare what the pods need of them.

use crate::framework::failure::{Failure, Reason};
use crate::framework::plugin::Plugin;
use crate::model::declared_features::DeclaredFeatures;

/// Refuses a node that lacks something; no other pod's leaving helps.
pub fn check(needs: DeclaredFeatures, declared: DeclaredFeatures) -> Result<(), Failure> {
    let missing = needs.without(declared);
    let reason = match (missing.restarts_all_containers(), missing.has_own_users()) {
        (false, false) => return Ok(()),
        (true, false) => Reason::WithoutRestartAll,
        (false, true) => Reason::WithoutOwnUsers,
        (true, true) => Reason::WithoutEither,
    };
    Err(Failure::unresolvable(Plugin::NodeDeclaredFeatures, reason))
}
