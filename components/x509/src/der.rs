//! Parts of DER whose bytes are needed as they are.

use x509_parser::der_parser::asn1_rs::{Any, Class, FromDer as _, Tag};

/// The inside of the sequence at the start, and what follows it.
pub(crate) fn sequence(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    inside(bytes, Tag::Sequence)
}

/// The inside of the set at the start, and what follows it.
pub(crate) fn set(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    inside(bytes, Tag::Set)
}

/// The bytes of the bit string at the start, and what follows it; all bits of its bytes count.
pub(crate) fn whole_bits(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (inside, rest) = inside(bytes, Tag::BitString)?;
    let (unused, bits) = inside.split_first()?;
    (*unused == 0).then_some((bits, rest))
}

fn inside(bytes: &[u8], tag: Tag) -> Option<(&[u8], &[u8])> {
    let (rest, any) = Any::from_der(bytes).ok()?;
    let of_parts = matches!(tag, Tag::Sequence | Tag::Set);
    let fits = any.class() == Class::Universal && any.tag() == tag && any.header.is_constructed() == of_parts;
    fits.then_some((any.data, rest))
}
