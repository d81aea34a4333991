//! The scheduler at work: what the watches report goes into [`core`], what it decides goes out by [`effects`].

pub mod actor;
pub mod binding;
pub mod core;
pub mod effects;
pub mod inputs;
pub mod status;
pub mod watched;

pub use actor::Scheduler;
pub use core::{Bind, Core, Nomination, Reject, Step};
pub use inputs::Input;
