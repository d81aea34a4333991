//! The hardway command: inventory, facts, plan, phases over SSH.

pub mod image;
pub mod inventory;
pub mod ssh;
