//! The controller manager beside a real API server and etcd.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

mod cluster;
mod cronjobs;
mod jobs;
mod policies;
mod quotas;
mod ranges;
mod statefulsets;
mod tokens;
mod volumes;
