//! Entries of the log: framed, checksummed, and read back up to the first that is torn.

use std::sync::Arc;

use bytes::Bytes;

use super::super::history::{Record, Version};
use crate::revision::Revision;

/// Length and checksum of what follows.
const HEADER: usize = 8;
/// Kind, revision, lease and length of the key.
const FIXED: usize = 1 + 8 + 8 + 4;
/// Longer entries are taken for torn ones; objects are far smaller.
const LONGEST: usize = 64 << 20;

const PUT: u8 = 1;
const DELETE: u8 = 2;
const COMPACT: u8 = 3;
const END: u8 = 4;

/// What the log says happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Change(Record),
    Compact(Revision),
    /// The last entry of a snapshot, taken at this revision.
    End(Revision),
}

impl Entry {
    /// Appends the entry to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (kind, at, lease, key, value): (u8, Revision, u64, &str, &[u8]) = match self {
            Entry::Change(Record { key, version }) => {
                let (kind, value) = match &version.value {
                    Some(value) => (PUT, value.as_ref()),
                    None => (DELETE, &[][..]),
                };
                (kind, version.at, version.lease.unwrap_or(0), key, value)
            }
            Entry::Compact(at) => (COMPACT, *at, 0, "", &[]),
            Entry::End(at) => (END, *at, 0, "", &[]),
        };
        let start = out.len();
        out.extend_from_slice(&[0; HEADER]);
        out.push(kind);
        out.extend_from_slice(&at.value().to_le_bytes());
        out.extend_from_slice(&lease.to_le_bytes());
        out.extend_from_slice(&(key.len() as u32).to_le_bytes());
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(value);
        let payload = &out[start + HEADER..];
        let length = (payload.len() as u32).to_le_bytes();
        let checksum = crc32fast::hash(payload).to_le_bytes();
        out[start..start + 4].copy_from_slice(&length);
        out[start + 4..start + HEADER].copy_from_slice(&checksum);
    }

    /// The entry at the start of `bytes`, and its length. None when it is torn, or there is none.
    pub fn read(bytes: &Bytes) -> Option<(Entry, usize)> {
        let length = number(bytes, 0)? as usize;
        let checksum = number(bytes, 4)?;
        let end = HEADER.checked_add(length)?;
        if !(FIXED..=LONGEST).contains(&length) || end > bytes.len() {
            return None;
        }
        let payload = bytes.slice(HEADER..end);
        if crc32fast::hash(&payload) != checksum {
            return None;
        }
        let at = Revision::new(i64::from_le_bytes(payload[1..9].try_into().ok()?));
        let lease = u64::from_le_bytes(payload[9..17].try_into().ok()?);
        let key_end = FIXED.checked_add(number(&payload, 17)? as usize)?;
        let key: Arc<str> = std::str::from_utf8(payload.get(FIXED..key_end)?).ok()?.into();
        let value = match payload[0] {
            PUT => Some(payload.slice(key_end..)),
            DELETE => None,
            COMPACT => return Some((Entry::Compact(at), end)),
            END => return Some((Entry::End(at), end)),
            _ => return None,
        };
        let version = Version {
            at,
            value,
            lease: (lease != 0).then_some(lease),
        };
        Some((Entry::Change(Record { key, version }), end))
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entries() -> impl Strategy<Value = Entry> {
        let change = (
            "[a-z/]{1,12}",
            1i64..1000,
            0u64..3,
            proptest::option::of(".{0,40}"),
        );
        prop_oneof![
            change.prop_map(|(key, at, lease, value)| Entry::Change(Record {
                key: key.as_str().into(),
                version: Version {
                    at: Revision::new(at),
                    value: value.map(|value| Bytes::from(value.into_bytes())),
                    lease: (lease != 0).then_some(lease),
                },
            })),
            (1i64..1000).prop_map(|at| Entry::Compact(Revision::new(at))),
        ]
    }

    proptest! {
        /// What was written is read back; of a log that is cut or spoiled anywhere, what comes before.
        #[test]
        fn read_back(entries in proptest::collection::vec(entries(), 1..6), cut: prop::sample::Index, flip: prop::sample::Index) {
            let mut log = Vec::new();
            let ends: Vec<usize> = entries.iter().map(|entry| { entry.write(&mut log); log.len() }).collect();
            let read_all = |log: Vec<u8>| {
                let mut rest = Bytes::from(log);
                let mut found = Vec::new();
                while let Some((entry, length)) = Entry::read(&rest) {
                    found.push(entry);
                    rest = rest.slice(length..);
                }
                found
            };
            prop_assert_eq!(&read_all(log.clone()), &entries);
            let cut = cut.index(log.len());
            let whole = ends.iter().filter(|end| **end <= cut).count();
            prop_assert_eq!(&read_all(log[..cut].to_vec())[..], &entries[..whole]);
            let flip = flip.index(log.len());
            let mut spoiled = log;
            spoiled[flip] ^= 0x10;
            let whole = ends.iter().filter(|end| **end <= flip).count();
            prop_assert_eq!(&read_all(spoiled)[..whole], &entries[..whole]);
        }

        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Entry::read(&Bytes::from(bytes));
        }
    }
}
