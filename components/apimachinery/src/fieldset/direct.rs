//! Writes FieldsV1 element by element, where a set would only be made to be written.
use super::text::{quote, quote_field, separate, write_below};
use super::{ANY, FieldSet, FieldsV1, Node};

/// What an element stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Name<'a> {
    /// A field or key of this name.
    Field(&'a str),
    /// Any element, by its text.
    Element(&'a str),
}

/// The fields that `elements` writes.
pub(crate) fn written(elements: impl FnOnce(&mut String)) -> FieldsV1 {
    let mut out = String::with_capacity(USUAL_LENGTH);
    write_below(&mut out, false, elements);
    FieldsV1::written(out)
}

/// Room for the fields of most objects.
const USUAL_LENGTH: usize = 4096;

/// Writes one element, which comes after those written before it, and what `below` writes below it. What is no member and
/// has nothing below it is not written.
pub(crate) fn write_element(out: &mut String, name: Name<'_>, member: bool, below: impl FnOnce(&mut String)) {
    let start = out.len();
    separate(out);
    match name {
        Name::Field(name) => quote_field(out, name),
        Name::Element(text) => quote(out, text),
    }
    out.push(':');
    if !write_below(out, member, below) {
        out.truncate(start);
    }
}

/// Fields that are left out: of some all that is below them, of others only they themselves.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LeftOut<'a> {
    whole: Option<&'a FieldSet>,
    alone: Option<&'a FieldSet>,
}

/// What is left out of one field.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Left<'a> {
    /// With all that is below it.
    pub whole: bool,
    /// Itself.
    pub alone: bool,
    pub below: LeftOut<'a>,
}

impl<'a> LeftOut<'a> {
    pub fn new(whole: &'a FieldSet, alone: &'a FieldSet) -> Self {
        Self {
            whole: Some(whole).filter(|set| !set.is_empty()),
            alone: Some(alone).filter(|set| !set.is_empty()),
        }
    }

    /// For the field of this name.
    pub fn of(self, name: &str) -> Left<'a> {
        self.find(|node| node.element.strip_prefix("f:") == Some(name))
    }

    /// For the element of this text.
    pub fn of_element(self, text: &str) -> Left<'a> {
        self.find(|node| node.element == text)
    }

    fn find(self, is_it: impl Fn(&Node) -> bool) -> Left<'a> {
        if self.whole.is_none() && self.alone.is_none() {
            return Left::default();
        }
        let left = |node: Option<&'a Node>| {
            node.map(|node| (node.member, Some(&node.below).filter(|below| !below.is_empty())))
                .unwrap_or_default()
        };
        let find = |set: Option<&'a FieldSet>| set.and_then(|set| set.nodes.iter().find(|node| is_it(node)));
        let any = || self.whole.and_then(|set| set.get(ANY));
        let (whole, whole_below) = left(find(self.whole).or_else(any));
        let (alone, alone_below) = left(find(self.alone));
        Left {
            whole,
            alone,
            below: Self {
                whole: whole_below,
                alone: alone_below,
            },
        }
    }
}
