//! Who owns which fields: `metadata.managedFields` on every write, conflicts and server-side apply.
mod entry;
mod manager;

pub use entry::{Entry, Managers, Operation};
pub use manager::{FieldManager, Writer};

#[cfg(test)]
mod tests;
