//! Real clients against the API server: kubectl, the official Python client, kube-rs, kopf.

pub mod process;
pub mod python;
pub mod sample;
pub mod server;
