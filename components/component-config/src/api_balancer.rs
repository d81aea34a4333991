//! Flags and configuration of api-balancer.
