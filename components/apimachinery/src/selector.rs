//! Label and field selectors: grammar, objects, matching.
mod fields;
mod labels;
mod parse;

pub use fields::{FieldRequirement, FieldSelector};
pub use labels::{LabelSelector, Operator, Requirement};

/// The text is not a selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseSelectorError(pub String);

#[cfg(test)]
mod tests;
