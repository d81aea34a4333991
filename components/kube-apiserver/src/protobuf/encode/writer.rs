//! Fields in the wire format.

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LENGTH: u32 = 2;

pub fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn key(out: &mut Vec<u8>, number: u32, wire: u32) {
    varint(out, u64::from(number << 3 | wire));
}

pub fn number(out: &mut Vec<u8>, field: u32, value: u64) {
    key(out, field, VARINT);
    varint(out, value);
}

pub fn fixed64(out: &mut Vec<u8>, field: u32, bits: u64) {
    key(out, field, FIXED64);
    out.extend_from_slice(&bits.to_le_bytes());
}

/// The beginning of a field whose `length` bytes follow.
pub fn length_of(out: &mut Vec<u8>, field: u32, length: usize) {
    key(out, field, LENGTH);
    varint(out, length as u64);
}

pub fn bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    length_of(out, field, value.len());
    out.extend_from_slice(value);
}

/// A message written by `write`, whose length is known only afterwards.
pub fn nested<E>(
    out: &mut Vec<u8>,
    field: u32,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    key(out, field, LENGTH);
    // Most messages are shorter than 128 bytes: one byte is kept for their length.
    let at = out.len();
    out.push(0);
    write(out)?;
    let length = out.len() - at - 1;
    if length < 0x80 {
        out[at] = length as u8;
        return Ok(());
    }
    let mut prefix = Vec::with_capacity(5);
    varint(&mut prefix, length as u64);
    out.splice(at..=at, prefix);
    Ok(())
}

/// A field inside the messages that `path` names before its last number.
pub fn along<E>(
    out: &mut Vec<u8>,
    path: &[u32],
    write: &mut dyn FnMut(&mut Vec<u8>, u32) -> Result<(), E>,
) -> Result<(), E> {
    match path {
        [] => Ok(()),
        [last] => write(out, *last),
        [first, rest @ ..] => nested(out, *first, |out| along(out, rest, write)),
    }
}
