//! Pods have to leave when the node runs out of something.
//!
//! - [`signals`]: what is watched and its thresholds; [`state`]: which of them are crossed, for how long; both pure
//! - [`rank`]: who has to go first, pure; [`message`]: what they are told
//! - [`local_storage`]: pods that use more disk than they may, pure
//! - [`observe`]: how much there is left, and who uses it; [`control`]: the loop that acts

mod control;
mod local_storage;
mod message;
mod observe;
mod rank;
mod signals;
mod state;

pub use control::EvictionControl;
pub use observe::{DiskUse, PodDisk, image_file_systems};
pub use rank::is_critical;
pub use signals::{Settings, SettingsError};
pub use state::{Pressure, Pressures};

/// What a pod that has to leave is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eviction {
    pub message: String,
    /// Seconds; None is the pod's own grace period.
    pub grace: Option<u64>,
}
