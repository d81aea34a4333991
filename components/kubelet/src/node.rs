//! The Node object: what it says about this machine (pure), and the tasks that keep it current.

mod facts;
mod lease;
mod register;
mod report;
mod status;

pub use facts::{MachineFacts, Reservations, addresses_of_host, allocatable};
pub use lease::renew_lease;
pub use register::initial_node;
pub use report::{NodeReporter, RuntimeHealth};
