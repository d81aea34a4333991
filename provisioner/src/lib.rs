//! The hardway command: inventory, facts, plan, phases over SSH.
pub mod image;
