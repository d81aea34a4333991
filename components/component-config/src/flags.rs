//! What the flags of all daemons have in common: pflag's spellings, and upstream flags that this
//! implementation has no use for.

mod value;

use std::collections::BTreeMap;
pub use value::{BadValue, Kind};

/// How an upstream flag that a daemon does not implement is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unused {
    /// Accepted and ignored: it changes neither security nor observable behaviour.
    Harmless,
    /// The same, but only with a value that upstream takes.
    Typed(Kind),
    /// Refused by name: ignoring it would weaken security or change behaviour.
    Refused,
}

/// A flag that was refused, with the reason that the user is shown.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RefusedFlag {
    #[error(
        "flag --{name} is not supported by this implementation: ignoring it would change behaviour; remove it"
    )]
    Unsupported { name: String },
    #[error("flag needs an argument: --{name}")]
    NoValue { name: String },
    #[error("invalid argument {value:?} for \"--{name}\" flag: {reason}")]
    BadValue {
        name: String,
        value: String,
        reason: BadValue,
    },
}

/// Brings a command line into the form that clap's derive types take.
///
/// pflag accepts `--flag=value` and `--flag value` alike and takes a bare boolean as true; clap does the
/// same when boolean fields have `num_args = 0..=1`, `default_missing_value = "true"` and
/// `require_equals = true`. What is left is to drop the flags in `table` that are
/// [`Unused::Harmless`] or [`Unused::Typed`] and to refuse the others. A dropped flag written as two words
/// takes its value with it, unless the next word is a flag itself.
pub fn normalize(
    args: impl IntoIterator<Item = String>,
    table: &[(&str, Unused)],
) -> Result<Vec<String>, RefusedFlag> {
    let table: BTreeMap<&str, Unused> = table.iter().copied().collect();
    let mut kept = Vec::new();
    let mut words = args.into_iter().peekable();
    while let Some(word) = words.next() {
        // pflag takes -x=y for short flags only; upstream's long flags always have two dashes.
        let Some(body) = word.strip_prefix("--").filter(|body| !body.is_empty()) else {
            kept.push(word);
            continue;
        };
        let (name, inline) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (body, None),
        };
        let owned = || name.to_owned();
        match table.get(name) {
            None => kept.push(word),
            Some(Unused::Refused) => return Err(RefusedFlag::Unsupported { name: owned() }),
            Some(Unused::Harmless) => {
                if inline.is_none() && words.peek().is_some_and(|next| !next.starts_with('-')) {
                    words.next();
                }
            }
            Some(Unused::Typed(kind)) => {
                let value = match inline.or(kind.bare()) {
                    Some(value) => value.to_owned(),
                    None => words
                        .next()
                        .ok_or_else(|| RefusedFlag::NoValue { name: owned() })?,
                };
                kind.check(&value).map_err(|reason| RefusedFlag::BadValue {
                    name: owned(),
                    value,
                    reason,
                })?;
            }
        }
    }
    Ok(kept)
}

/// Parses a Go duration such as `1m30s`, `500ms` or `0`.
pub fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    if text == "0" {
        return Ok(std::time::Duration::ZERO);
    }
    let mut rest = text;
    let mut total = 0f64;
    if rest.is_empty() {
        return Err("empty duration; write for example 30s or 1m30s".to_owned());
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let number: f64 = rest[..digits]
            .parse()
            .map_err(|_| format!("invalid duration {text:?}; write for example 30s or 1m30s"))?;
        rest = &rest[digits..];
        let unit_length = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        let seconds = match &rest[..unit_length] {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => {
                return Err(format!(
                    "invalid duration {text:?}; units are ns, us, ms, s, m and h"
                ));
            }
        };
        total += number * seconds;
        rest = &rest[unit_length..];
    }
    std::time::Duration::try_from_secs_f64(total)
        .map_err(|error| format!("invalid duration {text:?}: {error}"))
}

