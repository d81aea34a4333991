//! From the parser's events to a value.
use super::scalar::Scalar;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Tag};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// Brackets that may be open at once; values are nested far less. The parser's work grows with the square of those that
/// are open, before it looks at how deep values are nested, so they are counted first; those in texts count too.
const MOST_OPEN: usize = 1000;
/// Mappings and sequences that may be open at once.
const MOST_NESTED: usize = 1000;

/// Bytes, roughly, that anchors and aliases of a document may copy: anchors within anchors, or aliases of a long text, would
/// make a small document fill the memory.
const MOST_COPIED: usize = 16 << 20;
/// What a value takes beside its text, roughly.
const VALUE: usize = 64;

/// A text is no YAML, or none that JSON has a form for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("yaml: {0}")]
pub struct YamlError(String);

impl From<ScanError> for YamlError {
    fn from(error: ScanError) -> Self {
        Self(format!("line {}: {}", error.marker().line(), error.info()))
    }
}

fn fails<T>(what: impl Into<String>) -> Result<T, YamlError> {
    Err(YamlError(what.into()))
}

/// Reads the first document of a text; null if there is none. A key that is there twice has its last value.
///
/// # Errors
///
/// The text is malformed, nested too deep, repeats itself without measure, or has numbers or keys that JSON has no form for.
pub fn parse(bytes: &[u8]) -> Result<Value, YamlError> {
    let mut open = 0usize;
    for byte in bytes {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        if open > MOST_OPEN {
            return fails(format!("exceeded max depth of {MOST_OPEN}"));
        }
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return fails("invalid UTF-8");
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut composer = Composer::default();
    for item in Parser::new_from_str(text) {
        let (event, _) = item?;
        if let Some(document) = composer.take(event)? {
            return Ok(document);
        }
    }
    Ok(Value::Null)
}

/// A value, and how many values it is made of.
#[derive(Clone)]
struct Node {
    value: Value,
    count: usize,
    /// Bytes, roughly.
    size: usize,
    /// A plain `<<`.
    merges: bool,
}

impl Node {
    fn one(value: Value) -> Self {
        let size = VALUE + value.as_str().map_or(0, str::len);
        Self {
            value,
            count: 1,
            size,
            merges: false,
        }
    }
}

/// What has begun and not ended.
enum Open {
    Sequence(Vec<Value>),
    Mapping(Map<String, Value>, Option<Key>),
}

enum Key {
    Name(String),
    Merge,
}

struct Begun {
    open: Open,
    count: usize,
    size: usize,
    anchor: usize,
}

#[derive(Default)]
struct Composer {
    begun: Vec<Begun>,
    anchors: HashMap<usize, Node>,
    /// Values read, and those of them that were repeated.
    read: usize,
    repeated: usize,
    /// Bytes, roughly, that anchors and aliases have copied.
    copied: usize,
}

impl Composer {
    /// The document, once it is there.
    fn take(&mut self, event: Event<'_>) -> Result<Option<Value>, YamlError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.read += 1;
                let node = scalar(&text, style, tag.as_deref())?;
                self.add(node, anchor)
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor) else {
                    return fails("an alias refers to what contains it");
                };
                self.read += node.count;
                self.repeated += node.count;
                if is_excessive(self.read, self.repeated) {
                    return fails("document contains excessive aliasing");
                }
                copy(&mut self.copied, node.size)?;
                let node = node.clone();
                self.add(node, 0)
            }
            Event::SequenceStart(anchor, _) => self.begin(Open::Sequence(Vec::new()), anchor),
            Event::MappingStart(anchor, _) => self.begin(Open::Mapping(Map::new(), None), anchor),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(begun) = self.begun.pop() else {
                    return Ok(None);
                };
                let value = match begun.open {
                    Open::Sequence(items) => Value::Array(items),
                    Open::Mapping(entries, _) => Value::Object(entries),
                };
                let node = Node {
                    value,
                    count: begun.count,
                    size: begun.size,
                    merges: false,
                };
                self.add(node, begun.anchor)
            }
            Event::DocumentEnd => Ok(Some(Value::Null)),
            _ => Ok(None),
        }
    }

    fn begin(&mut self, open: Open, anchor: usize) -> Result<Option<Value>, YamlError> {
        if self.begun.len() == MOST_NESTED {
            return fails(format!("exceeded max depth of {MOST_NESTED}"));
        }
        self.read += 1;
        self.begun.push(Begun {
            open,
            count: 1,
            size: VALUE,
            anchor,
        });
        Ok(None)
    }

    /// Puts a value where it belongs; at the top it is the document.
    fn add(&mut self, node: Node, anchor: usize) -> Result<Option<Value>, YamlError> {
        if anchor > 0 {
            copy(&mut self.copied, node.size)?;
            self.anchors.insert(anchor, node.clone());
        }
        let Some(begun) = self.begun.last_mut() else {
            return Ok(Some(node.value));
        };
        begun.count += node.count;
        begun.size += node.size;
        match &mut begun.open {
            Open::Sequence(items) => items.push(node.value),
            Open::Mapping(entries, key) => match key.take() {
                None => {
                    *key = Some(if node.merges {
                        Key::Merge
                    } else {
                        Key::Name(key_of(node.value)?)
                    })
                }
                Some(Key::Name(name)) => {
                    entries.insert(name, node.value);
                }
                Some(Key::Merge) => merge(entries, node.value)?,
            },
        }
        Ok(None)
    }
}

