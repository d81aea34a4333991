//! Texts that are written out where a function reads them: durations, timestamps, patterns. Those that the function could
//! never read are refused (upstream, the validators of cel-go's environment).

use crate::go_regexp;
use crate::instant::Instant;
use crate::syntax::{Expr, ExprKind, Issue, Literal};
use crate::time::parse_duration;

pub(super) fn check(expr: &Expr, issues: &mut Vec<Issue>) {
    // The first argument whatever the call is made on: upstream doesn't know `matches(text, pattern)` here.
    if let ExprKind::Call { function, args, .. } = &expr.kind
        && let Some(first) = args.first()
        && let ExprKind::Literal(literal) = &first.kind
        && !is_readable(function, literal)
    {
        issues.push(Issue {
            at: Some(first.at),
            message: format!("invalid {function} argument"),
        });
    }
    expr.kind.children(&mut |child| check(child, issues));
}

fn is_readable(function: &str, literal: &Literal) -> bool {
    match (function, literal) {
        ("duration", Literal::String(text)) => parse_duration(text).is_some(),
        ("timestamp", Literal::String(text)) => matches!(Instant::parse(text), Ok(Some(_))),
        ("timestamp", Literal::Int(seconds)) => Instant::from_unix(*seconds, 0).is_some(),
        ("matches", Literal::String(pattern)) => go_regexp::check(pattern).is_ok(),
        _ => true,
    }
}
