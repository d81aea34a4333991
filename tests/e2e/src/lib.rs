//! What the end-to-end tests share: a lab that goes away with its owner, commands, waiting.
//!
//! The binaries come from `HARDWAY_BINARIES` (static release builds, see the Makefile), kubectl from `PATH`.

pub mod command;
mod hollow;
mod interruption;
pub mod lab;
pub mod prober;
mod quorum;
mod refresher;
mod release;
pub mod scale;
mod service_account;
pub mod wait;

pub use command::{Finished, run};
pub use hollow::HollowNodes;
pub use lab::TestLab;
pub use prober::{Prober, Report};
pub use quorum::{QuorumWatch, Seen};
pub use refresher::Refresher;
pub use service_account::PodProber;
pub use wait::until;

/// The folder of the package whose test runs. Asked for now: it may have been compiled for another clone or on another
/// machine, with a target folder that was kept and taken for fresh.
pub fn own_folder() -> std::path::PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR")
        .map(Into::into)
        .expect("cargo tells tests where their package is")
}

/// The folder with the built binaries.
pub fn binaries() -> std::path::PathBuf {
    std::env::var_os("HARDWAY_BINARIES")
        .map(Into::into)
        .expect("HARDWAY_BINARIES names the built binaries; use make e2e")
}
