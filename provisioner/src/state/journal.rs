//! What was begun, done and finished, one JSON object a line; a line that was cut off counts as not written.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::file::{read_file, write_file};
use super::record::BadState;

/// Older lines are dropped beyond this.
const KEPT_LINES: usize = 5_000;
/// Every line begins so.
const BEGINNING: &[u8] = b"{\"time\"";
const COMPACT_ABOVE: u64 = 2 << 20;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub time: Timestamp,
    #[serde(flatten)]
    pub event: Event,
}

/// What a line can say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A command that changes the cluster.
    Begin {
        operation: String,
        command: String,
        /// What it was asked to do, to tell whether a second run is the same one.
        #[serde(default)]
        input: Value,
        /// Its steps are remembered, and others wait until it is finished or given up.
        #[serde(default)]
        staged: bool,
    },
    Phase {
        phase: String,
    },
    /// A step of a staged operation is done.
    Step {
        operation: String,
        step: String,
    },
    /// A host was switched.
    Generation {
        host: String,
        generation: u64,
        cause: String,
    },
    End {
        operation: String,
        outcome: Ending,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    Done,
    /// The operator took it back.
    Abandoned,
}

/// Appends one line.
pub fn append(path: &Path, event: Event) -> anyhow::Result<()> {
    let entry = Entry {
        time: Timestamp::now(),
        event,
    };
    let mut line = serde_json::to_vec(&entry).context("a journal entry has no JSON form")?;
    line.push(b'\n');
    let context = || format!("cannot write {}", path.display());
    let mut file = OpenOptions::new()
        .create(true)
        .read(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .with_context(context)?;
    if !ends_whole(&file).with_context(context)? {
        // The line before was cut off; it must not swallow this one.
        line.insert(0, b'\n');
    }
    file.write_all(&line)
        .and_then(|()| file.sync_data())
        .with_context(context)
}

fn ends_whole(file: &std::fs::File) -> std::io::Result<bool> {
    use std::os::unix::fs::FileExt;
    let length = file.metadata()?.len();
    if length == 0 {
        return Ok(true);
    }
    let mut last = [0u8];
    file.read_exact_at(&mut last, length - 1)?;
    Ok(last == *b"\n")
}

/// All lines, oldest first.
pub fn read(path: &Path) -> anyhow::Result<Vec<Entry>> {
    let text = read_file(path)?.unwrap_or_default();
    parse(&text).map_err(|line| {
        BadState::new(
            path,
            format!(
                "line {line} is damaged; restore it from a backup, or move it away: then what the hosts hold \
                 decides where an interrupted run goes on"
            ),
        )
        .into()
    })
}

/// The entries of a text; the number of the first line that is damaged. A line that was cut off is passed over:
/// it is the last one, or is followed by one that begins anew.
pub fn parse(text: &[u8]) -> Result<Vec<Entry>, usize> {
    let mut entries = Vec::new();
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match serde_json::from_slice(line) {
            Ok(entry) => entries.push(entry),
            Err(error) if error.is_eof() && (line.starts_with(BEGINNING) || BEGINNING.starts_with(line)) => {}
            Err(_) => return Err(index + 1),
        }
    }
    Ok(entries)
}

/// Drops the oldest lines of a journal that has grown large.
pub fn compact(path: &Path) -> anyhow::Result<()> {
    if !path
        .metadata()
        .is_ok_and(|metadata| metadata.len() > COMPACT_ABOVE)
    {
        return Ok(());
    }
    let entries = read(path)?;
    let mut text = Vec::new();
    for entry in &entries[entries.len().saturating_sub(KEPT_LINES)..] {
        serde_json::to_writer(&mut text, entry).context("a journal entry has no JSON form")?;
        text.push(b'\n');
    }
    write_file(path, &text, 0o600)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(name: &str) -> Event {
        Event::Phase {
            phase: name.to_owned(),
        }
    }

    #[test]
    fn cut_lines_count_as_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        append(&path, phase("a")).unwrap();
        append(&path, phase("b")).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let first = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for length in first..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            append(&path, phase("c")).unwrap();
            let names: Vec<Event> = read(&path)
                .unwrap()
                .into_iter()
                .map(|entry| entry.event)
                .collect();
            // Only the newline is missing: the line is whole.
            let expected = if length == whole.len() - 1 {
                vec![phase("a"), phase("b"), phase("c")]
            } else {
                vec![phase("a"), phase("c")]
            };
            assert_eq!(names, expected, "cut at {length}");
        }
    }

    #[test]
    fn a_damaged_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        append(&path, phase("a")).unwrap();
        let mut text = std::fs::read(&path).unwrap();
        text.extend(b"{\"time\":\"yesterday\"}\n");
        std::fs::write(&path, text).unwrap();
        let error = format!("{:#}", read(&path).unwrap_err());
        assert!(error.contains("line 2"), "{error}");
    }

    proptest::proptest! {
        #[test]
        fn no_journal_makes_it_panic(text in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = parse(&text);
        }
    }
}
