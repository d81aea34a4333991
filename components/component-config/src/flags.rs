//! What the flags of all daemons have in common: pflag's spellings, and upstream flags that this
//! implementation has no use for.

use std::collections::BTreeMap;

/// How an upstream flag that a daemon does not implement is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unused {
    /// Accepted and ignored: it changes neither security nor observable behaviour.
    Harmless,
    /// Refused by name: ignoring it would weaken security or change behaviour.
    Refused,
}

/// A flag that was refused, with the reason that the user is shown.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "flag --{name} is not supported by this implementation: ignoring it would change behaviour; remove it"
)]
pub struct RefusedFlag {
    pub name: String,
}

/// Brings a command line into the form that clap's derive types take.
///
/// pflag accepts `--flag=value` and `--flag value` alike and takes a bare boolean as true; clap does the
/// same when boolean fields have `num_args = 0..=1`, `default_missing_value = "true"` and
/// `require_equals = true`. What is left is to drop the flags in `table` that are
/// [`Unused::Harmless`] and to refuse the others. A dropped flag written as two words takes its value
/// with it, unless the next word is a flag itself.
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
        let (name, inline_value) = match body.split_once('=') {
            Some((name, _)) => (name, true),
            None => (body, false),
        };
        match table.get(name) {
            None => kept.push(word),
            Some(Unused::Refused) => {
                return Err(RefusedFlag {
                    name: name.to_owned(),
                });
            }
            Some(Unused::Harmless) => {
                if !inline_value && words.peek().is_some_and(|next| !next.starts_with('-')) {
                    words.next();
                }
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
            Err(RefusedFlag {
                name: "cloud-provider".to_owned()
            })
        );
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
