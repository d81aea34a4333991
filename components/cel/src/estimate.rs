//! What an expression may cost at most, from the declared bounds of its variables.
use crate::cost::Arguments;
use crate::environment::Environment;
use crate::node::{Fold, Node, Op};
use crate::syntax::Literal;
use crate::types::{Decl, Shape, Type};
use std::sync::Arc;

/// The least and most that evaluating may cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    pub min: u64,
    pub max: u64,
}

/// The least and most elements or bytes of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub min: u64,
    pub max: u64,
}

fn times(count: u64, factor: f64) -> u64 {
    let product = (count as f64 * factor).ceil();
    if count == u64::MAX || product >= u64::MAX as f64 {
        u64::MAX
    } else {
        product as u64
    }
}

impl Cost {
    pub(crate) fn fixed(cost: u64) -> Self {
        Self { min: cost, max: cost }
    }

    pub(crate) fn add(self, other: Self) -> Self {
        Self {
            min: self.min.saturating_add(other.min),
            max: self.max.saturating_add(other.max),
        }
    }

    pub(crate) fn multiply(self, other: Self) -> Self {
        Self {
            min: self.min.saturating_mul(other.min),
            max: self.max.saturating_mul(other.max),
        }
    }

    pub(crate) fn scaled(self, factor: f64) -> Self {
        Self {
            min: times(self.min, factor),
            max: times(self.max, factor),
        }
    }

    fn union(self, other: Self) -> Self {
        Self {
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }
}

impl Size {
    const UNKNOWN: Self = Self {
        min: 0,
        max: u64::MAX,
    };

    pub(crate) fn add(self, other: Self) -> Self {
        Self {
            min: self.min.saturating_add(other.min),
            max: self.max.saturating_add(other.max),
        }
    }

    pub(crate) fn multiply(self, other: Self) -> Self {
        Self {
            min: self.min.saturating_mul(other.min),
            max: self.max.saturating_mul(other.max),
        }
    }

    pub(crate) fn scaled(self, factor: f64) -> Cost {
        Cost {
            min: times(self.min, factor),
            max: times(self.max, factor),
        }
    }
}

/// The arguments of a call.
struct Called<'n> {
    known: &'n [Known],
    nodes: &'n [Node],
}

impl Arguments for Called<'_> {
    fn size(&self, index: usize) -> Size {
        self.given(index).unwrap_or(Size::UNKNOWN)
    }

    fn given(&self, index: usize) -> Option<Size> {
        let known = self.known.get(index)?;
        Some(size_of(known, &self.nodes.get(index)?.ty))
    }

    fn known_size(&self, index: usize) -> Option<Size> {
        self.known.get(index)?.size
    }

    fn literal(&self, index: usize) -> Option<u64> {
        match &self.nodes.get(index)?.op {
            Op::Literal(Literal::Int(number)) => u64::try_from(*number).ok(),
            Op::Literal(Literal::Uint(number)) => Some(*number),
            _ => None,
        }
    }

    fn element(&self, index: usize) -> Option<(bool, Size)> {
        let (Type::List(ty) | Type::Map(ty, _) | Type::Optional(ty)) = &self.nodes.get(index)?.ty else {
            return None;
        };
        let element = Known {
            decl: items(&self.known.get(index)?.decl),
            ..Known::costing(Cost::default())
        };
        Some((matches!(**ty, Type::String | Type::Bytes), size_of(&element, ty)))
    }

    fn same_library_type(&self) -> Option<&'static str> {
        match self.nodes {
            [
                Node {
                    ty: Type::Opaque(left),
                    ..
                },
                Node {
                    ty: Type::Opaque(right),
                    ..
                },
            ] if left == right => Some(left),
            _ => None,
        }
    }
}

pub(crate) fn estimate(node: &Node, environment: &Environment) -> Cost {
    let mut estimator = Estimator {
        environment,
        locals: Vec::new(),
    };
    estimator.node(node).cost
}

/// What is known about the value of a node.
#[derive(Clone)]
struct Known {
    cost: Cost,
    /// Size that the expression itself tells.
    size: Option<Size>,
    decl: Option<Arc<Decl>>,
}

