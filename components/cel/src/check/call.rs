//! Calls: operators with a meaning of their own, and functions by their signatures.
use super::Checker;
use super::infer::Inference;
use crate::cost::CostRule;
use crate::functions::{Overload, overloads};
use crate::node::{Node, Op};
use crate::syntax::{ACCUMULATOR, Expr};
use crate::types::Type;
use std::sync::Arc;

impl Checker<'_> {
    pub(super) fn call(&mut self, at: u32, function: &str, target: Option<&Expr>, args: &[Expr]) -> Node {
        if let Some(target) = target {
            // `sets.contains(a, b)` is a function's name, unless `sets` is a variable.
            let qualified = target
                .qualified_name()
                .filter(|name| !self.is_variable(name))
                .map(|name| format!("{name}.{function}"));
            let known =
                |name: &String| overloads(name, self.minor).is_some() && self.environment.has_function(name);
            if let Some(name) = qualified.filter(known) {
                let nodes = args.iter().map(|arg| self.expr(arg)).collect();
                return self.resolve(at, &name, false, nodes);
            }
            let mut nodes = vec![self.expr(target)];
            let outer = std::mem::replace(&mut self.mixed, function == "format");
            nodes.extend(args.iter().map(|arg| self.expr(arg)));
            self.mixed = outer;
            if function == "format" {
                self.check_format(at, target, args, &nodes);
            }
            return self.resolve(at, function, true, nodes);
        }
        let nodes: Vec<Node> = args.iter().map(|arg| self.expr(arg)).collect();
        match (function, nodes.len()) {
            ("_&&_" | "_||_", 2) => self.logic(at, function, nodes),
            ("_?_:_", 3) => self.conditional(at, nodes),
            ("_[_]" | "_[?_]", 2) => self.index(at, function, nodes),
            ("@not_strictly_false", 1) => {
                let mut nodes = nodes;
                Node {
                    ty: Type::Bool,
                    op: Op::NotStrictlyFalse(Box::new(nodes.remove(0))),
                }
            }
            ("cel.@mapInsert", _) => self.map_insert(nodes),
            _ => self.resolve(at, function.trim_start_matches('.'), false, nodes),
        }
    }

    fn logic(&mut self, at: u32, function: &str, mut nodes: Vec<Node>) -> Node {
        let fits = nodes
            .iter()
            .all(|node| self.infer.assignable(&Type::Bool, &node.ty));
        if !fits {
            self.no_match(at, function, false, &nodes);
            return self.wrong();
        }
        let right = Box::new(nodes.remove(1));
        let left = Box::new(nodes.remove(0));
        Node {
            ty: Type::Bool,
            op: if function == "_&&_" {
                Op::And(left, right)
            } else {
                Op::Or(left, right)
            },
        }
    }

    fn conditional(&mut self, at: u32, nodes: Vec<Node>) -> Node {
        let Ok(parts): Result<[Node; 3], _> = nodes.try_into() else {
            return self.wrong();
        };
        let fits = self.infer.assignable(&Type::Bool, &parts[0].ty)
            && self.infer.assignable(&parts[1].ty, &parts[2].ty);
        if !fits {
            self.no_match(at, "_?_:_", false, &parts);
            return self.wrong();
        }
        Node {
            ty: self.infer.more_general(&parts[1].ty, &parts[2].ty),
            op: Op::Conditional(Box::new(parts)),
        }
    }

    fn index(&mut self, at: u32, function: &str, mut nodes: Vec<Node>) -> Node {
        let index = nodes.remove(1);
        let operand = nodes.remove(0);
        let resolved = self.infer.resolve(&operand.ty);
        let (inner, wrapped) = match resolved {
            Type::Optional(inner) => ((*inner).clone(), true),
            other => (other, false),
        };
        let found = match &inner {
            Type::List(item) => self
                .infer
                .assignable(&Type::Int, &index.ty)
                .then(|| (**item).clone()),
            Type::Map(key, value) => self.infer.assignable(key, &index.ty).then(|| (**value).clone()),
            Type::Dyn | Type::Var(_) => Some(Type::Dyn),
            _ => None,
        };
        let Some(ty) = found else {
            self.no_match(at, function, false, &[operand, index]);
            return self.wrong();
        };
        let optional = function == "_[?_]";
        let ty = if (optional || wrapped) && !matches!(ty, Type::Optional(_)) {
            Type::Optional(Arc::new(ty))
        } else {
            ty
        };
        Node {
            ty,
            op: Op::Index {
                operand: Box::new(operand),
                index: Box::new(index),
                optional,
            },
        }
    }

    /// (map, key, value), or (map, map of one entry).
    fn map_insert(&mut self, mut nodes: Vec<Node>) -> Node {
        let ty = match nodes.as_slice() {
            [map, key, value] => {
                let wanted = Type::Map(Arc::new(key.ty.clone()), Arc::new(value.ty.clone()));
                self.infer.unify(&map.ty, &wanted);
                wanted
            }
            [map, entry] => {
                self.infer.unify(&map.ty, &entry.ty);
                entry.ty.clone()
            }
            _ => Type::Dyn,
        };
        let Op::Local(slot) = nodes.remove(0).op else {
            return self.wrong();
        };
        Node {
            ty,
            op: Op::MapInsert(slot, nodes),
        }
    }

    fn resolve(&mut self, at: u32, function: &str, member: bool, args: Vec<Node>) -> Node {
        let Some(known) = overloads(function, self.minor) else {
            let written = match function {
                "@sortByAssociatedKeys" => "sortBy",
                other => other,
            };
            self.issue(
                at,
                format!("undeclared reference to '{written}' (in container '')"),
            );
            return self.wrong();
        };
        let found: Vec<Type> = args.iter().map(|arg| self.infer.resolve(&arg.ty)).collect();
        let mut candidates = Vec::new();
        let mut result: Option<Type> = None;
        for overload in known {
            let Some(ty) = self.fit(overload, member, &found) else {
                continue;
            };
            candidates.push((overload, CostRule::of(function, overload.id)));
            result = Some(match result {
                None => ty,
                Some(other) if self.infer.resolve(&other) == self.infer.resolve(&ty) => other,
                Some(_) => Type::Dyn,
            });
        }
        let Some(ty) = result else {
            self.no_match(at, function, member, &args);
            return self.wrong();
        };
        if function == "_+_"
            && let [
                Node {
                    op: Op::Local(slot), ..
                },
                _,
            ] = args.as_slice()
            && self.locals[*slot].0 == ACCUMULATOR
            && matches!(self.infer.resolve(&ty), Type::List(_))
        {
            let slot = *slot;
            let mut args = args;
            return Node {
                ty: self.infer.resolve(&ty),
                op: Op::Append(slot, Box::new(args.remove(1))),
            };
        }
        Node {
            ty: self.infer.resolve(&ty),
            op: Op::Call { candidates, args },
        }
    }

    /// The result's type when the signature takes the arguments.
    fn fit(&mut self, overload: &Overload, member: bool, found: &[Type]) -> Option<Type> {
        if overload.member != member || overload.params.len() != found.len() {
            return None;
        }
        let (a, b) = (self.infer.fresh(), self.infer.fresh());
        let params: Vec<Type> = overload
            .params
            .iter()
            .map(|param| Inference::instance(param, &a, &b))
            .collect();
        self.infer
            .all_assignable(&params, found)
            .then(|| self.infer.resolve(&Inference::instance(&overload.result, &a, &b)))
    }

    fn no_match(&mut self, at: u32, function: &str, member: bool, args: &[Node]) {
        let mut types = args.iter().map(|arg| self.infer.resolve(&arg.ty).to_string());
        let applied = if member {
            let target = types.next().unwrap_or_default();
            format!("{target}.({})", types.collect::<Vec<_>>().join(", "))
        } else {
            format!("({})", types.collect::<Vec<_>>().join(", "))
        };
        self.issue(
            at,
            format!("found no matching overload for '{function}' applied to '{applied}'"),
        );
    }
}
