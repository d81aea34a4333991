//! Lines of log files: pure.

use std::io::{Read, Seek, SeekFrom};

use jiff::Timestamp;

/// One line of a log file. A long line of the container is spread over several, all but the last partial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogLine<'a> {
    pub time: &'a str,
    pub stream: &'a str,
    pub partial: bool,
    pub content: &'a [u8],
}

impl<'a> LogLine<'a> {
    /// Reads a line without its newline.
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        let mut parts = line.splitn(4, |byte| *byte == b' ');
        let time = std::str::from_utf8(parts.next()?).ok()?;
        let stream = std::str::from_utf8(parts.next()?).ok()?;
        let tags = parts.next()?;
        let content = parts.next().unwrap_or_default();
        if !matches!(stream, "stdout" | "stderr") || time.is_empty() {
            return None;
        }
        Some(Self {
            time,
            stream,
            partial: tags.split(|byte| *byte == b':').next() == Some(b"P"),
            content,
        })
    }

    /// Whether it was written at or after `since`.
    pub(crate) fn is_since(&self, since: Option<Timestamp>) -> bool {
        since.is_none_or(|since| self.time.parse::<Timestamp>().is_ok_and(|time| time >= since))
    }
}

/// What a container wrote in one line of a log file; without a newline when it wrote none.
pub fn text_of_line(line: &str) -> Option<String> {
    let line = LogLine::parse(line.as_bytes())?;
    let end = if line.partial { "" } else { "\n" };
    Some(format!("{}{end}", std::str::from_utf8(line.content).ok()?))
}

/// Where the last `lines` lines begin.
pub(crate) fn tail_offset<F: Read + Seek>(file: &mut F, lines: usize) -> std::io::Result<u64> {
    const BLOCK: u64 = 64 << 10;
    let length = file.seek(SeekFrom::End(0))?;
    if lines == 0 {
        return Ok(length);
    }
    let mut end = length;
    let mut newlines = 0;
    let mut buffer = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(start))?;
        buffer.clear();
        file.by_ref().take(end - start).read_to_end(&mut buffer)?;
        for (at, byte) in buffer.iter().enumerate().rev() {
            let offset = start + at as u64;
            // The newline that ends the file begins no line.
            if *byte == b'\n' && offset + 1 != length {
                newlines += 1;
                if newlines == lines {
                    return Ok(offset + 1);
                }
            }
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn lines_are_read() {
        let line = LogLine::parse(b"2026-01-01T00:00:00.5Z stdout F a b  c").unwrap();
        assert_eq!(
            (line.stream, line.partial, line.content),
            ("stdout", false, &b"a b  c"[..])
        );
        assert!(
            LogLine::parse(b"2026-01-01T00:00:00.5Z stderr P x")
                .unwrap()
                .partial
        );
        assert_eq!(
            LogLine::parse(b"2026-01-01T00:00:00.5Z stdout F")
                .unwrap()
                .content,
            b""
        );
        for bad in [&b""[..], b"x", b"t other F x", b"t stdout", b"\xff stdout F x"] {
            assert_eq!(LogLine::parse(bad), None);
        }
        assert!(line.is_since(Some("2026-01-01T00:00:00Z".parse().unwrap())));
        assert!(!line.is_since(Some("2026-01-01T00:00:01Z".parse().unwrap())));
    }

    #[test]
    fn the_tail_is_found_from_the_end() {
        for (text, lines, want) in [
            ("a\nb\nc\n", 1, 4),
            ("a\nb\nc\n", 2, 2),
            ("a\nb\nc\n", 9, 0),
            ("a\nb\nc", 1, 4),
            ("a\n", 0, 2),
            ("", 3, 0),
        ] {
            assert_eq!(
                tail_offset(&mut Cursor::new(text), lines).unwrap(),
                want,
                "{text:?} {lines}"
            );
        }
        let long = "x".repeat(200_000) + "\nlast\n";
        assert_eq!(tail_offset(&mut Cursor::new(&long), 1).unwrap(), 200_001);
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_panic(line in proptest::collection::vec(proptest::num::u8::ANY, 0..80)) {
            LogLine::parse(&line);
        }
    }
}