impl Known {
    fn costing(cost: Cost) -> Self {
        Self {
            cost,
            size: None,
            decl: None,
        }
    }
}

struct Estimator<'e> {
    environment: &'e Environment,
    locals: Vec<Known>,
}

/// Sizes of scalars count as one.
fn size_of(known: &Known, ty: &Type) -> Size {
    if let Some(size) = known.size {
        return size;
    }
    if let Some(decl) = &known.decl
        && matches!(
            decl.shape,
            Shape::String | Shape::Bytes | Shape::List(..) | Shape::Map(_) | Shape::Dyn | Shape::Object(_)
        )
    {
        return Size {
            min: 0,
            max: decl.max,
        };
    }
    match ty {
        Type::Bool | Type::Int | Type::Uint | Type::Double | Type::Timestamp | Type::Duration => {
            Size { min: 1, max: 1 }
        }
        Type::Opaque("net.IP" | "net.CIDR") => Size { min: 4, max: 16 },
        _ => Size::UNKNOWN,
    }
}

fn items(decl: &Option<Arc<Decl>>) -> Option<Arc<Decl>> {
    match decl.as_ref().map(|decl| &decl.shape) {
        Some(Shape::List(items, _)) => Some(Arc::clone(items)),
        Some(Shape::Map(values)) => Some(Arc::clone(values)),
        _ => None,
    }
}

