//! Semantic versions.
use super::{Overload, Sig, function, method, no_such_overload};
use crate::evaluate::{EvalError, Scratch};
use crate::value::{Opaque, Value};
use Sig::{Bool, Int, String};
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

const VERSION: Sig = Sig::Opaque("kubernetes.Semver");

/// A semantic version, 2.0.0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    numbers: [u64; 3],
    prerelease: Vec<Part>,
    build: std::string::String,
}

/// A part of a pre-release: numbers come before texts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(u64),
    Text(std::string::String),
}

fn number(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (plain && (text == "0" || !text.starts_with('0')))
        .then(|| text.parse().ok())
        .flatten()
}

fn identifier(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let (rest, build) = text.split_once('+').unwrap_or((text, ""));
        if text.contains('+') && !build.split('.').all(identifier) {
            return None;
        }
        let (core, prerelease) = match rest.split_once('-') {
            Some((core, prerelease)) => (core, Some(prerelease)),
            None => (rest, None),
        };
        let mut numbers = core.split('.').map(number);
        let version = Self {
            numbers: [numbers.next()??, numbers.next()??, numbers.next()??],
            prerelease: match prerelease {
                None => Vec::new(),
                Some(text) => text.split('.').map(Self::part).collect::<Option<_>>()?,
            },
            build: build.to_owned(),
        };
        numbers.next().is_none().then_some(version)
    }

    fn part(text: &str) -> Option<Part> {
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return number(text).map(Part::Number);
        }
        identifier(text).then(|| Part::Text(text.to_owned()))
    }

    /// A leading `v` is dropped, missing numbers are zero, leading zeros are dropped.
    fn normalized(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let end = text.find(['-', '+']).unwrap_or(text.len());
        let (core, rest) = text.split_at(end);
        let mut numbers: Vec<std::string::String> = core
            .split('.')
            .map(|part| {
                let trimmed = part.trim_start_matches('0');
                if trimmed.is_empty() && !part.is_empty() {
                    "0".to_owned()
                } else {
                    trimmed.to_owned()
                }
            })
            .collect();
        while numbers.len() < 3 {
            if !rest.is_empty() {
                return None;
            }
            numbers.push("0".to_owned());
        }
        Self::parse(&format!("{}{rest}", numbers.join(".")))
    }

    fn order(&self, other: &Self) -> Ordering {
        let parts = || match (self.prerelease.is_empty(), other.prerelease.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => self.prerelease.cmp(&other.prerelease),
        };
        self.numbers.cmp(&other.numbers).then_with(parts)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(f, "{major}.{minor}.{patch}")?;
        for (index, part) in self.prerelease.iter().enumerate() {
            f.write_str(if index == 0 { "-" } else { "." })?;
            match part {
                Part::Number(number) => write!(f, "{number}")?,
                Part::Text(text) => f.write_str(text)?,
            }
        }
        if self.build.is_empty() {
            return Ok(());
        }
        write!(f, "+{}", self.build)
    }
}

fn read(args: &[Value<'_>]) -> Result<Option<Version>, EvalError> {
    let text = args[0].as_str().ok_or_else(no_such_overload)?;
    let normalize = matches!(args.get(1), Some(Value::Bool(true)));
    Ok(if normalize {
        Version::normalized(text)
    } else {
        Version::parse(text)
    })
}

fn semver<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    read(args)?
        .map(|version| Value::Opaque(Opaque::Version(Arc::new(version))))
        .ok_or_else(|| EvalError::new("No Major.Minor.Patch elements found"))
}

fn is_semver<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    Ok(Value::Bool(read(args)?.is_some()))
}

fn one<'v>(value: &'v Value<'_>) -> Result<&'v Version, EvalError> {
    match value {
        Value::Opaque(Opaque::Version(version)) => Ok(version),
        _ => Err(no_such_overload()),
    }
}

fn order(args: &[Value<'_>]) -> Result<Ordering, EvalError> {
    Ok(one(&args[0])?.order(one(&args[1])?))
}

fn nth<'a>(args: &[Value<'a>], index: usize) -> Result<Value<'a>, EvalError> {
    Ok(Value::Int(one(&args[0])?.numbers[index] as i64))
}

pub(super) static FUNCTIONS: &[(&str, Overload)] = &[
    ("semver", function("", &[String], VERSION, semver)),
    ("semver", function("", &[String, Bool], VERSION, semver)),
    ("isSemver", function("", &[String], Bool, is_semver)),
    ("isSemver", function("", &[String, Bool], Bool, is_semver)),
    ("major", method("", &[VERSION], Int, |_, args| nth(args, 0))),
    ("minor", method("", &[VERSION], Int, |_, args| nth(args, 1))),
    ("patch", method("", &[VERSION], Int, |_, args| nth(args, 2))),
    (
        "isLessThan",
        method("", &[VERSION, VERSION], Bool, |_, args| {
            Ok(Value::Bool(order(args)?.is_lt()))
        }),
    ),
    (
        "isGreaterThan",
        method("", &[VERSION, VERSION], Bool, |_, args| {
            Ok(Value::Bool(order(args)?.is_gt()))
        }),
    ),
    (
        "compareTo",
        method("", &[VERSION, VERSION], Int, |_, args| {
            Ok(Value::Int(order(args)? as i64))
        }),
    ),
];
