//! api-balancer
