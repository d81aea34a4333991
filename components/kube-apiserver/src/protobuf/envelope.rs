//! What surrounds a message: the envelope of an object, the frame of a watch event.

use super::MAGIC;
use super::encode::writer;
use bytes::Bytes;

/// What stands before and after a message of `length` bytes.
pub struct Around {
    pub start: Vec<u8>,
    pub end: &'static [u8],
}

/// Empty contentEncoding and contentType, which upstream writes as well.
const END: &[u8] = &[0x1a, 0, 0x22, 0];

/// The envelope of an object whose message has `length` bytes.
pub fn around(api_version: &str, kind: &str, length: usize) -> Around {
    let mut meta = Vec::with_capacity(api_version.len() + kind.len() + 4);
    writer::bytes(&mut meta, 1, api_version.as_bytes());
    writer::bytes(&mut meta, 2, kind.as_bytes());
    let mut start = Vec::with_capacity(meta.len() + 16);
    start.extend_from_slice(MAGIC);
    writer::bytes(&mut start, 1, &meta);
    writer::length_of(&mut start, 2, length);
    Around { start, end: END }
}

/// A message in its envelope.
pub fn wrap(api_version: &str, kind: &str, message: &[u8]) -> Vec<u8> {
    let envelope = around(api_version, kind, message.len());
    [&envelope.start, message, envelope.end].concat()
}

/// The beginning of field `number` with `length` bytes, and as many of them as are given.
pub fn field(number: u32, length: usize, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 6);
    writer::length_of(&mut out, number, length);
    out.extend_from_slice(content);
    out
}

/// A watch event with the object that has this message.
pub fn watch_frame(event: &str, api_version: &str, kind: &str, message: &[u8]) -> Bytes {
    let around = around(api_version, kind, message.len());
    framed(event, &[&around.start, message, around.end])
}

/// A watch event with an object that is in its envelope already.
pub fn watch_frame_of(event: &str, object: &[u8]) -> Bytes {
    framed(event, &[object])
}

/// Four bytes of length, then the event: its type, and the object as a raw extension.
fn framed(event: &str, object: &[&[u8]]) -> Bytes {
    let length = object.iter().map(|part| part.len()).sum();
    let raw = field(1, length, &[]);
    let mut out = vec![0; 4];
    out.reserve(length + event.len() + 32);
    writer::bytes(&mut out, 1, event.as_bytes());
    writer::length_of(&mut out, 2, raw.len() + length);
    out.extend_from_slice(&raw);
    object.iter().for_each(|part| out.extend_from_slice(part));
    let framed = u32::try_from(out.len() - 4).unwrap_or(u32::MAX);
    out[..4].copy_from_slice(&framed.to_be_bytes());
    out.into()
}
