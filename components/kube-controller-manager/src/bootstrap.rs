//! Bootstrap tokens: signing what a new node reads before it can trust anybody, and removing those that are over.

mod cleaner;
mod signer;
pub mod token;

pub use cleaner::start as start_cleaner;
pub use signer::start as start_signer;
