//! Texts. Positions count characters.
use super::{Overload, Sig, method, no_such_overload};
use crate::evaluate::{EvalError, Scratch};
use crate::value::Value;
use Sig::{Bool, Int, String};
use std::string::String as Owned;

type Answer<'a> = Result<Value<'a>, EvalError>;

/// Longest text that a function makes, in bytes: costs are counted once it is made, so this bounds it before.
pub(super) const MAX_MADE: usize = 32 << 20;

pub(super) fn too_long() -> EvalError {
    EvalError::new("the text is too long")
}

fn text<'v>(args: &'v [Value<'_>], index: usize) -> Result<&'v str, EvalError> {
    args.get(index)
        .and_then(Value::as_str)
        .ok_or_else(no_such_overload)
}

fn number(args: &[Value<'_>], index: usize) -> Result<i64, EvalError> {
    match args.get(index) {
        Some(Value::Int(number)) => Ok(*number),
        _ => Err(no_such_overload()),
    }
}

fn out_of_range(at: i64) -> EvalError {
    EvalError::new(format!("index out of range: {at}"))
}

fn test<'a>(args: &[Value<'a>], test: fn(&str, &str) -> bool) -> Answer<'a> {
    Ok(Value::Bool(test(text(args, 0)?, text(args, 1)?)))
}

fn char_at<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Answer<'a> {
    let (text, at) = (text(args, 0)?, number(args, 1)?);
    let position = usize::try_from(at).map_err(|_| out_of_range(at))?;
    match text.chars().nth(position) {
        Some(c) => Ok(Value::text(c.to_string())),
        None if position == text.chars().count() => Ok(Value::text("")),
        None => Err(out_of_range(at)),
    }
}

/// An empty part is found wherever it is looked for; beyond the end there is nothing else.
fn index_of<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Answer<'a> {
    let (whole, part) = (text(args, 0)?, text(args, 1)?);
    let from = if args.len() > 2 { number(args, 2)? } else { 0 };
    if part.is_empty() {
        return Ok(Value::Int(from));
    }
    let start = usize::try_from(from).map_err(|_| out_of_range(from))?;
    let chars: Vec<char> = whole.chars().collect();
    let part: Vec<char> = part.chars().collect();
    let found = chars
        .get(start..)
        .and_then(|rest| rest.windows(part.len()).position(|window| window == part));
    Ok(Value::Int(found.map_or(-1, |found| (found + start) as i64)))
}

fn last_index_of<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Answer<'a> {
    let chars: Vec<char> = text(args, 0)?.chars().collect();
    let part: Vec<char> = text(args, 1)?.chars().collect();
    let length = chars.len() as i64;
    let given = (args.len() > 2).then(|| number(args, 2)).transpose()?;
    if part.is_empty() {
        return Ok(Value::Int(given.unwrap_or(length)));
    }
    let last = given.unwrap_or(length - 1);
    let end = usize::try_from(last).map_err(|_| out_of_range(last))?;
    if end >= chars.len() {
        return Ok(Value::Int(-1));
    }
    let found = chars
        .windows(part.len())
        .enumerate()
        .rev()
        .find(|(position, window)| *position <= end && *window == part);
    Ok(Value::Int(found.map_or(-1, |(position, _)| position as i64)))
}

fn substring<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Answer<'a> {
    let whole = text(args, 0)?;
    let length = whole.chars().count() as i64;
    let start = number(args, 1)?;
    let end = if args.len() > 2 { number(args, 2)? } else { length };
    if args.len() > 2 && start > end {
        return Err(EvalError::new(format!(
            "invalid substring range. start: {start}, end: {end}"
        )));
    }
    for at in [start, end] {
        if at < 0 || at > length {
            return Err(out_of_range(at));
        }
    }
    let part: Owned = whole
        .chars()
        .skip(start as usize)
        .take((end - start) as usize)
        .collect();
    Ok(Value::text(part))
}

