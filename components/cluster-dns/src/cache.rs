//! Answers of other resolvers, for as long as they are good.

use std::time::{Duration, Instant};

use ahash::AHashMap;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{LowerName, RData, Record, RecordType};
use parking_lot::Mutex;

/// Bounds the memory to a few MiB.
const CAPACITY: usize = 4096;
/// No answer is kept longer, whatever it says.
const LONGEST: Duration = Duration::from_secs(30);

/// The parts of an answer that are passed on.
#[derive(Clone, Debug, PartialEq)]
pub struct Forwarded {
    pub code: ResponseCode,
    pub answers: Vec<Record>,
    pub authorities: Vec<Record>,
}

impl Forwarded {
    /// How long it may be kept: not at all if it is an error or says nothing about its age.
    fn lifetime(&self) -> Duration {
        let negative = self.answers.is_empty() || self.code != ResponseCode::NoError;
        let seconds = match (self.code, negative) {
            (ResponseCode::NoError | ResponseCode::NXDomain, true) => {
                let soa = self.authorities.iter().filter_map(|record| match &record.data {
                    RData::SOA(soa) => Some(soa.minimum.min(record.ttl)),
                    _ => None,
                });
                soa.min()
            }
            (ResponseCode::NoError, false) => self.answers.iter().map(|record| record.ttl).min(),
            _ => None,
        };
        Duration::from_secs(u64::from(seconds.unwrap_or(0))).min(LONGEST)
    }

    fn aged(&self, seconds: u32) -> Forwarded {
        let mut copy = self.clone();
        for record in copy.answers.iter_mut().chain(&mut copy.authorities) {
            record.ttl = record.ttl.saturating_sub(seconds);
        }
        copy
    }
}

struct Entry {
    forwarded: Forwarded,
    since: Instant,
    until: Instant,
}

/// The cache.
#[derive(Default)]
pub struct Cache {
    entries: Mutex<AHashMap<(LowerName, RecordType), Entry>>,
}

impl Cache {
    pub fn get(&self, name: &LowerName, record_type: RecordType, now: Instant) -> Option<Forwarded> {
        let entries = self.entries.lock();
        let entry = entries
            .get(&(name.clone(), record_type))
            .filter(|entry| entry.until > now)?;
        let age = now.saturating_duration_since(entry.since).as_secs();
        Some(entry.forwarded.aged(u32::try_from(age).unwrap_or(u32::MAX)))
    }

    pub fn put(&self, name: LowerName, record_type: RecordType, forwarded: &Forwarded, now: Instant) {
        let lifetime = forwarded.lifetime();
        if lifetime.is_zero() {
            return;
        }
        let mut entries = self.entries.lock();
        if entries.len() >= CAPACITY {
            entries.retain(|_, entry| entry.until > now);
        }
        if entries.len() >= CAPACITY {
            // All are good; whichever comes first makes room.
            let victim = entries.keys().next().cloned();
            victim.and_then(|key| entries.remove(&key));
        }
        entries.insert(
            (name, record_type),
            Entry {
                forwarded: forwarded.clone(),
                since: now,
                until: now + lifetime,
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::Name;
    use hickory_proto::rr::rdata::A;

    use super::*;

    #[test]
    fn answers_age_and_end() {
        let name = Name::from_ascii("a.example.").unwrap();
        let record = Record::from_rdata(name.clone(), 20, RData::A(A("192.0.2.1".parse().unwrap())));
        let forwarded = Forwarded {
            code: ResponseCode::NoError,
            answers: vec![record],
            authorities: vec![],
        };
        let (cache, now, key) = (Cache::default(), Instant::now(), LowerName::new(&name));
        cache.put(key.clone(), RecordType::A, &forwarded, now);
        let later = cache
            .get(&key, RecordType::A, now + Duration::from_secs(5))
            .unwrap();
        assert_eq!(later.answers[0].ttl, 15);
        assert_eq!(cache.get(&key, RecordType::AAAA, now), None);
        assert_eq!(
            cache.get(&key, RecordType::A, now + Duration::from_secs(20)),
            None
        );
        let failed = Forwarded {
            code: ResponseCode::ServFail,
            ..forwarded
        };
        cache.put(key.clone(), RecordType::AAAA, &failed, now);
        assert_eq!(
            cache.get(&key, RecordType::AAAA, now),
            None,
            "failures are not kept"
        );
    }
}
