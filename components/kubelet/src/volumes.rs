//! Volumes of pods: what they contain (pure), and the files and mounts that hold it.

mod atomic_writer;
mod claim;
mod directories;
mod empty_dir;
mod host_path;
mod manager;
mod ownership;
mod payload;
mod sub_path;
mod token;

pub use directories::{PodDirectories, clean_orphans};
pub use manager::{PreparedVolumes, VolumeError, Volumes};
pub use sub_path::{SubPathError, resolve_sub_path};
pub use token::Tokens;
