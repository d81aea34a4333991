//! Patterns as Go's regexp/syntax reads them, with its errors, for what matches in the crate `regex`: there words, digits and
//! spaces are of all of Unicode, classes can be within classes, and other texts are refused.

mod class;
mod counts;
mod escape;
mod flags;

use regex::{Regex, RegexBuilder};
use std::fmt::Write;

/// A count of repetitions may be this high, and so may the product of nested ones.
const MOST_REPEATS: i64 = 1000;
/// Groups and operators may be nested this deep.
const MOST_DEPTH: usize = 1000;

/// Nothing, or the error of a pattern that doesn't compile.
pub fn check(pattern: &str) -> Result<(), String> {
    translate(pattern).map(drop)
}

/// What matches the pattern, or Go's error. There is an error of our own for patterns that take more bytes when compiled.
pub fn compile(pattern: &str, most_bytes: usize) -> Result<Regex, String> {
    let translated = translate(pattern)?;
    RegexBuilder::new(&translated)
        .size_limit(most_bytes)
        .build()
        .map_err(|error| format!("error parsing regexp: {error}: `{pattern}`"))
}

/// The same pattern as the crate `regex` reads it.
fn translate(pattern: &str) -> Result<String, String> {
    let mut parser = Parser::default();
    match parser.parse(pattern) {
        Ok(()) => Ok(parser.out),
        Err((why, text)) => Err(format!("error parsing regexp: {why}: `{text}`")),
    }
}

/// What is wrong, and with which part of the pattern.
type Wrong<'t> = (&'static str, &'t str);

const MISSING_PAREN: &str = "missing closing )";
const MISSING_ARGUMENT: &str = "missing argument to repetition operator";
const BAD_COUNT: &str = "invalid repeat count";
const BAD_RANGE: &str = "invalid character class range";

/// What was read, as far as it decides about what follows.
#[derive(Clone, Copy)]
enum Item {
    Paren,
    Bar,
    Part(Part),
}

#[derive(Clone, Copy)]
struct Part {
    depth: usize,
    /// How often its innermost part is repeated.
    repeats: i64,
}

const PLAIN: Part = Part { depth: 1, repeats: 1 };

/// Matches no text at all.
const NOTHING: &str = "[^\\x00-\\x{10FFFF}]";

#[derive(Default)]
struct Parser {
    stack: Vec<Item>,
    out: String,
    /// Flags that were read and aren't written: an operator that follows is for what stands before them.
    held: String,
    /// Where the last part begins in what was written, and where each open group does.
    begin: usize,
    groups: Vec<usize>,
}

