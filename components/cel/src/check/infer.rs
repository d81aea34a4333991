//! Types that are not known yet, and what is learned about them.
use crate::functions::Sig;
use crate::node::{Node, Op};
use crate::types::Type;
use std::sync::Arc;

/// What is known about each type variable.
#[derive(Default)]
pub(super) struct Inference {
    known: Vec<Option<Type>>,
}

impl Inference {
    /// A type that nothing is known about.
    pub fn fresh(&mut self) -> Type {
        self.known.push(None);
        Type::Var(self.known.len() as u32 - 1)
    }

    /// The type with everything that is known filled in.
    pub fn resolve(&self, ty: &Type) -> Type {
        match ty {
            Type::Var(number) => match &self.known[*number as usize] {
                Some(known) => self.resolve(known),
                None => ty.clone(),
            },
            Type::List(item) => Type::List(Arc::new(self.resolve(item))),
            Type::Map(key, value) => Type::Map(Arc::new(self.resolve(key)), Arc::new(self.resolve(value))),
            Type::Optional(inner) => Type::Optional(Arc::new(self.resolve(inner))),
            _ => ty.clone(),
        }
    }

    /// Makes two types the same, if they can be.
    pub fn unify(&mut self, a: &Type, b: &Type) -> bool {
        let (a, b) = (self.shallow(a), self.shallow(b));
        match (&a, &b) {
            (Type::Var(x), Type::Var(y)) if x == y => true,
            (Type::Var(x), other) | (other, Type::Var(x)) => {
                if self.occurs(*x, other) {
                    return false;
                }
                self.known[*x as usize] = Some(other.clone());
                true
            }
            (Type::Dyn, _) | (_, Type::Dyn) => true,
            (Type::Null, other) | (other, Type::Null) => nullable(other),
            (Type::List(x), Type::List(y)) | (Type::Optional(x), Type::Optional(y)) => self.unify(x, y),
            (Type::Map(k, v), Type::Map(l, w)) => self.unify(k, l) && self.unify(v, w),
            _ => a == b,
        }
    }

    fn shallow(&self, ty: &Type) -> Type {
        match ty {
            Type::Var(number) => match &self.known[*number as usize] {
                Some(known) => self.shallow(known),
                None => ty.clone(),
            },
            _ => ty.clone(),
        }
    }

    fn occurs(&self, number: u32, ty: &Type) -> bool {
        match self.shallow(ty) {
            Type::Var(other) => other == number,
            Type::List(inner) | Type::Optional(inner) => self.occurs(number, &inner),
            Type::Map(key, value) => self.occurs(number, &key) || self.occurs(number, &value),
            _ => false,
        }
    }

    /// Whether a value of type `found` can stand where `wanted` is; learns from it if so.
    pub fn assignable(&mut self, wanted: &Type, found: &Type) -> bool {
        let before = self.known.clone();
        let fits = self.unify(wanted, found);
        if !fits {
            self.known = before;
        }
        fits
    }

    /// Whether all fit; learns nothing unless they do.
    pub fn all_assignable(&mut self, wanted: &[Type], found: &[Type]) -> bool {
        let before = self.known.clone();
        let fits = wanted
            .iter()
            .zip(found)
            .all(|(wanted, found)| self.unify(wanted, found));
        if !fits {
            self.known = before;
        }
        fits
    }

    /// The one of two compatible types that takes more.
    pub fn more_general(&self, a: &Type, b: &Type) -> Type {
        let (a, b) = (self.resolve(a), self.resolve(b));
        if matches!(b, Type::Dyn) || matches!(a, Type::Null) {
            b
        } else {
            a
        }
    }

    /// A signature's type with its parameters replaced by `a` and `b`.
    pub fn instance(sig: &Sig, a: &Type, b: &Type) -> Type {
        match sig {
            Sig::Dyn => Type::Dyn,
            Sig::Bool => Type::Bool,
            Sig::Int => Type::Int,
            Sig::Uint => Type::Uint,
            Sig::Double => Type::Double,
            Sig::String => Type::String,
            Sig::Bytes => Type::Bytes,
            Sig::Timestamp => Type::Timestamp,
            Sig::Duration => Type::Duration,
            Sig::Type => Type::Type,
            Sig::A => a.clone(),
            Sig::B => b.clone(),
            Sig::List(item) => Type::List(Arc::new(Self::instance(item, a, b))),
            Sig::Map(key, value) => Type::Map(
                Arc::new(Self::instance(key, a, b)),
                Arc::new(Self::instance(value, a, b)),
            ),
            Sig::Optional(inner) => Type::Optional(Arc::new(Self::instance(inner, a, b))),
            Sig::Opaque(name) => Type::Opaque(name),
        }
    }

    /// Fills in what is known throughout a tree; what is still unknown becomes anything.
    pub fn settle(&self, node: &mut Node) {
        node.ty = settled(self.resolve(&node.ty));
        match &mut node.op {
            Op::Literal(_) | Op::TypeName(_) | Op::Variable(..) | Op::Local(_) => {}
            Op::Select { operand, .. } => self.settle(operand),
            Op::Index { operand, index, .. } => {
                self.settle(operand);
                self.settle(index);
            }
            Op::And(left, right) | Op::Or(left, right) => {
                self.settle(left);
                self.settle(right);
            }
            Op::Conditional(parts) => parts.iter_mut().for_each(|part| self.settle(part)),
            Op::NotStrictlyFalse(inner) | Op::Append(_, inner) => self.settle(inner),
            Op::Call { args, .. } | Op::MapInsert(_, args) => {
                args.iter_mut().for_each(|arg| self.settle(arg))
            }
            Op::List(items) => items.iter_mut().for_each(|(item, _)| self.settle(item)),
            Op::Map(entries) => entries.iter_mut().for_each(|(key, value, _)| {
                self.settle(key);
                self.settle(value);
            }),
            Op::Struct { fields, .. } => fields.iter_mut().for_each(|(_, value, _)| self.settle(value)),
            Op::Fold(fold) => {
                for part in [
                    &mut fold.range,
                    &mut fold.initial,
                    &mut fold.condition,
                    &mut fold.step,
                    &mut fold.result,
                ] {
                    self.settle(part);
                }
            }
        }
    }
}

fn settled(ty: Type) -> Type {
    match ty {
        Type::Var(_) => Type::Dyn,
        Type::List(item) => Type::List(Arc::new(settled((*item).clone()))),
        Type::Map(key, value) => Type::Map(
            Arc::new(settled((*key).clone())),
            Arc::new(settled((*value).clone())),
        ),
        Type::Optional(inner) => Type::Optional(Arc::new(settled((*inner).clone()))),
        other => other,
    }
}

/// What may be null.
fn nullable(ty: &Type) -> bool {
    matches!(
        ty,
        Type::Null | Type::Object(_) | Type::Timestamp | Type::Duration | Type::Optional(_) | Type::Opaque(_)
    )
}
