//! Who owns which fields: `metadata.managedFields` on every write, conflicts and server-side apply.
mod compact;
mod conflict;
mod entry;
mod last_applied;
mod limit;
mod manager;
mod object;
mod part;
mod prune;
mod versions;

pub use compact::Compact;
pub(crate) use compact::hold;
pub use entry::{Entry, Managers, Operation};
pub use manager::{FieldManager, Writer};
pub use object::is_same_but_for_times;
pub use part::Part;
pub use versions::{Kind, OnlyVersion, Versions};

#[cfg(test)]
mod tests;
