//! End-to-end scenarios in the lab.
