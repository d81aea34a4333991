//! To another release without an interruption: checked first, then host by host, each behind its health gate.

mod checks;
mod gather;
mod left;
mod run;
mod version;

pub use checks::{Deprecated, Problem, Situation, Target, check};
pub use gather::{situation, target};
pub use left::forget_if_left;
pub use run::{Limits, Upgrade};
pub use version::Version;
