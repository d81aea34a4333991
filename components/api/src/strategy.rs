//! What a kind does to an object before it is checked and stored.
mod create;
mod rules;
mod update;

pub use create::prepare_create;
pub use rules::{Rules, rules};
pub use update::prepare_update;

use crate::Resource;
use apimachinery::fieldset::FieldSet;

/// Fields that a write through this endpoint never changes.
pub fn reset_fields(resource: &Resource, subresource: &str) -> FieldSet {
    let rules = rules(resource);
    match subresource {
        "" if rules.status => FieldSet::of_names(&["status"]).union(&FieldSet::of_names(rules.main_keeps)),
        "status" => FieldSet::of_names(rules.status_keeps),
        _ => FieldSet::default(),
    }
}
