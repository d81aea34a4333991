//! Links in a page that is passed on piece by piece: each attribute that holds one is given to a function.

/// Longest tag or comment that is waited for; a longer one is passed on as it is.
const LONGEST: usize = 64 * 1024;
/// Elements whose content is text, whatever it looks like.
const RAW: [&str; 4] = ["script", "style", "textarea", "title"];

/// Attributes that hold links, by element; upstream's list.
fn links_of(element: &str) -> &'static [&'static str] {
    match element {
        "a" | "area" | "base" | "link" => &["href"],
        "applet" => &["codebase"],
        "audio" | "embed" | "script" | "source" => &["src"],
        "blockquote" | "del" | "ins" | "q" => &["cite"],
        "body" => &["background"],
        "button" => &["formaction"],
        "command" => &["icon"],
        "form" => &["action"],
        "frame" | "iframe" => &["longdesc", "src"],
        "head" => &["profile"],
        "html" => &["manifest"],
        "img" => &["longdesc", "src", "usemap"],
        "input" => &["src", "usemap", "formaction"],
        "object" => &["classid", "codebase", "data", "usemap"],
        "video" => &["poster", "src"],
        _ => &[],
    }
}

/// What has come of a page and is not passed on yet.
#[derive(Debug, Default)]
pub struct Page {
    held: Vec<u8>,
    /// The element whose content is text.
    raw: Option<&'static str>,
}

/// What stands at a place.
enum Piece {
    /// So many bytes go on as they are.
    Plain(usize),
    Tag(usize),
    /// More has to come.
    Unfinished,
}

impl Page {
    /// Takes the next bytes and gives those that can go on.
    pub fn push(&mut self, bytes: &[u8], link: &impl Fn(&str) -> String) -> Vec<u8> {
        self.held.extend_from_slice(bytes);
        let held = std::mem::take(&mut self.held);
        let mut out = Vec::with_capacity(held.len() + 64);
        let mut at = 0;
        while at < held.len() {
            let rest = &held[at..];
            let piece = match self.raw {
                Some(element) => raw(rest, element),
                None => piece(rest),
            };
            match piece {
                Piece::Plain(length) => {
                    out.extend_from_slice(&rest[..length]);
                    at += length;
                    if self.raw.is_some_and(|element| closes(&held[at..], element)) {
                        self.raw = None;
                    }
                }
                Piece::Tag(length) => {
                    self.raw = rewrite(&rest[..length], link, &mut out);
                    at += length;
                }
                Piece::Unfinished if rest.len() > LONGEST => {
                    out.extend_from_slice(rest);
                    at = held.len();
                }
                Piece::Unfinished => break,
            }
        }
        self.held = held[at..].to_vec();
        out
    }

    /// What is left at the end.
    pub fn finish(self) -> Vec<u8> {
        self.held
    }
}

/// Whether the element's end tag begins here.
fn closes(bytes: &[u8], element: &str) -> bool {
    let name = bytes
        .strip_prefix(b"</")
        .and_then(|rest| rest.get(..element.len()));
    name.is_some_and(|name| name.eq_ignore_ascii_case(element.as_bytes()))
}

fn raw(bytes: &[u8], element: &str) -> Piece {
    let end = (0..bytes.len()).find(|at| bytes[*at] == b'<' && closes(&bytes[*at..], element));
    // The beginning of an end tag may be what has come last.
    let safe = bytes.len().saturating_sub(element.len() + 1);
    match end {
        Some(at) => Piece::Plain(at),
        None if safe == 0 => Piece::Unfinished,
        None => Piece::Plain(safe),
    }
}

fn piece(bytes: &[u8]) -> Piece {
    let text = bytes.iter().position(|byte| *byte == b'<').unwrap_or(bytes.len());
    if text > 0 {
        return Piece::Plain(text);
    }
    if b"<!--".starts_with(&bytes[..bytes.len().min(4)]) {
        return match bytes.windows(3).skip(4).position(|window| window == b"-->") {
            Some(at) => Piece::Plain(4 + at + 3),
            None => Piece::Unfinished,
        };
    }
    match bytes.get(1) {
        Some(byte) if byte.is_ascii_alphabetic() => tag(bytes),
        Some(_) => Piece::Plain(1),
        None => Piece::Unfinished,
    }
}

/// A start tag up to its `>`, which may also stand in quotes.
fn tag(bytes: &[u8]) -> Piece {
    let mut quote = None;
    for (at, byte) in bytes.iter().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Piece::Tag(at + 1),
            (None, b'"' | b'\'') if bytes[..at].trim_ascii_end().ends_with(b"=") => quote = Some(*byte),
            (Some(open), byte) if *byte == open => quote = None,
            _ => {}
        }
    }
    Piece::Unfinished
}