/// Counts a copy before it is made.
fn copy(copied: &mut usize, size: usize) -> Result<(), YamlError> {
    *copied = copied.saturating_add(size);
    if *copied > MOST_COPIED {
        return fails("document contains excessive aliasing");
    }
    Ok(())
}

/// Aliases may make up most of a small document, and a tenth of a large one, as with Go's reader.
fn is_excessive(read: usize, repeated: usize) -> bool {
    const SMALL: f64 = 400_000.0;
    const LARGE: f64 = 4_000_000.0;
    if repeated <= 100 || read <= 1000 {
        return false;
    }
    let size = read as f64;
    let allowed = if size <= SMALL {
        0.99
    } else if size >= LARGE {
        0.10
    } else {
        0.99 - 0.89 * (size - SMALL) / (LARGE - SMALL)
    };
    repeated as f64 / size > allowed
}

/// Takes over the entries of a mapping, or of several, of which the first comes first.
fn merge(entries: &mut Map<String, Value>, from: Value) -> Result<(), YamlError> {
    match from {
        Value::Object(others) => entries.extend(others),
        Value::Array(list) => {
            for others in list.into_iter().rev() {
                let Value::Object(others) = others else {
                    return fails("map merge requires map or sequence of maps as the value");
                };
                entries.extend(others);
            }
        }
        _ => return fails("map merge requires map or sequence of maps as the value"),
    }
    Ok(())
}

