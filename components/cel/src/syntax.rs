//! Text to syntax tree.
mod lexer;
mod macros;
mod parser;
mod source;

pub(crate) use macros::ACCUMULATOR;
pub(crate) use parser::RESERVED;
pub use parser::parse;
pub use source::{Issue, Source};

/// A value written out.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(String),
    Bytes(Vec<u8>),
}

/// An expression, and where it stands: the offset in characters that errors point at.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    pub at: u32,
    /// Levels of nesting below and with this one.
    depth: u32,
    pub kind: ExprKind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    Literal(Literal),
    Ident(String),
    /// `test` for `has(operand.field)`, `optional` for `operand.?field`.
    Select {
        operand: Box<Expr>,
        field: String,
        test: bool,
        optional: bool,
    },
    Call {
        function: String,
        target: Option<Box<Expr>>,
        args: Vec<Expr>,
    },
    /// Elements, and whether each is there only when its optional value is.
    List(Vec<(Expr, bool)>),
    Map(Vec<(Expr, Expr, bool)>),
    /// `Name{field: value}`.
    Struct {
        name: String,
        fields: Vec<Initializer>,
    },
    Comprehension(Box<Comprehension>),
}

/// `field: value` of a struct.
#[derive(Clone, Debug, PartialEq)]
pub struct Initializer {
    /// Where the colon is.
    pub at: u32,
    pub field: String,
    pub value: Expr,
    /// It is set only when its optional value is there.
    pub optional: bool,
}

/// A loop over a range that macros expand to.
#[derive(Clone, Debug, PartialEq)]
pub struct Comprehension {
    pub range: Expr,
    /// Element of a list or key of a map; index of a list when there is a second variable.
    pub variable: String,
    pub second: Option<String>,
    pub accumulator: String,
    pub initial: Expr,
    pub condition: Expr,
    pub step: Expr,
    pub result: Expr,
}

impl ExprKind {
    /// What it is made of.
    pub(crate) fn children<'e>(&'e self, visit: &mut dyn FnMut(&'e Expr)) {
        match self {
            Self::Literal(_) | Self::Ident(_) => {}
            Self::Select { operand, .. } => visit(operand),
            Self::Call { target, args, .. } => target.as_deref().into_iter().chain(args).for_each(visit),
            Self::List(items) => items.iter().for_each(|(item, _)| visit(item)),
            Self::Map(entries) => entries.iter().for_each(|(key, value, _)| {
                visit(key);
                visit(value);
            }),
            Self::Struct { fields, .. } => fields.iter().for_each(|field| visit(&field.value)),
            Self::Comprehension(inner) => {
                [
                    &inner.range,
                    &inner.initial,
                    &inner.condition,
                    &inner.step,
                    &inner.result,
                ]
                .into_iter()
                .for_each(visit);
            }
        }
    }
}

impl Expr {
    pub(crate) fn new(at: u32, kind: ExprKind) -> Self {
        let mut below = 0;
        kind.children(&mut |child| below = below.max(child.depth));
        Self {
            at,
            depth: below + 1,
            kind,
        }
    }

    pub(crate) fn ident(at: u32, name: &str) -> Self {
        Self::new(at, ExprKind::Ident(name.to_owned()))
    }

    pub(crate) fn call(at: u32, function: &str, args: Vec<Expr>) -> Self {
        Self::new(
            at,
            ExprKind::Call {
                function: function.to_owned(),
                target: None,
                args,
            },
        )
    }

    /// The name that a chain of plain selections spells: `a.b.c`.
    pub(crate) fn qualified_name(&self) -> Option<String> {
        match &self.kind {
            ExprKind::Ident(name) => Some(name.trim_start_matches('.').to_owned()),
            ExprKind::Select {
                operand,
                field,
                test: false,
                optional: false,
            } => Some(format!("{}.{field}", operand.qualified_name()?)),
            _ => None,
        }
    }
}
