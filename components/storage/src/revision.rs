//! Revisions: the one clock of the store, and what clients write in `resourceVersion`.

use std::fmt;

use crate::error::StorageError;

/// A point in the history of the store. Only this crate makes one; outside it comes from an object, a list or
/// a parsed `resourceVersion`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(i64);

impl Revision {
    /// Before anything was written.
    pub(crate) const ZERO: Revision = Revision(0);

    pub(crate) fn new(value: i64) -> Self {
        Revision(value.max(0))
    }

    pub(crate) fn next(self) -> Self {
        Revision(self.0.saturating_add(1))
    }

    /// The number, for metrics and comparisons with what etcd reports.
    pub fn value(self) -> i64 {
        self.0
    }

    /// Parses a non-empty, non-zero `resourceVersion`.
    pub fn parse(text: &str) -> Result<Self, StorageError> {
        match text
            .parse::<u64>()
            .ok()
            .and_then(|value| i64::try_from(value).ok())
        {
            Some(value) if !text.starts_with('+') => Ok(Revision(value)),
            _ => Err(StorageError::InvalidResourceVersion {
                value: text.to_owned(),
            }),
        }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "r{}", self.0)
    }
}

/// The last revision that there can be.
const NEWEST: u64 = i64::MAX.unsigned_abs();

/// What a client asked for in the `resourceVersion` parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RequestedRevision {
    /// Absent or empty: the most recent state.
    #[default]
    Unset,
    /// "0": whatever is at hand.
    Any,
    /// A number.
    At(Revision),
}

impl RequestedRevision {
    /// Parses the query parameter; empty counts as absent.
    pub fn parse(text: &str) -> Result<Self, StorageError> {
        match text {
            "" => Ok(RequestedRevision::Unset),
            // As upstream reads it, without a sign. No store ever gets to the upper half of these numbers.
            text if !text.starts_with('+') && text.parse::<u64>().is_ok_and(|number| number > NEWEST) => {
                Ok(RequestedRevision::At(Revision(i64::MAX)))
            }
            text => match Revision::parse(text)? {
                Revision::ZERO => Ok(RequestedRevision::Any),
                revision => Ok(RequestedRevision::At(revision)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_versions() {
        for (text, want) in [
            ("", Some(RequestedRevision::Unset)),
            ("0", Some(RequestedRevision::Any)),
            ("17", Some(RequestedRevision::At(Revision(17)))),
            ("-1", None),
            ("+1", None),
            ("x", None),
            ("1 ", None),
            (
                "9223372036854775808",
                Some(RequestedRevision::At(Revision(i64::MAX))),
            ),
            (
                "18446744073709551615",
                Some(RequestedRevision::At(Revision(i64::MAX))),
            ),
            ("18446744073709551616", None),
            ("+9223372036854775808", None),
        ] {
            assert_eq!(RequestedRevision::parse(text).ok(), want, "{text:?}");
        }
    }
}
