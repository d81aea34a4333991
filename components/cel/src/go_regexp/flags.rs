//! What begins with `(?`.

use super::{Parser, Wrong, up_to};
use std::fmt::Write;

pub(super) const BAD_NAME: &str = "invalid named capture";

impl Parser {
    /// Reads a group with a name or without, or flags; gives what follows.
    pub(super) fn flags<'t>(&mut self, text: &'t str) -> Result<&'t str, Wrong<'t>> {
        let named = |open: &str| text.starts_with(open) && text.len() > open.len();
        let start = [("(?P<", named("(?P<")), ("(?<", named("(?<"))];
        if let Some((open, _)) = start.into_iter().find(|(_, is)| *is) {
            let end = text.find('>').ok_or((BAD_NAME, text))?;
            let name = text.get(open.len()..end).unwrap_or("");
            let in_name = |c: char| c == '_' || c.is_ascii_alphanumeric();
            if name.is_empty() || !name.chars().all(in_name) {
                return Err((BAD_NAME, &text[..=end]));
            }
            self.release();
            self.open("");
            return Ok(&text[end + 1..]);
        }
        let mut set: [(char, Option<bool>); 4] = ['i', 'm', 's', 'U'].map(|flag| (flag, None));
        let mut rest = text[2..].chars();
        let (mut negated, mut saw_flag) = (false, false);
        while let Some(flag) = rest.next() {
            match flag {
                'i' | 'm' | 's' | 'U' => {
                    saw_flag = true;
                    set.iter_mut()
                        .filter(|(known, _)| *known == flag)
                        .for_each(|(_, on)| *on = Some(!negated));
                }
                '-' if !negated => (negated, saw_flag) = (true, false),
                ':' | ')' if !negated || saw_flag => {
                    let flags = written(&set);
                    if flag == ':' {
                        self.release();
                        self.open(&flags);
                    } else if !flags.is_empty() {
                        let _ = write!(self.held, "(?{flags})");
                    }
                    return Ok(rest.as_str());
                }
                _ => break,
            }
        }
        Err(("invalid or unsupported Perl syntax", up_to(text, rest.as_str())))
    }
}

/// Flags that are set, and behind a dash those that are not.
fn written(flags: &[(char, Option<bool>)]) -> String {
    let which = |wanted: bool| flags.iter().filter(move |(_, on)| *on == Some(wanted));
    let mut text: String = which(true).map(|(flag, _)| *flag).collect();
    if which(false).next().is_some() {
        text.push('-');
        text.extend(which(false).map(|(flag, _)| *flag));
    }
    text
}