impl Estimator<'_> {
    fn node(&mut self, node: &Node) -> Known {
        match &node.op {
            Op::Literal(literal) => {
                let size = match literal {
                    Literal::String(text) => Some(text.chars().count()),
                    Literal::Bytes(bytes) => Some(bytes.len()),
                    _ => None,
                };
                Known {
                    cost: Cost::default(),
                    size: size.map(|size| Size {
                        min: size as u64,
                        max: size as u64,
                    }),
                    decl: None,
                }
            }
            // Upstream's estimator takes any name without a path for that of the value that has the rule.
            Op::TypeName(_) => Known {
                decl: self.environment.named("self"),
                ..Known::costing(Cost::fixed(1))
            },
            Op::Variable(index, _) => Known {
                cost: Cost::fixed(1),
                size: None,
                decl: Some(self.environment.shared(*index)),
            },
            Op::Local(slot) => {
                let known = self.locals.get(*slot).cloned();
                Known {
                    cost: Cost::fixed(1),
                    ..known.unwrap_or_else(|| Known::costing(Cost::default()))
                }
            }
            Op::Select {
                operand, field, test, ..
            } => self.select(operand, field, *test),
            Op::Index { operand, index, .. } => {
                let operand = self.node(operand);
                let index = self.node(index);
                Known {
                    cost: operand.cost.add(index.cost).add(Cost::fixed(1)),
                    size: None,
                    decl: items(&operand.decl),
                }
            }
            Op::And(left, right) | Op::Or(left, right) => {
                let (left, right) = (self.node(left).cost, self.node(right).cost);
                Known::costing(Cost {
                    min: left.min,
                    max: left.add(right).max,
                })
            }
            Op::Conditional(parts) => {
                let [condition, yes, no] = &**parts;
                let condition = self.node(condition).cost;
                let (yes_known, no_known) = (self.node(yes), self.node(no));
                let (a, b) = (size_of(&yes_known, &yes.ty), size_of(&no_known, &no.ty));
                Known {
                    cost: condition.add(yes_known.cost.union(no_known.cost)),
                    size: Some(Size {
                        min: a.min.min(b.min),
                        max: a.max.max(b.max),
                    }),
                    decl: None,
                }
            }
            Op::NotStrictlyFalse(inner) => Known::costing(self.node(inner).cost.add(Cost::fixed(1))),
            Op::Call { candidates, args } => self.call(candidates, args),
            Op::Append(_, item) => {
                // The accumulator's name, and the call.
                let item = self.node(item).cost;
                Known::costing(item.add(Cost::fixed(2)))
            }
            Op::MapInsert(_, args) => {
                let args = self.sum(args.iter());
                Known::costing(args.add(Cost::fixed(2)))
            }
            Op::List(list) => {
                let sum = self.sum(list.iter().map(|(item, _)| item));
                Known {
                    cost: sum.add(Cost::fixed(10)),
                    size: Some(Size {
                        min: list.iter().filter(|(_, optional)| !optional).count() as u64,
                        max: list.len() as u64,
                    }),
                    decl: None,
                }
            }
            Op::Map(entries) => {
                let sum = self.sum(entries.iter().flat_map(|(key, value, _)| [key, value]));
                Known {
                    cost: sum.add(Cost::fixed(30)),
                    size: Some(Size {
                        min: 0,
                        max: entries.len() as u64,
                    }),
                    decl: None,
                }
            }
            Op::Struct { fields, .. } => {
                let sum = self.sum(fields.iter().map(|(_, value, _)| value));
                Known::costing(sum.add(Cost::fixed(40)))
            }
            Op::Fold(fold) => self.fold(fold),
        }
    }

    fn sum<'n>(&mut self, nodes: impl Iterator<Item = &'n Node>) -> Cost {
        nodes.fold(Cost::default(), |sum, node| sum.add(self.node(node).cost))
    }

    fn select(&mut self, operand: &Node, field: &str, test: bool) -> Known {
        let known = self.node(operand);
        let decl = known.decl.and_then(|decl| match &decl.shape {
            Shape::Object(object) => object.fields.get(field).map(|field| Arc::clone(&field.decl)),
            Shape::Map(values) => Some(Arc::clone(values)),
            _ => None,
        });
        Known {
            cost: if test {
                known.cost
            } else {
                known.cost.add(Cost::fixed(1))
            },
            size: None,
            decl,
        }
    }

    fn call(&mut self, candidates: &[crate::node::Candidate], args: &[Node]) -> Known {
        let known: Vec<Known> = args.iter().map(|arg| self.node(arg)).collect();
        let sum = known
            .iter()
            .fold(Cost::default(), |sum, known| sum.add(known.cost));
        let called = Called {
            known: &known,
            nodes: args,
        };
        let mut whole: Option<Cost> = None;
        let mut result: Option<Size> = None;
        for (_, rule) in candidates {
            let (cost, made) = rule.estimated(&called);
            whole = Some(whole.map_or(cost, |whole| whole.union(cost)));
            if let Some(made) = made {
                result = Some(result.map_or(made, |result| Size {
                    min: result.min.min(made.min),
                    max: result.max.max(made.max),
                }));
            }
        }
        Known {
            cost: sum.add(whole.unwrap_or_default()),
            size: result,
            decl: None,
        }
    }

    fn fold(&mut self, fold: &Fold) -> Known {
        let range = self.node(&fold.range);
        let initial = self.node(&fold.initial);
        let count = size_of(&range, &fold.range.ty);
        let mut element = Known::costing(Cost::default());
        let mut position = Known::costing(Cost::default());
        if matches!(fold.range.ty, Type::Map(..)) {
            position.decl = None;
            element.decl = items(&range.decl);
        } else {
            element.decl = items(&range.decl);
        }
        self.locals.truncate(fold.slot);
        // Without a round, a name for the initial value.
        let binds = matches!(&fold.range.op, Op::List(items) if items.is_empty());
        self.locals.push(match binds {
            true => Known {
                cost: Cost::default(),
                ..initial.clone()
            },
            false => Known::costing(Cost::default()),
        });
        if fold.double {
            self.locals.push(position);
            self.locals.push(element);
        } else if matches!(fold.range.ty, Type::Map(..)) {
            self.locals.push(position);
        } else {
            self.locals.push(element);
        }
        let condition = self.node(&fold.condition).cost;
        let step = self.node(&fold.step).cost;
        self.locals.truncate(fold.slot + 1);
        let result = self.node(&fold.result);
        self.locals.truncate(fold.slot);
        let rounds = Cost {
            min: count.min,
            max: count.max,
        };
        let looped = rounds.multiply(condition.add(step));
        // What map and filter make is at most as long as the range.
        let makes_list = matches!(fold.initial.op, Op::List(_) | Op::Map(_));
        let size = if binds {
            result.size
        } else {
            makes_list.then_some(Size {
                min: 0,
                max: count.max,
            })
        };
        Known {
            cost: range.cost.add(initial.cost).add(looped).add(result.cost),
            size,
            decl: None,
        }
    }
}
