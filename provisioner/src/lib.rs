//! The hardway command: inventory, facts, plan, phases over SSH.
