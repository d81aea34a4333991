//! The HTTP frame: TLS listener, connections, bodies.

pub mod accept;
pub mod body;
pub mod browsers;
pub mod certificates;
mod client_certificates;
mod cork;
pub mod debug_socket;
pub mod keepalive;
pub mod names;
pub mod peer;
pub mod stamps;
pub mod threads;
