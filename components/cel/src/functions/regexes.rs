//! Regular expressions. Those written out in an expression are compiled once, with it.
use super::{Overload, Sig, method, no_such_overload};
use crate::evaluate::{EvalError, Scratch};
use crate::go_regexp;
use crate::node::{Node, Op};
use crate::syntax::Literal;
use crate::value::Value;
use Sig::{Bool, Int, String};
use regex::Regex;
use std::collections::HashMap;

/// Largest compiled form of a pattern, in bytes: one may come with each object, and is then compiled anew for it.
const SIZE_LIMIT: usize = 1 << 20;

/// The regular expressions that a program has written out.
#[derive(Debug, Default)]
pub(crate) struct Regexes {
    known: HashMap<std::string::String, Regex>,
}

impl Regexes {
    /// Compiles what calls in the tree have as literal arguments. One that is too large fails when it is evaluated.
    pub(crate) fn of(node: &Node) -> Result<Self, std::string::String> {
        let mut regexes = Self::default();
        regexes.gather(node)?;
        Ok(regexes)
    }

    fn gather(&mut self, node: &Node) -> Result<(), std::string::String> {
        if let Op::Call { args, .. } = &node.op
            && let [_, pattern, ..] = args.as_slice()
            && let Op::Literal(Literal::String(text)) = &pattern.op
            && is_regex_call(node)
        {
            go_regexp::check(text)?;
            if let Ok(regex) = go_regexp::compile(text, SIZE_LIMIT) {
                self.known.insert(text.clone(), regex);
            }
        }
        let mut found = Ok(());
        node.op.children(&mut |child| {
            if found.is_ok() {
                found = self.gather(child);
            }
        });
        found
    }

    fn with<T>(&self, pattern: &str, run: impl FnOnce(&Regex) -> T) -> Result<T, EvalError> {
        match self.known.get(pattern) {
            Some(regex) => Ok(run(regex)),
            None => go_regexp::compile(pattern, SIZE_LIMIT)
                .map(|regex| run(&regex))
                .map_err(EvalError::new),
        }
    }
}

fn is_regex_call(node: &Node) -> bool {
    let Op::Call { candidates, .. } = &node.op else {
        return false;
    };
    candidates
        .iter()
        .any(|(overload, _)| matches!(overload.id, "matches_string" | "find"))
}

fn texts<'v>(args: &'v [Value<'_>]) -> Result<(&'v str, &'v str), EvalError> {
    args[0]
        .as_str()
        .zip(args[1].as_str())
        .ok_or_else(no_such_overload)
}

fn matches<'a>(scratch: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let (text, pattern) = texts(args)?;
    scratch
        .regexes
        .with(pattern, |regex| Value::Bool(regex.is_match(text)))
}

fn find<'a>(scratch: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let (text, pattern) = texts(args)?;
    scratch
        .regexes
        .with(pattern, |regex| {
            Value::text(regex.find(text).map_or("", |found| found.as_str()))
        })
        .map_err(illegal)
}

/// Only Kubernetes' own functions say what is wrong.
fn illegal(error: EvalError) -> EvalError {
    EvalError::new(format!("Illegal regex: {error}"))
}

fn find_all<'a>(scratch: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let (text, pattern) = texts(args)?;
    let limit = match args.get(2) {
        Some(Value::Int(limit)) => usize::try_from(*limit).unwrap_or(usize::MAX),
        _ => usize::MAX,
    };
    scratch
        .regexes
        .with(pattern, |regex| {
            let found = regex.find_iter(text).take(limit);
            Value::list(found.map(|found| Value::text(found.as_str())).collect())
        })
        .map_err(illegal)
}

const TEXTS: Sig = Sig::List(&String);

pub(super) static FUNCTIONS: &[(&str, Overload)] = &[
    (
        "matches",
        method("matches_string", &[String, String], Bool, matches),
    ),
    (
        "matches",
        super::function("matches_string", &[String, String], Bool, matches),
    ),
    ("find", method("find", &[String, String], String, find)),
    ("findAll", method("find", &[String, String], TEXTS, find_all)),
    ("findAll", method("find", &[String, String, Int], TEXTS, find_all)),
];
