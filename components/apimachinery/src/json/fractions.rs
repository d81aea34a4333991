//! Numbers as they stand in a text: a quantity that is one keeps its form and all its digits, a value's number doesn't.
use super::{Parser, Step};

/// Of so many it is told how they were written. An object that has more doesn't have them for its quantities, and what is
/// known of each takes more room than its text.
pub(super) const MOST: usize = 1000;

/// So many bytes the keys of all paths may have, or as many as the text has.
const LEAST_ROOM: usize = 1 << 16;

/// A number that isn't a whole one of 64 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fraction {
    pub path: Vec<Place>,
    pub text: String,
}

/// One step of the way to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Key(String),
    Index(usize),
}

impl Parser<'_> {
    /// Where the numbers are and what they are; not all where many are below long keys.
    pub(super) fn told_fractions(&self) -> Vec<Fraction> {
        let mut room = self.text.len().max(LEAST_ROOM);
        let mut told = Vec::new();
        for (steps, range) in &self.fractions {
            let mut path = Vec::with_capacity(steps.len());
            for step in steps {
                path.push(match step {
                    Step::Key(at) => Place::Key(self.key(*at)),
                    Step::Index(index) => Place::Index(*index),
                });
                let Some(rest) = room.checked_sub(path.last().map_or(0, Place::length)) else {
                    return told;
                };
                room = rest;
            }
            told.push(Fraction {
                path,
                text: String::from_utf8_lossy(&self.text[range.clone()]).into_owned(),
            });
        }
        told
    }
}

impl Place {
    fn length(&self) -> usize {
        match self {
            Self::Key(name) => name.len(),
            Self::Index(_) => 0,
        }
    }
}