/// JSON's keys are texts.
fn key_of(value: Value) -> Result<String, YamlError> {
    match value {
        Value::String(text) => Ok(text),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => fails(format!("unsupported map key: {value}")),
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Node, YamlError> {
    let plain = style == ScalarStyle::Plain;
    let tag = tag
        .filter(|tag| tag.is_yaml_core_schema())
        .map(|tag| tag.suffix.as_str());
    let resolved = match tag {
        None if plain => Scalar::of(text),
        None | Some("str" | "timestamp") => None,
        Some("binary") => {
            let packed: String = text.split_ascii_whitespace().collect();
            let bytes = STANDARD.decode(packed);
            let Ok(bytes) = bytes else {
                return fails("!!binary value contains invalid base64 data");
            };
            return Ok(Node::one(Value::String(
                String::from_utf8_lossy(&bytes).into_owned(),
            )));
        }
        Some(tag) => {
            let resolved = Scalar::of(text);
            let fits = matches!(
                (tag, &resolved),
                ("null", Some(Scalar::Null))
                    | ("bool", Some(Scalar::Bool(_)))
                    | ("int", Some(Scalar::Int(_)))
                    | ("float", Some(Scalar::Float(_) | Scalar::Int(_)))
                    | ("merge", Some(Scalar::Merge))
            );
            if !fits {
                return fails(format!("cannot decode `{text}` as a !!{tag}"));
            }
            resolved
        }
    };
    let Some(resolved) = resolved else {
        return Ok(Node::one(Value::String(text.to_owned())));
    };
    let merges = resolved == Scalar::Merge;
    match resolved.into_value() {
        Some(value) => Ok(Node {
            merges,
            ..Node::one(value)
        }),
        None => fails(format!("json: unsupported value: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(text: &str) -> Value {
        parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn manifests_are_read_as_version_1_1() {
        let text = "\u{feff}# a comment\napiVersion: v1\nspec:\n  hostNetwork: yes\n  defaultMode: 0644\n  list:\n  - a\n  - 'yes'\n  - \"0644\"\n  - |\n    two\n    lines\n  flow: {a: [1, 2], b: off}\n  at: 2026-01-01T00:00:00Z\n  1: one\n  true: t\n---\nsecond: document\n";
        assert_eq!(
            read(text),
            json!({"apiVersion": "v1", "spec": {
                "hostNetwork": true, "defaultMode": 420, "list": ["a", "yes", "0644", "two\nlines\n"],
                "flow": {"a": [1, 2], "b": false}, "at": "2026-01-01T00:00:00Z", "1": "one", "true": "t",
            }})
        );
        assert_eq!(read(""), Value::Null);
        assert_eq!(read("# nothing\n"), Value::Null);
        assert_eq!(
            read("a: !!str 1\nb: !!int \"2\"\nc: !!binary aGk=\nd: !own x"),
            json!({"a": "1", "b": 2, "c": "hi", "d": "x"})
        );
        assert_eq!(read("a: 1\na: 2"), json!({"a": 2}));
    }

    #[test]
    fn anchors_are_repeated_and_mappings_merged() {
        let text =
            "base: &b {v: 1, w: 2}\nother: &o\n  w: 3\nuse: {<<: *b, z: *b}\nboth:\n  <<: [*o, *b]\n  x: 0\n";
        assert_eq!(
            read(text),
            json!({
                "base": {"v": 1, "w": 2}, "other": {"w": 3}, "use": {"v": 1, "w": 2, "z": {"v": 1, "w": 2}},
                "both": {"v": 1, "w": 3, "x": 0},
            })
        );
        assert_eq!(read("\"<<\": {a: 1}"), json!({"<<": {"a": 1}}));
        for wrong in ["<<: 1", "<<: [1]", "a: &a [*a]", "a: *b"] {
            parse(wrong.as_bytes()).unwrap_err();
        }
    }

    #[test]
    fn documents_that_repeat_themselves_without_measure_are_refused() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for level in 1..9 {
            let list = vec![format!("*a{}", level - 1); 9].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{list}]\n"));
        }
        let error = parse(text.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "yaml: document contains excessive aliasing");
    }

    #[test]
    fn anchors_within_anchors_and_aliases_of_long_texts_copy_little() {
        let nested: String = (0..200).map(|level| format!("&a{level} [")).collect();
        let nested = format!("{nested}{}{}", "x,".repeat(100_000), "]".repeat(200));
        let long = format!("a: &a {}\nb: [{}]", "x".repeat(1_000_000), "*a , ".repeat(90));
        for text in [nested, long] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), "yaml: document contains excessive aliasing");
        }
    }

    #[test]
    fn what_json_has_no_form_for_is_refused() {
        for wrong in ["a: .inf", "[a]: b", "~: b", "a: [", "a: !!int x", "a: b: c"] {
            parse(wrong.as_bytes()).unwrap_err();
        }
        let nested = "- ".repeat(2000);
        parse(nested.as_bytes()).unwrap_err();
        parse("[".repeat(2000).as_bytes()).unwrap_err();
        parse(&[0xff, 0xfe]).unwrap_err();
    }
}
