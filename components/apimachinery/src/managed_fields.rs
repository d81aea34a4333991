//! Who owns which fields: `metadata.managedFields` on every write, conflicts and server-side apply.
mod conflict;
mod entry;
mod limit;
mod manager;
mod object;

pub use entry::{Entry, Managers, Operation};
pub use manager::{FieldManager, Writer};

#[cfg(test)]
mod tests;