/// The same of how long something is kept, which below zero is not at all.
pub fn parse_lifetime(text: &str) -> Result<std::time::Duration, String> {
    match text.strip_prefix('-') {
        Some(length) => parse_duration(length).map(|_| std::time::Duration::ZERO),
        None => parse_duration(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn harmless_flags_go_with_their_value_and_refused_ones_are_named() {
        let table = [
            ("profiling", Unused::Harmless),
            ("cloud-provider", Unused::Refused),
        ];
        assert_eq!(
            normalize(words("x --profiling false --v=2"), &table),
            Ok(words("x --v=2"))
        );
        assert_eq!(
            normalize(words("x --profiling --v=2"), &table),
            Ok(words("x --v=2"))
        );
        assert_eq!(
            normalize(words("x --profiling=true -h"), &table),
            Ok(words("x -h"))
        );
        assert_eq!(
            normalize(words("x --cloud-provider=aws"), &table),
            Err(RefusedFlag::Unsupported {
                name: "cloud-provider".to_owned()
            })
        );
    }

    #[test]
    fn flags_that_are_ignored_have_values_that_upstream_takes() {
        let table = [
            ("watch-cache", Unused::Typed(Kind::Bool)),
            ("workers", Unused::Typed(Kind::Int)),
            ("every", Unused::Typed(Kind::Duration)),
            ("timeout", Unused::Typed(Kind::Timeout)),
            ("port", Unused::Typed(Kind::Uint)),
            ("buffer", Unused::Typed(Kind::Quantity)),
            ("cert-dir", Unused::Typed(Kind::Text)),
        ];
        let syntax = |name: &str, function: &str| {
            Err(format!(
                "invalid argument \"x\" for \"--{name}\" flag: strconv.{function}: parsing \"x\": invalid syntax"
            ))
        };
        for (line, want) in [
            ("--workers=3 --v=2", Ok("--v=2")),
            ("--workers -3 --v=2", Ok("--v=2")),
            ("--workers=0x10", Ok("")),
            ("--watch-cache --v=2", Ok("--v=2")),
            ("--watch-cache=F", Ok("")),
            // pflag leaves the next word to others as well.
            ("--watch-cache false", Ok("false")),
            ("--every=1m30s", Ok("")),
            ("--every=-1s", Ok("")),
            ("--timeout=-0s", Ok("")),
            (
                "--timeout=-1s",
                Err("invalid argument \"-1s\" for \"--timeout\" flag: it can not be negative value".to_owned()),
            ),
            ("--port=10255", Ok("")),
            ("--buffer=64Ki", Ok("")),
            ("--cert-dir=x", Ok("")),
            ("--workers=x", syntax("workers", "ParseInt")),
            ("--watch-cache=x", syntax("watch-cache", "ParseBool")),
            ("--port=x", syntax("port", "ParseUint")),
            (
                "--every=x",
                Err("invalid argument \"x\" for \"--every\" flag: time: invalid duration \"x\"".to_owned()),
            ),
            (
                "--buffer=x",
                Err("invalid argument \"x\" for \"--buffer\" flag: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'".to_owned()),
            ),
            ("--workers", Err("flag needs an argument: --workers".to_owned())),
        ] {
            let found = normalize(words(line), &table);
            let found = found.map(|kept| kept.join(" ")).map_err(|error| error.to_string());
            assert_eq!(found, want.map(str::to_owned), "{line}");
        }
        let kept = normalize(words("--watch-cache --workers 3 --v=2"), &table).unwrap();
        assert_eq!(kept, ["--v=2"]);
    }

    #[test]
    fn durations_are_go_durations() {
        for (text, millis) in [
            ("0", 0),
            ("0s", 0),
            ("500ms", 500),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
        ] {
            assert_eq!(parse_duration(text).map(|d| d.as_millis()), Ok(millis), "{text}");
        }
        for text in ["", "5", "5x", "-1s", "s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
