//! One generic path per verb.

pub mod body;
pub mod create;
pub mod delete;
pub mod get;
pub mod list;
pub mod options;
pub mod patch;
pub mod target;
pub mod update;
pub mod watch;
pub mod write;
