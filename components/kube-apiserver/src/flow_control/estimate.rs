//! How many seats a request takes: what a list goes through, and what a write sets in motion.

use crate::request_info::{Query, RequestInfo};
use std::time::Duration;

/// Bytes that one seat's worth of a list keeps in memory; upstream's, with the next.
const BYTES_PER_SEAT: usize = 100_000;
/// A list that is streamed keeps no more than this, however long it is.
const MOST_BYTES: usize = 1_000_000;
const MOST_SEATS: u32 = 10;
/// Watches that one more seat serves after a write.
const WATCHES_PER_SEAT: usize = 10;
/// How long a seat works on one event.
const EVENT: Duration = Duration::from_millis(5);

/// Seats while the request runs, and seats that it keeps busy afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    pub seats: u32,
    pub after: Option<(u32, Duration)>,
}

impl Work {
    pub const ONE: Self = Self {
        seats: 1,
        after: None,
    };
}

/// What the estimate depends on besides the request.
pub trait Counts {
    /// Objects of the resource, and their bytes.
    fn objects(&self, info: &RequestInfo) -> (usize, usize);
    /// Watches of the resource.
    fn watches(&self, info: &RequestInfo) -> usize;
}

/// Most seats of one request on a level with this nominal limit.
pub fn most_seats(nominal: u32) -> u32 {
    (nominal.saturating_mul(15)).div_ceil(100).clamp(1, MOST_SEATS)
}

/// Estimates a request. `most` is the level's own upper bound.
/// `watches` are those of the resource if the request is one that they are told of, [`told_of`].
pub fn estimate(
    info: &RequestInfo,
    query: &Query,
    most: u32,
    watches: Option<usize>,
    counts: &impl Counts,
) -> Work {
    match info.verb.as_str() {
        _ if !info.is_resource => Work::ONE,
        "watch" if !query.is_true("sendInitialEvents") => Work::ONE,
        // A name in the field selector makes it a read of one object.
        "list" | "watch" if info.name.is_empty() && info.subresource.is_empty() => {
            let (stored, bytes) = counts.objects(info);
            let limit = query.get("limit").and_then(|limit| limit.parse::<usize>().ok());
            let listed = match limit {
                Some(limit) if limit > 0 => limit.min(stored),
                _ => stored,
            };
            let kept = listed
                .saturating_mul(bytes.div_ceil(stored.max(1)))
                .min(MOST_BYTES);
            let seats = u32::try_from(kept.div_ceil(BYTES_PER_SEAT)).unwrap_or(u32::MAX);
            Work {
                seats: seats.clamp(1, most),
                after: None,
            }
        }
        _ => watches.map_or(Work::ONE, |watches| after_write(watches, most)),
    }
}

/// Whether watches of the resource are told of what comes of the request.
pub fn told_of(info: &RequestInfo) -> bool {
    // Tokens are made, not stored.
    let token = info.resource == "serviceaccounts" && info.subresource == "token";
    info.is_resource && !token && matches!(info.verb.as_str(), "create" | "update" | "patch" | "delete")
}

fn after_write(watches: usize, most: u32) -> Work {
    if watches < WATCHES_PER_SEAT {
        return Work::ONE;
    }
    let seats = u32::try_from(watches.div_ceil(WATCHES_PER_SEAT)).unwrap_or(u32::MAX);
    // Fewer seats work longer.
    let (seats, rounds) = if seats > most {
        (most, seats.div_ceil(most))
    } else {
        (seats, 1)
    };
    Work {
        seats: 1,
        after: Some((seats, EVENT * rounds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(usize, usize);

    impl Counts for Fixed {
        fn objects(&self, _: &RequestInfo) -> (usize, usize) {
            (self.0, self.0 * 2_000)
        }
        fn watches(&self, _: &RequestInfo) -> usize {
            self.1
        }
    }

    #[test]
    fn widths() {
        // verb, name, query, objects of 2,000 bytes, watches, seats, seats and milliseconds afterwards
        let table = [
            ("get", "a", "", 5000, 0, 1, None),
            ("list", "", "", 0, 0, 1, None),
            ("list", "", "", 125, 0, 3, None),
            ("list", "", "", 5000, 0, 10, None),
            ("list", "", "limit=50", 5000, 0, 1, None),
            ("list", "", "limit=51", 5000, 0, 2, None),
            ("list", "", "limit=0", 100, 0, 2, None),
            ("list", "", "limit=5000", 60, 0, 2, None),
            ("list", "", "limit=50&labelSelector=a%3Db", 300, 0, 1, None),
            ("list", "a", "", 5000, 0, 1, None),
            ("watch", "", "", 5000, 0, 1, None),
            ("watch", "", "sendInitialEvents=true", 340, 0, 7, None),
            ("create", "", "", 0, 9, 1, None),
            ("create", "", "", 0, 35, 1, Some((4, 5))),
            ("patch", "a", "", 0, 500, 1, Some((10, 25))),
        ];
        for (verb, name, query, objects, watches, seats, after) in table {
            let info = RequestInfo {
                is_resource: true,
                verb: verb.into(),
                name: name.into(),
                ..RequestInfo::default()
            };
            let counts = Fixed(objects, watches);
            let told = told_of(&info).then(|| counts.watches(&info));
            let work = estimate(&info, &Query::parse(Some(query)), 10, told, &counts);
            let after = after.map(|(seats, millis)| (seats, Duration::from_millis(millis)));
            assert_eq!(work, Work { seats, after }, "{verb} {query} {objects} {watches}");
        }
        for (nominal, expected) in [(0, 1), (5, 1), (13, 2), (49, 8), (245, 10)] {
            assert_eq!(most_seats(nominal), expected, "{nominal}");
        }
    }
}
