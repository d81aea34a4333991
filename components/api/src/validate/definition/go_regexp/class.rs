//! Classes of characters: `[a-z]`, `[[:alpha:]]`, `\pL`.

use super::{BAD_RANGE, Wrong, escape};

const NAMED: &[&str] = &[
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

/// What follows the class that the text begins with.
pub(super) fn skip(whole: &str) -> Result<&str, Wrong<'_>> {
    let mut rest = &whole[1..];
    rest = rest.strip_prefix('^').unwrap_or(rest);
    let mut first = true;
    loop {
        // A bracket at the beginning is one of the characters.
        if !first && let Some(after) = rest.strip_prefix(']') {
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
            rest = after;
            continue;
        }
        if let Some(after) = escape::skip_group(rest)? {
            rest = after;
            continue;
        }
        let range = rest;
        let (low, after) = character(rest, whole)?;
        rest = after;
        if let Some(after) = rest.strip_prefix('-')
            && !after.is_empty()
            && !after.starts_with(']')
        {
            let (high, after) = character(after, whole)?;
            rest = after;
            if high < low {
                return Err((BAD_RANGE, super::up_to(range, rest)));
            }
        }
    }
}

fn character<'t>(text: &'t str, whole: &'t str) -> Result<(u32, &'t str), Wrong<'t>> {
    match text.chars().next() {
        None => Err(("missing closing ]", whole)),
        Some('\\') => escape::read(text),
        Some(c) => Ok((u32::from(c), &text[c.len_utf8()..])),
    }
}
