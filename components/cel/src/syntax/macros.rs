//! Calls that stand for larger expressions.
use super::{Comprehension, Expr, ExprKind, Issue, Literal};

/// The variable that loops gather their result in. Not a name that can be written.
pub(crate) const ACCUMULATOR: &str = "@result";
/// Its former name, which could be written and is still kept free.
const WRITTEN_ACCUMULATOR: &str = "__result__";

/// A call, or what it stands for.
pub(super) fn expand(
    at: u32,
    target: Option<Expr>,
    function: String,
    args: Vec<Expr>,
) -> Result<Expr, Issue> {
    let expansion = match (function.as_str(), target.is_some(), args.len()) {
        ("has", false, 1) => return has(at, args),
        ("all" | "exists" | "exists_one" | "existsOne" | "filter" | "map", true, 2)
        | ("map", true, 3)
        | (
            "all" | "exists" | "exists_one" | "existsOne" | "transformList" | "transformMap"
            | "transformMapEntry",
            true,
            3,
        )
        | ("transformList" | "transformMap" | "transformMapEntry", true, 4) => Some(Shape::Loop),
        ("optMap" | "optFlatMap", true, 2) => Some(Shape::Optional),
        ("sortBy", true, 2) => Some(Shape::Sort),
        _ => None,
    };
    match (expansion, target) {
        (Some(Shape::Loop), Some(target)) => looped(at, target, &function, args),
        (Some(Shape::Optional), Some(target)) => optional(at, target, &function, args),
        (Some(Shape::Sort), Some(target)) => sort_by(at, target, args),
        (_, target) => Ok(Expr::new(
            at,
            ExprKind::Call {
                function,
                target: target.map(Box::new),
                args,
            },
        )),
    }
}

enum Shape {
    Loop,
    Optional,
    Sort,
}

fn has(at: u32, args: Vec<Expr>) -> Result<Expr, Issue> {
    match args.into_iter().next().map(|arg| arg.kind) {
        Some(ExprKind::Select {
            operand,
            field,
            test: false,
            optional: false,
        }) => Ok(Expr::new(
            at,
            ExprKind::Select {
                operand,
                field,
                test: true,
                optional: false,
            },
        )),
        _ => Err(Issue {
            at: Some(at),
            message: "invalid argument to has() macro".into(),
        }),
    }
}

/// The name of a loop's variable, which may not be that of its result.
fn variable(expr: &Expr, otherwise: &str) -> Result<String, Issue> {
    let wrong = |why: &str| {
        Err(Issue {
            at: Some(expr.at),
            message: why.to_owned(),
        })
    };
    match &expr.kind {
        ExprKind::Ident(name) if name == WRITTEN_ACCUMULATOR => {
            wrong("iteration variable overwrites accumulator variable")
        }
        ExprKind::Ident(name) if !name.starts_with('.') => Ok(name.clone()),
        _ => wrong(otherwise),
    }
}

fn literal(at: u32, literal: Literal) -> Expr {
    Expr::new(at, ExprKind::Literal(literal))
}

