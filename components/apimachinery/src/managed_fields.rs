//! Who owns which fields: `metadata.managedFields` on every write, conflicts and server-side apply.
mod compact;
mod conflict;
mod entry;
mod last_applied;
mod limit;
mod manager;
mod object;

pub use compact::Compact;
pub(crate) use compact::hold;
pub use entry::{Entry, Managers, Operation};
pub use manager::{FieldManager, Writer};

#[cfg(test)]
mod tests;
