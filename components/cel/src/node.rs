//! The checked tree that is evaluated: names are resolved, calls lead to implementations.
use crate::cost::CostRule;
use crate::functions::Overload;
use crate::syntax::Literal;
use crate::types::Type;

#[derive(Debug)]
pub(crate) struct Node {
    pub ty: Type,
    pub op: Op,
}

/// A signature that fits a call, and what calling it costs.
pub(crate) type Candidate = (&'static Overload, CostRule);

#[derive(Debug)]
pub(crate) enum Op {
    Literal(Literal),
    TypeName(Type),
    /// Position among the environment's variables, and name.
    Variable(usize, Box<str>),
    /// Depth among the variables of loops.
    Local(usize),
    Select {
        operand: Box<Node>,
        field: String,
        test: bool,
        optional: bool,
    },
    Index {
        operand: Box<Node>,
        index: Box<Node>,
        optional: bool,
    },
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Conditional(Box<[Node; 3]>),
    NotStrictlyFalse(Box<Node>),
    Call {
        candidates: Vec<Candidate>,
        args: Vec<Node>,
    },
    /// A list added to the end of a loop's accumulator, which is taken, not copied.
    Append(usize, Box<Node>),
    /// An entry, or a map's entries, added to a loop's accumulator.
    MapInsert(usize, Vec<Node>),
    List(Vec<(Node, bool)>),
    Map(Vec<(Node, Node, bool)>),
    Struct {
        name: String,
        fields: Vec<(String, Node, bool)>,
    },
    Fold(Box<Fold>),
}

#[derive(Debug)]
pub(crate) struct Fold {
    pub range: Node,
    /// Whether there are two loop variables.
    pub double: bool,
    pub initial: Node,
    pub condition: Node,
    pub step: Node,
    pub result: Node,
    /// Where the accumulator stands among the locals; the loop variables follow it.
    pub slot: usize,
}

impl Op {
    /// Calls `visit` with each node directly below.
    pub fn children<'n>(&'n self, visit: &mut dyn FnMut(&'n Node)) {
        match self {
            Self::Literal(_) | Self::TypeName(_) | Self::Variable(..) | Self::Local(_) => {}
            Self::Select { operand, .. } => visit(operand),
            Self::Index { operand, index, .. } => {
                visit(operand);
                visit(index);
            }
            Self::And(left, right) | Self::Or(left, right) => {
                visit(left);
                visit(right);
            }
            Self::Conditional(parts) => parts.iter().for_each(visit),
            Self::NotStrictlyFalse(inner) | Self::Append(_, inner) => visit(inner),
            Self::Call { args, .. } | Self::MapInsert(_, args) => args.iter().for_each(visit),
            Self::List(items) => items.iter().for_each(|(item, _)| visit(item)),
            Self::Map(entries) => entries.iter().for_each(|(key, value, _)| {
                visit(key);
                visit(value);
            }),
            Self::Struct { fields, .. } => fields.iter().for_each(|(_, value, _)| visit(value)),
            Self::Fold(fold) => {
                [
                    &fold.range,
                    &fold.initial,
                    &fold.condition,
                    &fold.step,
                    &fold.result,
                ]
                .into_iter()
                .for_each(visit);
            }
        }
    }
}
