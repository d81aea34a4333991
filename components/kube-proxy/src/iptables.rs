//! The iptables mode, with upstream's chain names and comments, so that either proxy can take over from and
//! clean up after the other.

pub mod base;
pub mod names;
pub mod ruleset;
pub mod service;

pub use ruleset::Ruleset;

/// A table of iptables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    Filter,
    Nat,
}

impl Table {
    pub fn name(self) -> &'static str {
        match self {
            Table::Filter => "filter",
            Table::Nat => "nat",
        }
    }
}