impl Parser {
    fn parse<'t>(&mut self, whole: &'t str) -> Result<(), Wrong<'t>> {
        let mut rest = whole;
        // The repetition operator just before, from there on.
        let mut last: Option<&'t str> = None;
        while let Some(first) = rest.chars().next() {
            let mut repeated = None;
            let repeats = matches!(first, '*' | '+' | '?') || first == '{' && counts::read(rest).is_some();
            if !repeats && !rest.starts_with("(?") {
                self.release();
            }
            rest = match first {
                '(' if rest.starts_with("(?") => self.flags(rest)?,
                '(' => {
                    self.open("");
                    &rest[1..]
                }
                '|' => {
                    self.join();
                    self.stack.push(Item::Bar);
                    self.out.push('|');
                    &rest[1..]
                }
                ')' => {
                    self.close(whole)?;
                    self.out.push(')');
                    self.begin = self.groups.pop().unwrap_or_default();
                    &rest[1..]
                }
                '[' => {
                    self.push(PLAIN, whole)?;
                    self.begin = self.out.len();
                    class::read(rest, &mut self.out)?
                }
                '*' | '+' | '?' => {
                    repeated = Some(rest);
                    self.repeat(None, rest, &rest[1..], last, whole)?
                }
                '{' => match counts::read(rest) {
                    None => {
                        self.literal(first, whole)?;
                        &rest[1..]
                    }
                    Some((least, most, after)) => {
                        let sound = (0..=MOST_REPEATS).contains(&least)
                            && most <= MOST_REPEATS
                            && (most < 0 || least <= most);
                        if !sound {
                            return Err((BAD_COUNT, up_to(rest, after)));
                        }
                        repeated = Some(rest);
                        self.repeat(Some((least, most)), rest, after, last, whole)?
                    }
                },
                '\\' if rest.starts_with("\\Q") => {
                    let (quoted, after) = rest[2..].split_once("\\E").unwrap_or((&rest[2..], ""));
                    for c in quoted.chars() {
                        self.literal(c, whole)?;
                    }
                    after
                }
                '\\' => {
                    self.begin = self.out.len();
                    let after = escape::outside(rest, &mut self.out)?;
                    self.push(PLAIN, whole)?;
                    after
                }
                '^' | '$' | '.' => {
                    self.push(PLAIN, whole)?;
                    self.begin = self.out.len();
                    self.out.push(first);
                    &rest[1..]
                }
                other => {
                    self.literal(other, whole)?;
                    &rest[other.len_utf8()..]
                }
            };
            last = repeated;
        }
        self.release();
        self.alternate(whole)?;
        match self.stack.as_slice() {
            [Item::Part(_)] => Ok(()),
            _ => Err((MISSING_PAREN, whole)),
        }
    }

    fn push<'t>(&mut self, part: Part, whole: &'t str) -> Result<(), Wrong<'t>> {
        if part.depth > MOST_DEPTH {
            return Err(("expression nests too deeply", whole));
        }
        self.stack.push(Item::Part(part));
        Ok(())
    }

    fn literal<'t>(&mut self, c: char, whole: &'t str) -> Result<(), Wrong<'t>> {
        self.begin = self.out.len();
        push_literal(u32::from(c), &mut self.out);
        self.push(PLAIN, whole)
    }

    /// A group. What it is called is of no use to who only matches.
    fn open(&mut self, flags: &str) {
        self.stack.push(Item::Paren);
        self.groups.push(self.out.len());
        let _ = write!(self.out, "(?{flags}:");
    }

    /// Writes flags that apply from here on.
    fn release(&mut self) {
        self.out.push_str(&self.held);
        self.held.clear();
    }

    /// Makes one part of those since a parenthesis or bar.
    fn join(&mut self) {
        let mut joined: Option<Part> = None;
        let mut several = false;
        while let Some(Item::Part(part)) = self.stack.last().copied() {
            self.stack.pop();
            several |= joined.is_some();
            joined = Some(joined.map_or(part, |other| other.beside(part)));
        }
        let mut joined = joined.unwrap_or(PLAIN);
        joined.depth += usize::from(several && joined.depth > 1);
        self.stack.push(Item::Part(joined));
    }

    /// Makes one part of all since a parenthesis.
    fn alternate<'t>(&mut self, whole: &'t str) -> Result<(), Wrong<'t>> {
        self.join();
        let mut joined: Option<Part> = None;
        let mut several = false;
        loop {
            match self.stack.last().copied() {
                Some(Item::Part(part)) => {
                    several |= joined.is_some();
                    joined = Some(joined.map_or(part, |other| other.beside(part)));
                }
                Some(Item::Bar) => {}
                Some(Item::Paren) | None => break,
            }
            self.stack.pop();
        }
        let mut joined = joined.unwrap_or(PLAIN);
        joined.depth += usize::from(several && joined.depth > 1);
        self.push(joined, whole)
    }

    fn close<'t>(&mut self, whole: &'t str) -> Result<(), Wrong<'t>> {
        self.alternate(whole)?;
        match (self.stack.pop(), self.stack.pop()) {
            (Some(Item::Part(mut part)), Some(Item::Paren)) => {
                part.depth += 1;
                self.push(part, whole)
            }
            _ => Err(("unexpected )", whole)),
        }
    }

    /// An operator from `before` up to `after` repeats the last part; gives what follows. None of its own repeats at will.
    fn repeat<'t>(
        &mut self,
        counts: Option<(i64, i64)>,
        before: &'t str,
        after: &'t str,
        last: Option<&'t str>,
        whole: &'t str,
    ) -> Result<&'t str, Wrong<'t>> {
        let after = after.strip_prefix('?').unwrap_or(after);
        if let Some(last) = last {
            return Err(("invalid nested repetition operator", up_to(last, after)));
        }
        let Some(Item::Part(mut part)) = self.stack.last().copied() else {
            return Err((MISSING_ARGUMENT, up_to(before, after)));
        };
        self.stack.pop();
        part.depth += 1;
        if let Some((least, most)) = counts {
            let own = if most < 0 { least } else { most };
            part.repeats = match (most, own) {
                (0, _) => 0,
                (_, 0) => part.repeats,
                (_, own) => own.saturating_mul(part.repeats).max(own),
            };
            if (least >= 2 || most >= 2) && part.repeats > MOST_REPEATS {
                return Err((BAD_COUNT, up_to(before, after)));
            }
        }
        self.push(part, whole)?;
        if !self.held.is_empty() {
            // It may be repeated already, and then the operator would be part of that one.
            self.out.insert_str(self.begin, "(?:");
            self.out.push(')');
        }
        self.out.push_str(up_to(before, after));
        Ok(after)
    }
}

/// Writes what matches one character and no other.
fn push_literal(code: u32, out: &mut String) {
    match char::from_u32(code) {
        Some(c) if c.is_ascii_alphanumeric() || !c.is_ascii() => out.push(c),
        Some(_) => push_code(code, out),
        None => out.push_str(NOTHING),
    }
}

fn push_code(code: u32, out: &mut String) {
    let _ = write!(out, "\\x{{{code:X}}}");
}

impl Part {
    fn beside(self, other: Self) -> Self {
        Self {
            depth: self.depth.max(other.depth),
            repeats: self.repeats.max(other.repeats),
        }
    }
}

/// A text up to another that it ends with.
fn up_to<'t>(text: &'t str, end: &str) -> &'t str {
    text.get(..text.len().saturating_sub(end.len())).unwrap_or(text)
}

#[cfg(test)]
mod tests;
