//! Flags and configuration of pod-network.
