//! One pod: what it should be (pure) and the task that makes it so.

pub mod back_off;
pub mod cgroup_path;
pub mod container_config;
pub mod dns;
pub mod environment;
pub mod expansion;
pub mod host_files;
pub mod members;
pub mod phase;
pub mod probe_state;
pub mod qos;
pub mod resize;
pub mod resources;
pub mod sandbox_config;
pub mod security;
pub mod status;
pub mod step;
