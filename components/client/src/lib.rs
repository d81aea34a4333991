//! What all client daemons share.
//!
//! - [`connection`]: a [`kube::Client`] whose certificates, CA bundle and token follow their files
//! - [`informer`]: a watched, indexed copy of one resource
//! - [`placement`]: whether a pod's selectors, affinity and tolerations let it onto a node
//! - [`undecoded`]: objects of lists and watches as they came
//! - [`supervise`]: panics that are logged, and work that begins again
//! - [`workqueue`]: keys that are deduplicated, never worked on twice at once, and retried with back-off
//! - [`leader`]: leader election by Lease
//! - [`events`]: recording events without flooding the API server

pub mod connection;
pub mod credentials;
pub mod events;
pub mod informer;
pub mod leader;
pub mod placement;
pub mod supervise;
pub mod undecoded;
pub mod workqueue;

pub use connection::{Connection, connect};
pub use credentials::{Credentials, CredentialsError};
pub use informer::{Change, Informer};
pub use workqueue::Queue;
