//! The patch formats: JSON patch, merge patch, strategic merge patch.
pub mod json;
pub mod merge;
pub mod strategic;

/// A patch can't be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The patch itself is malformed (400).
    #[error("{0}")]
    Malformed(String),
    /// The patch does too much (413).
    #[error("{0}")]
    TooLarge(String),
    /// The patch doesn't fit the object (422).
    #[error("{0}")]
    Rejected(String),
}
