//! FieldsV1 as text: reading it without making a tree, and writing it.
use super::{Element, FieldSet, Node};
use crate::json::{skip_string, write_string};
use serde::de::IgnoredAny;
use std::borrow::Cow;

/// A field without others below it.
pub(super) const LEAF: &str = "{}";
/// How the fields below one begin that is in the set itself.
const SELF: &str = "{\".\":{}";
/// Deeper sets are not read as text.
const MAX_DEPTH: usize = 100;

/// One element with what is below it.
pub(super) struct Child<'a> {
    /// The quoted element.
    key: &'a str,
    /// What is below: a map, and the text after it.
    pub map: &'a str,
}

/// The text of one element that was passed.
pub(super) struct Passed<'a> {
    pub text: &'a str,
    /// What is below the element: a map and nothing after it.
    pub map: &'a str,
}

impl<'a> Child<'a> {
    pub fn element(&self) -> Cow<'a, str> {
        unquoted(self.key).0
    }

    /// Whether the element itself is in the set.
    pub fn is_member(&self) -> bool {
        self.map.starts_with(LEAF) || self.map.starts_with(SELF)
    }

    /// The beginning of the element, up to its map.
    pub fn begin(&self, out: &mut String) {
        separate(out);
        out.push_str(self.key);
        out.push(':');
    }
}

/// The elements of a map, one after the other. What is below one is only passed when the next is asked for.
pub(super) struct Children<'a> {
    map: &'a str,
    at: usize,
}

impl<'a> Children<'a> {
    /// Those of the map that the text is, or begins with.
    pub fn of(map: &'a str) -> Self {
        let at = if map.starts_with(SELF) { SELF.len() + 1 } else { 1 };
        Self { map, at }
    }

    /// The element at hand.
    pub fn peek(&self) -> Option<Child<'a>> {
        let end = skip_string(self.map.as_bytes(), self.at)?;
        Some(Child {
            key: self.map.get(self.at..end)?,
            map: self.map.get(end + 1..)?,
        })
    }

    /// Passes the element at hand.
    pub fn pass(&mut self, child: &Child<'a>) -> Passed<'a> {
        self.pass_map(child, end_of_map(child.map.as_bytes()))
    }

    /// Passes the element at hand, of whose map the length is known.
    pub fn pass_map(&mut self, child: &Child<'a>, length: usize) -> Passed<'a> {
        let start = self.at;
        let end = start + child.key.len() + 1 + length;
        self.at = end + usize::from(self.map.as_bytes().get(end) == Some(&b','));
        Passed {
            text: self.map.get(start..end).unwrap_or(""),
            map: child.map.get(..length).unwrap_or(""),
        }
    }

    /// The length of the map, when all elements were passed.
    pub fn length(&self) -> usize {
        self.at + 1
    }

    /// The text of all elements that were not passed. The map must have nothing after it.
    pub fn rest(&self) -> &'a str {
        self.map
            .get(self.at..self.map.len().saturating_sub(1))
            .unwrap_or("")
    }
}

/// Where the map ends that the text begins with.
fn end_of_map(text: &[u8]) -> usize {
    let (mut at, mut open) = (0, 0);
    loop {
        match text.get(at) {
            Some(b'"') => {
                at = skip_string(text, at).unwrap_or(text.len());
                continue;
            }
            Some(b'{') => open += 1,
            Some(b'}') if open <= 1 => return at + 1,
            Some(b'}') => open -= 1,
            Some(_) => {}
            None => return text.len(),
        }
        at += 1;
    }
}

/// The text of a quoted element, and whether it is quoted as we do it.
fn unquoted(key: &str) -> (Cow<'_, str>, bool) {
    let inner = key.get(1..key.len().saturating_sub(1)).unwrap_or("");
    if !inner.as_bytes().contains(&b'\\') {
        return (Cow::Borrowed(inner), true);
    }
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        text.push_str(plain);
        match escaped.as_bytes().first() {
            Some(b'"') => text.push('"'),
            Some(b'\\') => text.push('\\'),
            // Rarer than that anybody would care.
            _ => return slowly_unquoted(key),
        }
        rest = &escaped[1..];
    }
    text.push_str(rest);
    (Cow::Owned(text), true)
}

