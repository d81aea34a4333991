//! Paths into objects and the errors found there, worded as upstream words them.
mod error;
mod path;

pub use error::{BadValue, Error, ErrorKind, ErrorList, aggregate, quote};
pub use path::Path;
