//! How many seats a request takes: what a list goes through, and what a write sets in motion.

use crate::request_info::{Query, RequestInfo};
use std::time::Duration;

/// Bytes that one seat's worth of a list keeps in memory; upstream's, with the next.
const BYTES_PER_SEAT: usize = 100_000;
/// A list that is streamed from the cache keeps no more than this, however long it is.
const MOST_BYTES: usize = 1_000_000;
const MOST_SEATS_OF_LIST: u32 = 100;
const MOST_SEATS_OF_WRITE: u32 = 10;
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

    /// Most seats at one moment.
    pub fn most(&self) -> u32 {
        let (after, _) = self.after.unwrap_or_default();
        self.seats.max(after)
    }
}

/// What the estimate depends on besides the request.
pub trait Counts {
    /// Objects of the resource, and their bytes.
    fn objects(&self, info: &RequestInfo) -> (usize, usize);
    /// Watches of the resource.
    fn watches(&self, info: &RequestInfo) -> usize;
}

/// Most seats of one request on a level with this nominal limit whose requests wait in so many queues each: 15 of a hundred, and few
/// enough for each of the queues to have as many.
pub fn most_seats(nominal: u32, hand_size: u32) -> u32 {
    let share = nominal.saturating_mul(15).div_ceil(100);
    share.min(nominal / hand_size.max(1)).max(1)
}

/// Estimates a request. `most` is the level's own upper bound, which those without queues don't have.
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
        "watch" if !begins_with_what_is_there(query) => Work::ONE,
        "list" | "watch" if info.subresource.is_empty() => Work {
            seats: {
                let most = most.min(MOST_SEATS_OF_LIST);
                listed(info, query, counts).map_or(most, |seats| seats.clamp(1, most))
            },
            after: None,
        },
        _ => watches.map_or(Work::ONE, |watches| {
            after_write(watches, most.min(MOST_SEATS_OF_WRITE))
        }),
    }
}

/// Whether a watch is told of all objects first: it asks for that, or begins at no certain version.
fn begins_with_what_is_there(query: &Query) -> bool {
    let version = query.get("resourceVersion").unwrap_or_default();
    query.is_true("sendInitialEvents") || version.is_empty() || version == "0"
}

/// The seats of a list, by the bytes that it keeps in memory at once. None if it says no limit that can be read.
fn listed(info: &RequestInfo, query: &Query, counts: &impl Counts) -> Option<u32> {
    let given = |field: &str| query.get(field).filter(|text| !text.is_empty());
    let limit = given("limit")
        .map(str::parse::<i64>)
        .transpose()
        .ok()?
        .unwrap_or(0);
    let (stored, bytes) = counts.objects(info);
    let limited = match usize::try_from(limit) {
        Ok(limit) if limit > 0 => limit.min(stored),
        _ => stored,
    };
    // What watches are told, and the newest objects, are in the cache.
    let version = given("resourceVersion");
    let exact = match given("resourceVersionMatch") {
        Some(how) => how == "Exact",
        None => given("continue").is_some() || (limit > 0 && version.is_some_and(|version| version != "0")),
    };
    let from_storage = info.verb != "watch" && exact;
    let selects = given("labelSelector").is_some() || given("fieldSelector").is_some();
    let kept = match (info.name.is_empty(), from_storage && selects) {
        // A name in the field selector makes it a read of one object.
        (false, _) => 1,
        // What is not selected is read as well.
        (true, true) => limited.max(stored / 2),
        (true, false) => limited,
    };
    let mut kept = kept.saturating_mul(bytes.div_ceil(stored.max(1)));
    if !from_storage {
        kept = kept.min(MOST_BYTES);
    }
    Some(u32::try_from(kept.div_ceil(BYTES_PER_SEAT)).unwrap_or(u32::MAX))
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
            ("list", "", "limit=a", 0, 0, 100, None),
            ("list", "", "limit=-1", 125, 0, 3, None),
            // Read from etcd, with what is not selected.
            ("list", "", "limit=50&continue=c", 300, 0, 1, None),
            (
                "list",
                "",
                "limit=50&continue=c&labelSelector=a%3Db",
                300,
                0,
                3,
                None,
            ),
            (
                "list",
                "",
                "limit=50&resourceVersion=5&fieldSelector=a%3Db",
                300,
                0,
                3,
                None,
            ),
            (
                "list",
                "",
                "limit=50&resourceVersion=0&fieldSelector=a%3Db",
                300,
                0,
                1,
                None,
            ),
            (
                "list",
                "",
                "limit=50&resourceVersion=5&resourceVersionMatch=Exact&labelSelector=a",
                300,
                0,
                3,
                None,
            ),
            (
                "list",
                "",
                "limit=50&resourceVersion=5&resourceVersionMatch=NotOlderThan&labelSelector=a",
                300,
                0,
                1,
                None,
            ),
            ("list", "", "limit=5000&continue=c", 5000, 0, 100, None),
            ("list", "", "limit=1000&continue=c", 5000, 0, 20, None),
            ("watch", "", "", 5000, 0, 10, None),
            ("watch", "", "resourceVersion=0", 340, 0, 7, None),
            ("watch", "", "resourceVersion=5", 5000, 0, 1, None),
            (
                "watch",
                "",
                "resourceVersion=5&sendInitialEvents=false",
                5000,
                0,
                1,
                None,
            ),
            ("watch", "a", "", 5000, 0, 1, None),
            (
                "watch",
                "",
                "resourceVersion=5&sendInitialEvents=true",
                340,
                0,
                7,
                None,
            ),
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
            let work = estimate(&info, &Query::parse(Some(query)), u32::MAX, told, &counts);
            let after = after.map(|(seats, millis)| (seats, Duration::from_millis(millis)));
            assert_eq!(work, Work { seats, after }, "{verb} {query} {objects} {watches}");
        }
        for (nominal, hand_size, expected) in [
            (0, 8, 1),
            (5, 8, 1),
            (13, 6, 2),
            (20, 8, 2),
            (49, 6, 8),
            (245, 8, 30),
            (1000, 1, 150),
            (1000, 0, 150),
        ] {
            assert_eq!(most_seats(nominal, hand_size), expected, "{nominal} {hand_size}");
        }
    }
}
