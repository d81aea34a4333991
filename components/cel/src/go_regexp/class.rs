//! Classes of characters: `[a-z]`, `[[:alpha:]]`, `\pL`.

use super::{BAD_RANGE, NOTHING, Wrong, escape, push_code, up_to};
use std::fmt::Write;

const NAMED: &[&str] = &[
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

/// Writes the class that the text begins with; gives what follows.
pub(super) fn read<'t>(whole: &'t str, out: &mut String) -> Result<&'t str, Wrong<'t>> {
    let mut rest = &whole[1..];
    out.push('[');
    if let Some(after) = rest.strip_prefix('^') {
        out.push('^');
        rest = after;
    }
    let mut first = true;
    loop {
        // A bracket at the beginning is one of the characters.
        if !first && let Some(after) = rest.strip_prefix(']') {
            out.push(']');
            return Ok(after);
        }
        first = false;
        if rest.starts_with("[:")
            && let Some(end) = rest[2..].find(":]")
        {
            let (name, after) = rest.split_at(end + 4);
            let bare = &name[2..end + 2];
            if !NAMED.contains(&bare.strip_prefix('^').unwrap_or(bare)) {
                return Err((BAD_RANGE, name));
            }
            out.push_str(name);
            rest = after;
            continue;
        }
        if let Some(after) = escape::group(rest, out)? {
            rest = after;
            continue;
        }
        let range = rest;
        let (low, after) = character(rest, whole)?;
        rest = after;
        let mut high = low;
        if let Some(after) = rest.strip_prefix('-')
            && !after.is_empty()
            && !after.starts_with(']')
        {
            (high, rest) = character(after, whole)?;
            if high < low {
                return Err((BAD_RANGE, up_to(range, rest)));
            }
        }
        push_range(low, high, out);
    }
}

fn character<'t>(text: &'t str, whole: &'t str) -> Result<(u32, &'t str), Wrong<'t>> {
    match text.chars().next() {
        None => Err(("missing closing ]", whole)),
        Some('\\') => escape::character(text),
        Some(c) => Ok((u32::from(c), &text[c.len_utf8()..])),
    }
}

/// Surrogates are no characters: no text has one.
fn push_range(low: u32, high: u32, out: &mut String) {
    let low = if char::from_u32(low).is_none() {
        0xE000
    } else {
        low
    };
    let high = if char::from_u32(high).is_none() {
        0xD7FF
    } else {
        high
    };
    if high < low {
        out.push_str(NOTHING);
        return;
    }
    push_code(low, out);
    if high > low {
        let _ = write!(out, "-\\x{{{high:X}}}");
    }
}
