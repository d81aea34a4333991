//! Names of subjects and issuers, as Go reads them.

use crate::der;
use x509_parser::der_parser::asn1_rs::{Any, Class, FromDer as _, Oid, Tag};
use x509_parser::der_parser::oid;

static COMMON_NAME: Oid<'_> = oid!(2.5.4.3);
static ORGANIZATION: Oid<'_> = oid!(2.5.4.10);

/// A distinguished name.
#[derive(Clone, Debug)]
pub struct Name<'n> {
    attributes: Vec<(Oid<'n>, Option<String>)>,
}

impl<'n> Name<'n> {
    /// Reads the DER of one, all of it: what is left out here might be read by others. Nothing if it is none, or if a text
    /// in it has what its kind must not have.
    pub fn read(name: &'n [u8]) -> Option<Self> {
        let (mut sets, end) = der::sequence(name)?;
        let mut attributes = Vec::new();
        while !sets.is_empty() {
            let (mut set, rest) = der::set(sets)?;
            while !set.is_empty() {
                let (attribute, rest) = der::sequence(set)?;
                let (value, kind) = Oid::from_der(attribute).ok()?;
                let (_, value) = Any::from_der(value).ok()?;
                attributes.push((kind, text(&value).ok()?));
                set = rest;
            }
            sets = rest;
        }
        end.is_empty().then_some(Self { attributes })
    }

    /// The values of a kind of attribute; nothing where one is no text.
    pub fn values(&self, kind: &Oid<'_>) -> impl Iterator<Item = Option<&str>> {
        self.attributes
            .iter()
            .filter(move |attribute| attribute.0 == *kind)
            .map(|(_, text)| text.as_deref())
    }

    /// The last one; empty if there is none.
    pub fn common_name(&self) -> &str {
        self.values(&COMMON_NAME).flatten().last().unwrap_or_default()
    }

    pub fn organizations(&self) -> impl Iterator<Item = &str> {
        self.values(&ORGANIZATION).flatten()
    }
}

/// A text has what its kind must not have.
struct Unfit;

/// The text of a value by the rules of parseASN1String in Go's crypto/x509; nothing for other kinds of values.
fn text(value: &Any<'_>) -> Result<Option<String>, Unfit> {
    if value.class() != Class::Universal || value.header.is_constructed() {
        return Ok(None);
    }
    let bytes = value.data;
    let of = |allowed: fn(&u8) -> bool| bytes.iter().all(allowed).then(|| latin1(bytes));
    let text = match value.tag() {
        // T.61 is nearly Latin-1, which is what everybody means by it.
        Tag::T61String => Some(latin1(bytes)),
        Tag::PrintableString => of(is_printable),
        Tag::NumericString => of(|byte| byte.is_ascii_digit() || *byte == b' '),
        Tag::Ia5String => of(u8::is_ascii),
        Tag::Utf8String => std::str::from_utf8(bytes).ok().map(str::to_owned),
        Tag::BmpString => basic_plane(bytes),
        _ => return Ok(None),
    };
    text.map(Some).ok_or(Unfit)
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// `*` and `&` are no part of it and found in certificates all the same.
fn is_printable(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b" '()+,-./:=?*&".contains(byte)
}

/// UCS-2 with the first byte first, perhaps with a zero at the end, without what Unicode keeps free of characters.
fn basic_plane(bytes: &[u8]) -> Option<String> {
    let bytes = bytes
        .strip_suffix(&[0, 0])
        .filter(|_| bytes.len().is_multiple_of(2))
        .unwrap_or(bytes);
    let (pairs, []) = bytes.as_chunks::<2>() else {
        return None;
    };
    pairs
        .iter()
        .map(|pair| match u16::from_be_bytes(*pair) {
            0xfffe | 0xffff | 0xfdd0..=0xfdef => None,
            point => char::from_u32(point.into()),
        })
        .collect()
}

#[cfg(test)]
mod tests;