/// Writes a start tag with its links changed; says if the element's content is text.
fn rewrite(tag: &[u8], link: &impl Fn(&str) -> String, out: &mut Vec<u8>) -> Option<&'static str> {
    let end = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>');
    let name_end = tag.iter().position(end).unwrap_or(tag.len());
    let name = String::from_utf8_lossy(&tag[1..name_end]).to_ascii_lowercase();
    let links = links_of(&name);
    let raw = RAW.into_iter().find(|element| *element == name);
    let mut at = name_end;
    let mut written = 0;
    while at < tag.len() && !links.is_empty() {
        if end(&tag[at]) {
            at += 1;
            continue;
        }
        let start = at;
        at += tag[at..]
            .iter()
            .position(|byte| end(byte) || *byte == b'=')
            .unwrap_or(tag.len() - at)
            .max(1);
        let attribute = String::from_utf8_lossy(&tag[start..at]).to_ascii_lowercase();
        let Some((from, to, next)) = value(tag, at) else {
            continue;
        };
        at = next;
        if let (true, Ok(text)) = (
            links.contains(&attribute.as_str()),
            std::str::from_utf8(&tag[from..to]),
        ) {
            out.extend_from_slice(&tag[written..from]);
            out.extend_from_slice(link(text).as_bytes());
            written = to;
        }
    }
    out.extend_from_slice(&tag[written..]);
    raw
}

/// Where the value of an attribute begins and ends whose name ends at `at`, and where to go on.
fn value(tag: &[u8], at: usize) -> Option<(usize, usize, usize)> {
    let skip = |mut at: usize| {
        while tag.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        }
        at
    };
    let at = skip(at);
    if tag.get(at) != Some(&b'=') {
        return None;
    }
    let at = skip(at + 1);
    let until = |from: usize, ends: &dyn Fn(&u8) -> bool| {
        let length = tag[from..].iter().position(ends);
        length.map_or(tag.len(), |length| from + length)
    };
    match tag.get(at) {
        Some(quote @ (b'"' | b'\'')) => {
            let to = until(at + 1, &|byte| byte == quote);
            Some((at + 1, to, (to + 1).min(tag.len())))
        }
        Some(_) => {
            let to = until(at, &|byte| byte.is_ascii_whitespace() || *byte == b'>');
            Some((at, to, to))
        }
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The page in pieces of `size` bytes, with `[` and `]` around each link.
    fn shown(page: &str, size: usize) -> String {
        let mut state = Page::default();
        let link = |link: &str| format!("[{link}]");
        let mut out = Vec::new();
        for chunk in page.as_bytes().chunks(size) {
            out.extend(state.push(chunk, &link));
        }
        out.extend(state.finish());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn links_are_found_where_they_are_links() {
        for (page, expected) in [
            ("<a href=\"/x\">/y</a>", "<a href=\"[/x]\">/y</a>"),
            ("<A HREF='/x' class=c>", "<A HREF='[/x]' class=c>"),
            (
                "<img alt=\"a > b\" src = /x.png>",
                "<img alt=\"a > b\" src = [/x.png]>",
            ),
            ("<p href=\"/x\">it's <br/>", "<p href=\"/x\">it's <br/>"),
            (
                "<!-- <a href=\"/x\"> --><a href=/y>",
                "<!-- <a href=\"/x\"> --><a href=[/y]>",
            ),
            (
                "<script src=\"/x\">if (a<b) s = '<a href=\"/y\">'</script><form action=\"/z\">",
                "<script src=\"[/x]\">if (a<b) s = '<a href=\"/y\">'</script><form action=\"[/z]\">",
            ),
            (
                "<input src=a disabled formaction=b/>",
                "<input src=[a] disabled formaction=[b/]>",
            ),
            ("1 < 2 <", "1 < 2 <"),
            ("<a href", "<a href"),
        ] {
            for size in [1, 2, 7, 1000] {
                assert_eq!(shown(page, size), expected, "{size}");
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_however_it_comes(
            page in "(<a href=|<script>|</script>|<!--|-->|[<>=\"'/ a-c!-]){0,40}",
            size in 1usize..20,
        ) {
            let mut state = Page::default();
            let same = |link: &str| link.to_owned();
            let mut out = Vec::new();
            for chunk in page.as_bytes().chunks(size) {
                out.extend(state.push(chunk, &same));
            }
            out.extend(state.finish());
            prop_assert_eq!(String::from_utf8(out).unwrap(), page);
        }
    }
}
