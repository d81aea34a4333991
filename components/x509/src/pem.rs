//! PEM as Go's `encoding/pem` reads it (Go 1.26), for what one reader takes for the first block, all others must take
//! too: who checks a request and who signs it may be different programs.

mod base64;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"\n-----END ";
const DASHES: &[u8] = b"-----";

/// A block between a BEGIN and an END line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// What stands in both lines, such as `CERTIFICATE`.
    pub label: String,
    /// Whether there are lines such as `Proc-Type: 4,ENCRYPTED`.
    pub has_headers: bool,
    pub contents: Vec<u8>,
}

/// The well-formed blocks of a text.
pub fn blocks(text: &[u8]) -> Blocks<'_> {
    Blocks { rest: text }
}

/// See [`blocks`].
#[derive(Clone, Debug)]
pub struct Blocks<'t> {
    rest: &'t [u8],
}

impl<'t> Blocks<'t> {
    /// What follows the last block that was given.
    pub fn rest(&self) -> &'t [u8] {
        self.rest
    }
}

/// What an END line turned out to be of.
enum Found<'t> {
    Block(Block, &'t [u8]),
    /// Nothing that is well-formed: the search goes on behind it.
    Nothing,
    /// Nothing, and what follows can't hold a block either.
    Over,
}

impl Iterator for Blocks<'_> {
    type Item = Block;

    fn next(&mut self) -> Option<Block> {
        let mut text = self.rest;
        loop {
            let end = find(text, END)?;
            match block(text, end) {
                Found::Block(block, rest) => {
                    self.rest = rest;
                    return Some(block);
                }
                Found::Nothing => text = &text[end + END.len()..],
                Found::Over => return None,
            }
        }
    }
}

/// The block from the last BEGIN line before `end`, which is where an END line has its start.
fn block(text: &[u8], end: usize) -> Found<'_> {
    let Some(begin) = find_last(&text[..end], BEGIN) else {
        return Found::Nothing;
    };
    if begin > 0 && text[begin - 1] != b'\n' {
        return Found::Nothing;
    }
    let (line, mut body) = line(text, begin + BEGIN.len());
    let Some(label) = line.strip_suffix(DASHES) else {
        return Found::Nothing;
    };
    let mut has_headers = false;
    loop {
        if body == text.len() {
            return Found::Over;
        }
        let (line, next) = self::line(text, body);
        if !line.contains(&b':') {
            break;
        }
        has_headers = true;
        body = next;
    }
    let behind = end + END.len();
    if has_headers && body > end {
        // An END line with a colon was taken for a header.
        return if body > behind {
            Found::Over
        } else {
            Found::Nothing
        };
    }
    let closed = text[behind..]
        .strip_prefix(label)
        .and_then(|rest| rest.strip_prefix(DASHES));
    let Some(closed) = closed else {
        return Found::Nothing;
    };
    let (trailing, _) = self::line(closed, 0);
    if !trailing.is_empty() {
        return Found::Nothing;
    }
    // Without a body, the BEGIN line's end is the END line's start.
    let Some(contents) = base64::decode(text.get(body..end).unwrap_or_default()) else {
        return Found::Nothing;
    };
    let (_, after) = self::line(text, behind);
    let block = Block {
        label: String::from_utf8_lossy(label).into_owned(),
        has_headers,
        contents,
    };
    Found::Block(block, &text[after..])
}

/// The line at `start` without white space at its end, and where the next one starts.
fn line(text: &[u8], start: usize) -> (&[u8], usize) {
    let rest = &text[start..];
    let (line, next) = match rest.iter().position(|byte| *byte == b'\n') {
        None => (rest, text.len()),
        Some(end) => {
            let line = &rest[..end];
            (line.strip_suffix(b"\r").unwrap_or(line), start + end + 1)
        }
    };
    let blank = |byte: &&u8| matches!(byte, b' ' | b'\t');
    let trailing = line.iter().rev().take_while(blank).count();
    (&line[..line.len() - trailing], next)
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

fn find_last(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).rposition(|window| window == wanted)
}

#[cfg(test)]
mod tests;
