//! YAML that clients send.

use saphyr_parser::{Event, Parser};
use serde_json::Value;
use std::collections::HashSet;

/// Lines about duplicates that an answer has at most.
const MOST_LINES: usize = 100;

/// Reads the first document.
pub fn parse(bytes: &[u8]) -> Result<Value, String> {
    apimachinery::yaml::parse(bytes).map_err(|error| error.to_string())
}

/// Something that has begun and not ended.
enum Open {
    Sequence,
    Mapping {
        keys: HashSet<String>,
        /// The key whose value comes next; empty for one that is no text.
        key: Option<String>,
    },
}

/// Keys that a mapping of the first document has twice, each as a line in the words of upstream's parser. Only for text
/// that `parse` has read.
pub fn duplicates(bytes: &[u8]) -> Vec<String> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Vec::new();
    };
    let mut lines = Vec::new();
    // With each: what to say when it ends, since a value is looked at before its key is set.
    let mut open: Vec<(Open, Option<String>)> = Vec::new();
    for item in Parser::new_from_str(text) {
        let Ok((event, span)) = item else {
            return lines;
        };
        if lines.len() == MOST_LINES {
            return lines;
        }
        let begun = match &event {
            Event::Scalar(..) | Event::Alias(_) => None,
            Event::SequenceStart(..) => Some(Open::Sequence),
            Event::MappingStart(..) => Some(Open::Mapping {
                keys: HashSet::new(),
                key: None,
            }),
            Event::SequenceEnd | Event::MappingEnd => {
                lines.extend(open.pop().and_then(|(_, line)| line));
                continue;
            }
            Event::DocumentEnd => return lines,
            _ => continue,
        };
        let mut line = None;
        if let Some((Open::Mapping { keys, key }, _)) = open.last_mut() {
            match key.take() {
                None => {
                    *key = Some(match event {
                        Event::Scalar(text, ..) => text.into_owned(),
                        _ => String::new(),
                    });
                }
                // A key of merged mappings may come more than once.
                Some(name) if name.is_empty() || name == "<<" => {}
                Some(name) if keys.contains(&name) => {
                    line = Some(format!(
                        "line {}: key {name:?} already set in map",
                        span.start.line()
                    ));
                }
                Some(name) => {
                    keys.insert(name);
                }
            }
        }
        match begun {
            Some(begun) => open.push((begun, line)),
            None => lines.extend(line),
        }
    }
    lines
}

/// The lines as one error of upstream's parser.
pub fn error(lines: &[String]) -> Option<String> {
    (!lines.is_empty()).then(|| format!("yaml: unmarshal errors:\n  {}", lines.join("\n  ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn open_brackets_are_counted_before_yaml_is_parsed() {
        let begin = Instant::now();
        for open in ["[", "{a: ", "- [", "x: {"] {
            let text = open.repeat(500_000);
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(error.contains("max depth"), "{error}");
        }
        // Parsing one of them took minutes.
        assert!(begin.elapsed() < Duration::from_secs(10));
        let many = format!("a: [{}]", "[1], {b: 2}, ".repeat(2000));
        assert!(parse(many.as_bytes()).is_ok());
    }

    #[test]
    fn keys_that_are_there_twice_are_found_with_their_lines() {
        for (text, expected) in [
            ("a: 1\nb: 2\n", &[][..]),
            ("a: 1\nb: 2\na: 3\n", &["line 3: key \"a\" already set in map"]),
            ("- a: 1\n- a: 1\n", &[]),
            (
                "a: {b: 1}\nc:\n  b: 2\n  \"b\": 3\n",
                &["line 4: key \"b\" already set in map"],
            ),
            // The inner one comes first, and a mapping is where its first key is.
            (
                "a: 1\na:\n  c: 1\n  c: 2\n",
                &[
                    "line 4: key \"c\" already set in map",
                    "line 3: key \"a\" already set in map",
                ],
            ),
            ("{\"a\": 1, \"a\": 2}", &["line 1: key \"a\" already set in map"]),
            ("? [x]\n: 1\n? [x]\n: 2\n", &[]),
            ("x: &x {a: 1}\ny:\n  <<: *x\n  <<: *x\n", &[]),
            ("a: 1\n---\na: 1\na: 2\n", &[]),
        ] {
            assert_eq!(duplicates(text.as_bytes()), expected, "{text}");
        }
        let many = format!("x: 1\n{}", "a: 1\n".repeat(1000));
        assert_eq!(duplicates(many.as_bytes()).len(), MOST_LINES);
    }

    #[test]
    fn lines_are_one_error() {
        assert_eq!(error(&[]), None);
        assert_eq!(
            error(&["line 1: x".to_owned(), "line 2: y".to_owned()]).unwrap(),
            "yaml: unmarshal errors:\n  line 1: x\n  line 2: y"
        );
    }
}
