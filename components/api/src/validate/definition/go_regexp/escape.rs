//! What begins with a backslash.

use super::{BAD_RANGE, Wrong, up_to};
use regex::Regex;
use std::collections::HashSet;
use std::sync::{LazyLock, Mutex, PoisonError};

const BAD_ESCAPE: &str = "invalid escape sequence";

/// What follows an escape that stands outside of classes.
pub(super) fn skip_outside(text: &str) -> Result<&str, Wrong<'_>> {
    match text[1..].chars().next() {
        Some('A' | 'b' | 'B' | 'z') => Ok(&text[2..]),
        Some('C') => Err((BAD_ESCAPE, &text[..2])),
        _ => match skip_group(text)? {
            Some(after) => Ok(after),
            None => read(text).map(|(_, after)| after),
        },
    }
}

/// What follows an escape that stands for many characters; `None` if there is none.
pub(super) fn skip_group(text: &str) -> Result<Option<&str>, Wrong<'_>> {
    let Some(after) = text.strip_prefix('\\') else {
        return Ok(None);
    };
    let mut chars = after.chars();
    match chars.next() {
        Some('d' | 'D' | 's' | 'S' | 'w' | 'W') => return Ok(Some(chars.as_str())),
        Some('p' | 'P') => {}
        _ => return Ok(None),
    }
    let (sequence, name) = if chars.as_str().starts_with('{') {
        let end = text.find('}').ok_or((BAD_RANGE, text))?;
        (&text[..=end], &text[3..end])
    } else {
        chars.next();
        let sequence = up_to(text, chars.as_str());
        (sequence, &sequence[2..])
    };
    if !is_known(name.strip_prefix('^').unwrap_or(name)) {
        return Err((BAD_RANGE, sequence));
    }
    Ok(Some(&text[sequence.len()..]))
}

/// Whether Unicode has a category or script of this name.
fn is_known(name: &str) -> bool {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' ');
    if name.is_empty() || name.len() > 64 || !name.chars().all(is_name) {
        return false;
    }
    // To ask takes long, and a pattern may name a category in every third byte. There are some hundred names, and one that is
    // wrong ends the pattern.
    static KNOWN: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    let plain: String = letters.map(|c| c.to_ascii_lowercase()).collect();
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if known().contains(&plain) {
        return true;
    }
    let exists = ["gc", "sc"]
        .iter()
        .any(|kind| Regex::new(&format!("\\p{{{kind}={name}}}")).is_ok());
    if exists {
        known().insert(plain);
    }
    exists
}

/// The character that an escape stands for, and what follows.
pub(super) fn read(text: &str) -> Result<(u32, &str), Wrong<'_>> {
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
