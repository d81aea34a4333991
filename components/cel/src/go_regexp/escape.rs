//! What begins with a backslash.

use super::{BAD_RANGE, Wrong, push_literal, up_to};
use regex::Regex;
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{LazyLock, Mutex, PoisonError};

const BAD_ESCAPE: &str = "invalid escape sequence";

/// Writes an escape that stands outside of classes; gives what follows.
pub(super) fn outside<'t>(text: &'t str, out: &mut String) -> Result<&'t str, Wrong<'t>> {
    let written = match text[1..].chars().next() {
        Some('A') => "\\A",
        Some('z') => "\\z",
        // Words are of ASCII.
        Some('b') => "(?-u:\\b)",
        Some('B') => "(?-u:\\B)",
        Some('C') => return Err((BAD_ESCAPE, &text[..2])),
        _ => {
            if let Some(after) = group(text, out)? {
                return Ok(after);
            }
            let (code, after) = character(text)?;
            push_literal(code, out);
            return Ok(after);
        }
    };
    out.push_str(written);
    Ok(&text[2..])
}

/// Writes an escape that stands for many characters, and gives what follows; `None` if there is none.
pub(super) fn group<'t>(text: &'t str, out: &mut String) -> Result<Option<&'t str>, Wrong<'t>> {
    let Some(after) = text.strip_prefix('\\') else {
        return Ok(None);
    };
    let mut chars = after.chars();
    let negated = match chars.next() {
        Some(c @ ('d' | 'D' | 's' | 'S' | 'w' | 'W')) => {
            out.push_str(match c {
                'd' => "[0-9]",
                'D' => "[^0-9]",
                's' => "[\\t\\n\\f\\r ]",
                'S' => "[^\\t\\n\\f\\r ]",
                'w' => "[0-9A-Za-z_]",
                _ => "[^0-9A-Za-z_]",
            });
            return Ok(Some(chars.as_str()));
        }
        Some('p') => false,
        Some('P') => true,
        _ => return Ok(None),
    };
    let (sequence, name) = if chars.as_str().starts_with('{') {
        let end = text.find('}').ok_or((BAD_RANGE, text))?;
        (&text[..=end], &text[3..end])
    } else {
        chars.next();
        let sequence = up_to(text, chars.as_str());
        (sequence, &sequence[2..])
    };
    let bare = name.strip_prefix('^');
    let kind = kind_of(bare.unwrap_or(name)).ok_or((BAD_RANGE, sequence))?;
    let letter = if negated == bare.is_some() { 'p' } else { 'P' };
    let _ = write!(out, "\\{letter}{{{kind}={}}}", bare.unwrap_or(name));
    Ok(Some(&text[sequence.len()..]))
}

/// Whether a name is that of a category (`gc`) or of a script (`sc`) of Unicode.
fn kind_of(name: &str) -> Option<&'static str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' ');
    if name.is_empty() || name.len() > 64 || !name.chars().all(is_name) {
        return None;
    }
    // To ask takes long, and a pattern may name a category in every third byte. There are some hundred names, and one that is
    // wrong ends the pattern.
    static KNOWN: LazyLock<Mutex<HashMap<String, &str>>> = LazyLock::new(Mutex::default);
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    let plain: String = letters.map(|c| c.to_ascii_lowercase()).collect();
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(kind) = known().get(&plain) {
        return Some(kind);
    }
    let kind = ["gc", "sc"]
        .into_iter()
        .find(|kind| Regex::new(&format!("\\p{{{kind}={name}}}")).is_ok())?;
    known().insert(plain, kind);
    Some(kind)
}

/// The character that an escape stands for, and what follows.
pub(super) fn character(text: &str) -> Result<(u32, &str), Wrong<'_>> {
    let mut rest = text[1..].chars();
    let Some(c) = rest.next() else {
        return Err(("trailing backslash at end of expression", ""));
    };
    let octal = |rest: &std::str::Chars<'_>| rest.clone().next().and_then(|c| c.to_digit(8));
    let value = match c {
        // One digit alone would refer to a group.
        '1'..='7' if octal(&rest).is_none() => None,
        '0'..='7' => {
            let mut value = c.to_digit(8).unwrap_or(0);
            for _ in 0..2 {
                let Some(digit) = octal(&rest) else { break };
                value = value * 8 + digit;
                rest.next();
            }
            Some(value)
        }
        'x' => hexadecimal(&mut rest),
        'a' => Some(7),
        'f' => Some(12),
        'n' => Some(10),
        'r' => Some(13),
        't' => Some(9),
        'v' => Some(11),
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(u32::from(c)),
        _ => None,
    };
    match value {
        Some(value) => Ok((value, rest.as_str())),
        None => Err((BAD_ESCAPE, up_to(text, rest.as_str()))),
    }
}

/// Two digits, or any number of them in braces. What was read of wrong ones is part of the error.
fn hexadecimal(rest: &mut std::str::Chars<'_>) -> Option<u32> {
    let first = rest.next()?;
    if first != '{' {
        let second = rest.next()?;
        return Some(first.to_digit(16)? * 16 + second.to_digit(16)?);
    }
    let mut value: Option<u32> = None;
    loop {
        match rest.next()? {
            '}' => return value,
            c => {
                let next = value.unwrap_or(0) * 16 + c.to_digit(16)?;
                value = (next <= u32::from(char::MAX)).then_some(next);
                value?;
            }
        }
    }
}
