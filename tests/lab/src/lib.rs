//! Real hosts on one Linux machine, for demonstrations and end-to-end tests.
//!
//! A host is an overlay over a cached Debian image, booted by systemd-nspawn in a network namespace of its
//! own. All hosts hang on a bridge inside an outer network namespace that has no way out of the machine, and
//! the provisioner, kubectl and tests run in there too ([`network`]).

pub mod cgroup;
pub mod commands;
pub mod hollow;
pub mod host;
pub mod image;
pub mod inventory;
pub mod launch;
pub mod network;
pub mod process;
pub mod state;
