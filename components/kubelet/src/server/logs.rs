//! Container logs in the CRI format: `TIME STREAM TAG CONTENT`.

/// The content of one line of a log file.
pub fn content_of_line(line: &str) -> Option<&str> {
    let mut parts = line.splitn(4, ' ');
    parts.nth(2)?;
    parts.next()
}
