//! Admission as clients see it, with the whole server over a real etcd.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

mod bench;
mod field_sets;
mod generated_names;
mod identity;
mod mutations;
mod optional;
mod plugins;
mod policies;
mod quotas;
mod unreadable;
mod webhooks;
