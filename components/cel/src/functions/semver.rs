//! Semantic versions.
use super::{Overload, Sig, function, method, no_such_overload};
use crate::evaluate::{EvalError, Scratch};
use crate::value::{Opaque, Value};
use Sig::{Bool, Int, String};
use std::cmp::Ordering;
use std::fmt;
use std::string::String as Owned;
use std::sync::Arc;

const VERSION: Sig = Sig::Opaque("kubernetes.Semver");

/// A semantic version, 2.0.0.
#[derive(Clone, Debug)]
pub struct Version {
    numbers: [u64; 3],
    prerelease: Vec<Part>,
    build: Owned,
}

/// A part of a pre-release: numbers come before texts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(u64),
    Text(Owned),
}

/// A number of a version; `what` is what it is called.
fn number(text: &str, what: &str) -> Result<u64, Owned> {
    let quoted = || apimachinery::field::quote(text);
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        let lower = what.to_lowercase();
        return Err(format!(
            "Invalid character(s) found in {lower} number {}",
            quoted()
        ));
    }
    if text.len() > 1 && text.starts_with('0') {
        return Err(format!(
            "{what} number must not contain leading zeroes {}",
            quoted()
        ));
    }
    parsed(text)
}

fn parsed(text: &str) -> Result<u64, Owned> {
    text.parse().map_err(|_| {
        let why = if text.is_empty() {
            "invalid syntax"
        } else {
            "value out of range"
        };
        let quoted = apimachinery::field::quote(text);
        format!("strconv.ParseUint: parsing {quoted}: {why}")
    })
}

fn is_identifier(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

impl Version {
    fn parse(text: &str) -> Result<Self, Owned> {
        if text.is_empty() {
            return Err("Version string empty".to_owned());
        }
        let mut parts = text.splitn(3, '.');
        let (Some(major), Some(minor), Some(patch)) = (parts.next(), parts.next(), parts.next()) else {
            return Err("No Major.Minor.Patch elements found".to_owned());
        };
        let (major, minor) = (number(major, "Major")?, number(minor, "Minor")?);
        let (patch, build) = match patch.split_once('+') {
            Some((patch, build)) => (patch, Some(build)),
            None => (patch, None),
        };
        let (patch, prerelease) = match patch.split_once('-') {
            Some((patch, prerelease)) => (patch, Some(prerelease)),
            None => (patch, None),
        };
        let version = Self {
            numbers: [major, minor, number(patch, "Patch")?],
            prerelease: match prerelease {
                None => Vec::new(),
                Some(text) => text.split('.').map(Self::part).collect::<Result<_, _>>()?,
            },
            build: build.unwrap_or("").to_owned(),
        };
        for part in build.into_iter().flat_map(|build| build.split('.')) {
            if part.is_empty() {
                return Err("Build meta data is empty".to_owned());
            }
            if !is_identifier(part) {
                let part = apimachinery::field::quote(part);
                return Err(format!("Invalid character(s) found in build meta data {part}"));
            }
        }
        Ok(version)
    }

    fn part(text: &str) -> Result<Part, Owned> {
        let quoted = || apimachinery::field::quote(text);
        if text.is_empty() {
            return Err("Prerelease is empty".to_owned());
        }
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return if is_identifier(text) {
                Ok(Part::Text(text.to_owned()))
            } else {
                Err(format!("Invalid character(s) found in prerelease {}", quoted()))
            };
        }
        if text.len() > 1 && text.starts_with('0') {
            return Err(format!(
                "Numeric PreRelease version must not contain leading zeroes {}",
                quoted()
            ));
        }
        parsed(text).map(Part::Number)
    }

    /// A leading `v` is dropped, missing numbers are zero, leading zeros are dropped.
    fn normalized(text: &str) -> Result<Self, Owned> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let mut parts: Vec<Owned> = text.splitn(3, '.').map(without_zeros).collect();
        if parts.len() < 3 && parts.last().is_some_and(|last| last.contains(['+', '-'])) {
            return Err("short version cannot contain PreRelease/Build meta data".to_owned());
        }
        parts.resize(3, "0".to_owned());
        Self::parse(&parts.join("."))
    }

    /// What it was built with makes no difference.
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

/// A part that begins with a number, without the zeros in front of it.
fn without_zeros(part: &str) -> Owned {
    if part.len() < 2 {
        return part.to_owned();
    }
    let rest = part.trim_start_matches('0');
    if rest.starts_with(|c: char| c.is_ascii_digit()) {
        rest.to_owned()
    } else {
        format!("0{rest}")
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.order(other).is_eq()
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

fn read(args: &[Value<'_>]) -> Result<Result<Version, Owned>, EvalError> {
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
        .map_err(EvalError::new)
}

fn is_semver<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    Ok(Value::Bool(read(args)?.is_ok()))
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