fn slowly_unquoted(key: &str) -> (Cow<'_, str>, bool) {
    let text: String = serde_json::from_str(key).unwrap_or_default();
    let mut quoted = Vec::with_capacity(key.len());
    write_string(&mut quoted, &text);
    (Cow::Owned(text), quoted == key.as_bytes())
}

/// The length of the FieldsV1 that the text begins with, if it is written as we write it: without white space, the
/// elements of each map ascending and each once, and a map that is only a mark empty.
pub(crate) fn written_length(text: &str) -> Option<usize> {
    written_map(text, 0, 0)
}

fn written_map(text: &str, start: usize, depth: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    if depth > MAX_DEPTH || bytes.get(start) != Some(&b'{') {
        return None;
    }
    let mut at = start + 1;
    if bytes.get(at) == Some(&b'}') {
        return Some(at + 1);
    }
    if bytes[start..].starts_with(SELF.as_bytes()) {
        // A mark alone is written as nothing, and the root is no field.
        at = start + SELF.len();
        if depth == 0 || bytes.get(at) != Some(&b',') {
            return None;
        }
        at += 1;
    }
    let mut last: Option<Cow<'_, str>> = None;
    loop {
        let end = skip_string(bytes, at)?;
        let (element, written) = unquoted(text.get(at..end)?);
        let ascends = last.as_deref().is_none_or(|last| last < &*element);
        if !ascends || !written || !is_element(&element) || bytes.get(end) != Some(&b':') {
            return None;
        }
        last = Some(element);
        at = match bytes.get(end + 1..end + 3) {
            Some(b"{}") => end + 3,
            _ => written_map(text, end + 1, depth + 1)?,
        };
        match bytes.get(at) {
            Some(b',') => at += 1,
            Some(b'}') => return Some(at + 1),
            _ => return None,
        }
    }
}

fn is_element(text: &str) -> bool {
    match text.as_bytes() {
        [b'f', b':', ..] => true,
        [b'k', b':', b'{', ..] | [b'v', b':', ..] => serde_json::from_str::<IgnoredAny>(&text[2..]).is_ok(),
        _ => Element::is_valid(text),
    }
}

/// A comma, unless the map has only begun.
pub(super) fn separate(out: &mut String) {
    if !out.ends_with('{') {
        out.push(',');
    }
}

/// Text of elements after what `out` has of their map.
pub(super) fn copy(out: &mut String, elements: &str) {
    if !elements.is_empty() {
        separate(out);
        out.push_str(elements);
    }
}

/// The elements of a set, after what `out` has of their map.
pub(super) fn write_nodes(out: &mut String, nodes: &[Node]) {
    for node in nodes {
        separate(out);
        quote(out, &node.element);
        out.push(':');
        write_below(out, node.member, |out| write_nodes(out, &node.below.nodes));
    }
}

/// The map of an element; says whether the element is there at all.
pub(super) fn write_below(out: &mut String, member: bool, below: impl FnOnce(&mut String)) -> bool {
    let start = out.len();
    out.push_str(if member { SELF } else { "{" });
    let empty = out.len();
    below(out);
    if out.len() > empty {
        out.push('}');
        return true;
    }
    out.truncate(start);
    out.push_str(LEAF);
    member
}

fn is_plain(text: &str) -> bool {
    !text
        .bytes()
        .any(|byte| byte < 0x20 || matches!(byte, b'"' | b'\\'))
}

/// The element of the field of this name.
pub(super) fn quote_field(out: &mut String, name: &str) {
    if is_plain(name) {
        out.push_str("\"f:");
        out.push_str(name);
        out.push('"');
        return;
    }
    quote(out, &super::field_element(name));
}

pub(super) fn quote(out: &mut String, element: &str) {
    if element.starts_with("f:") && is_plain(element) {
        out.push('"');
        out.push_str(element);
        out.push('"');
        return;
    }
    let mut quoted = Vec::with_capacity(element.len() + 8);
    write_string(&mut quoted, element);
    out.push_str(&String::from_utf8_lossy(&quoted));
}

/// The set of the elements of the map that the text begins with, and the length of that.
pub(super) fn set_of(map: &str) -> (FieldSet, usize) {
    let mut set = FieldSet::default();
    let mut children = Children::of(map);
    while let Some(child) = children.peek() {
        let (below, length) = set_of(child.map);
        set.push(child.element().into_owned(), child.is_member(), below);
        children.pass_map(&child, length);
    }
    (set, children.length())
}