fn replace<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Answer<'a> {
    let (whole, old, new) = (text(args, 0)?, text(args, 1)?, text(args, 2)?);
    let count = if args.len() > 3 { number(args, 3)? } else { -1 };
    let places = usize::try_from(count).map_or(usize::MAX, |count| count);
    let found = if old.is_empty() {
        whole.chars().count() + 1
    } else {
        whole.matches(old).count()
    };
    if found
        .min(places)
        .saturating_mul(new.len())
        .saturating_add(whole.len())
        > MAX_MADE
    {
        return Err(too_long());
    }
    Ok(Value::text(match usize::try_from(count) {
        Ok(count) => whole.replacen(old, new, count),
        Err(_) => whole.replace(old, new),
    }))
}

fn split<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Answer<'a> {
    let (whole, separator) = (text(args, 0)?, text(args, 1)?);
    let count = if args.len() > 2 { number(args, 2)? } else { -1 };
    let limit = usize::try_from(count).unwrap_or(usize::MAX);
    if limit == 0 {
        return Ok(Value::list(Vec::new()));
    }
    let parts: Vec<Value<'a>> = if separator.is_empty() {
        let chars: Vec<char> = whole.chars().collect();
        let mut parts: Vec<Value<'a>> = chars
            .iter()
            .take(limit.saturating_sub(1))
            .map(|c| Value::text(c.to_string()))
            .collect();
        if chars.len() > parts.len() {
            parts.push(Value::text(chars[parts.len()..].iter().collect::<Owned>()));
        }
        parts
    } else {
        whole.splitn(limit, separator).map(Value::text).collect()
    };
    Ok(Value::list(parts))
}

fn join<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Answer<'a> {
    let separator = if args.len() > 1 { text(args, 1)? } else { "" };
    let list = args[0].as_list().ok_or_else(no_such_overload)?;
    let mut out = Owned::new();
    for (index, item) in list.iter().enumerate() {
        if index > 0 {
            out.push_str(separator);
        }
        let text = item.as_str().ok_or_else(|| {
            let item = super::printf::plain(&item);
            EvalError::new(format!("join: invalid input: {item}"))
        })?;
        out.push_str(text);
        if out.len() > MAX_MADE {
            return Err(too_long());
        }
    }
    Ok(Value::text(out))
}

fn lower<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Answer<'a> {
    Ok(Value::text(text(args, 0)?.to_ascii_lowercase()))
}

fn upper<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Answer<'a> {
    Ok(Value::text(text(args, 0)?.to_ascii_uppercase()))
}

fn trim<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Answer<'a> {
    Ok(Value::text(text(args, 0)?.trim()))
}

fn escape_key<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Answer<'a> {
    Ok(Value::text(text(args, 0)?.replace('~', "~0").replace('/', "~1")))
}

const TEXTS: Sig = Sig::List(&String);

pub(super) static FUNCTIONS: &[(&str, Overload)] = &[
    (
        "contains",
        method("", &[String, String], Bool, |_, args| {
            test(args, |whole, part| whole.contains(part))
        }),
    ),
    (
        "startsWith",
        method("", &[String, String], Bool, |_, args| {
            test(args, |whole, part| whole.starts_with(part))
        }),
    ),
    (
        "endsWith",
        method("", &[String, String], Bool, |_, args| {
            test(args, |whole, part| whole.ends_with(part))
        }),
    ),
    ("charAt", method("", &[String, Int], String, char_at)),
    ("indexOf", method("", &[String, String], Int, index_of)),
    ("indexOf", method("", &[String, String, Int], Int, index_of)),
    ("lastIndexOf", method("", &[String, String], Int, last_index_of)),
    (
        "lastIndexOf",
        method("", &[String, String, Int], Int, last_index_of),
    ),
    ("substring", method("", &[String, Int], String, substring)),
    ("substring", method("", &[String, Int, Int], String, substring)),
    ("replace", method("", &[String, String, String], String, replace)),
    (
        "replace",
        method("", &[String, String, String, Int], String, replace),
    ),
    ("split", method("", &[String, String], TEXTS, split)),
    ("split", method("", &[String, String, Int], TEXTS, split)),
    ("join", method("", &[TEXTS], String, join)),
    ("join", method("", &[TEXTS, String], String, join)),
    ("lowerAscii", method("", &[String], String, lower)),
    ("upperAscii", method("", &[String], String, upper)),
    ("trim", method("", &[String], String, trim)),
    (
        "jsonpatch.escapeKey",
        super::function("", &[String], String, escape_key),
    ),
];