/// A loop; with two variables when the macro's second argument is one as well.
fn looped(at: u32, range: Expr, function: &str, args: Vec<Expr>) -> Result<Expr, Issue> {
    let double = function.starts_with("transform") || (args.len() == 3 && function != "map");
    let mut rest = args.into_iter();
    let mut next = || {
        rest.next().ok_or(Issue {
            at: Some(at),
            message: "missing argument".into(),
        })
    };
    let simple = match function {
        "map" | "filter" => "argument is not an identifier",
        _ => "argument must be a simple name",
    };
    let first = variable(&next()?, simple)?;
    let second = if double {
        let second = next()?;
        let name = variable(&second, simple)?;
        if name == first {
            return Err(Issue {
                at: Some(second.at),
                message: format!("duplicate variable name: {name}"),
            });
        }
        Some(name)
    } else {
        None
    };
    let body = next()?;
    let transform = next().ok();
    let accumulator = || Expr::ident(at, ACCUMULATOR);
    let one = || literal(at, Literal::Int(1));
    let truth = |truth| literal(at, Literal::Bool(truth));
    let choose = |condition, yes, no| Expr::call(at, "_?_:_", vec![condition, yes, no]);
    let (initial, condition, step, result) = match function {
        "all" => (
            truth(true),
            Expr::call(at, "@not_strictly_false", vec![accumulator()]),
            Expr::call(at, "_&&_", vec![accumulator(), body]),
            accumulator(),
        ),
        "exists" => (
            truth(false),
            Expr::call(
                at,
                "@not_strictly_false",
                vec![Expr::call(at, "!_", vec![accumulator()])],
            ),
            Expr::call(at, "_||_", vec![accumulator(), body]),
            accumulator(),
        ),
        "exists_one" | "existsOne" => (
            literal(at, Literal::Int(0)),
            truth(true),
            choose(
                body,
                Expr::call(at, "_+_", vec![accumulator(), one()]),
                accumulator(),
            ),
            Expr::call(at, "_==_", vec![accumulator(), one()]),
        ),
        "filter" => {
            let element = Expr::ident(at, &first);
            let added = Expr::call(
                at,
                "_+_",
                vec![
                    accumulator(),
                    Expr::new(at, ExprKind::List(vec![(element, false)])),
                ],
            );
            (
                Expr::new(at, ExprKind::List(Vec::new())),
                truth(true),
                choose(body, added, accumulator()),
                accumulator(),
            )
        }
        "map" | "transformList" => {
            let (test, made) = match transform {
                Some(made) => (Some(body), made),
                None => (None, body),
            };
            let added = Expr::call(
                at,
                "_+_",
                vec![accumulator(), Expr::new(at, ExprKind::List(vec![(made, false)]))],
            );
            let step = match test {
                Some(test) => choose(test, added, accumulator()),
                None => added,
            };
            (
                Expr::new(at, ExprKind::List(Vec::new())),
                truth(true),
                step,
                accumulator(),
            )
        }
        _ => {
            let (test, made) = match transform {
                Some(made) => (Some(body), made),
                None => (None, body),
            };
            let added = if function == "transformMap" {
                Expr::call(
                    at,
                    "cel.@mapInsert",
                    vec![accumulator(), Expr::ident(at, &first), made],
                )
            } else {
                Expr::call(at, "cel.@mapInsert", vec![accumulator(), made])
            };
            let step = match test {
                Some(test) => choose(test, added, accumulator()),
                None => added,
            };
            (
                Expr::new(at, ExprKind::Map(Vec::new())),
                truth(true),
                step,
                accumulator(),
            )
        }
    };
    Ok(Expr::new(
        at,
        ExprKind::Comprehension(Box::new(Comprehension {
            range,
            variable: first,
            second,
            accumulator: ACCUMULATOR.to_owned(),
            initial,
            condition,
            step,
            result,
        })),
    ))
}

/// `l.sortBy(v, e)`: the list in the order of what e comes to for its elements.
fn sort_by(at: u32, target: Expr, args: Vec<Expr>) -> Result<Expr, Issue> {
    // Not a name that can be written.
    const INPUT: &str = "@__sortBy_input__";
    let sortable = matches!(
        target.kind,
        ExprKind::List(_)
            | ExprKind::Select { .. }
            | ExprKind::Ident(_)
            | ExprKind::Comprehension(_)
            | ExprKind::Call { .. }
    );
    if !sortable {
        return Err(Issue {
            at: Some(target.at),
            message:
                "sortBy can only be applied to a list, identifier, comprehension, call or select expression"
                    .into(),
        });
    }
    let keys = looped(at, Expr::ident(at, INPUT), "map", args)?;
    let sorted = Expr::new(
        at,
        ExprKind::Call {
            function: "@sortByAssociatedKeys".into(),
            target: Some(Box::new(Expr::ident(at, INPUT))),
            args: vec![keys],
        },
    );
    Ok(bind(at, INPUT, target, sorted))
}

/// `body` with `value` as a variable.
fn bind(at: u32, name: &str, value: Expr, body: Expr) -> Expr {
    Expr::new(
        at,
        ExprKind::Comprehension(Box::new(Comprehension {
            range: Expr::new(at, ExprKind::List(Vec::new())),
            variable: "#unused".into(),
            second: None,
            accumulator: name.to_owned(),
            initial: value,
            condition: literal(at, Literal::Bool(false)),
            step: Expr::ident(at, name),
            result: body,
        })),
    )
}

/// `o.optMap(v, e)`: e with the value of o as v, when there is one.
fn optional(at: u32, target: Expr, function: &str, args: Vec<Expr>) -> Result<Expr, Issue> {
    let mut args = args.into_iter();
    let (Some(name), Some(body)) = (args.next(), args.next()) else {
        return Err(Issue {
            at: Some(at),
            message: "missing argument".into(),
        });
    };
    let name = variable(
        &name,
        &format!("{function}() variable name must be a simple identifier"),
    )?;
    let method = |target: Expr, function: &str| {
        Expr::new(
            at,
            ExprKind::Call {
                function: function.to_owned(),
                target: Some(Box::new(target)),
                args: Vec::new(),
            },
        )
    };
    let value = method(target.clone(), "value");
    let bound = bind(at, &name, value, body);
    let some = if function == "optMap" {
        Expr::call(at, "optional.of", vec![bound])
    } else {
        bound
    };
    let none = Expr::call(at, "optional.none", Vec::new());
    Ok(Expr::call(
        at,
        "_?_:_",
        vec![method(target, "hasValue"), some, none],
    ))
}
