//! Resolves names and signatures, and finds every node's type.
mod call;
mod format;
mod infer;
mod literals;

use crate::environment::Environment;
use crate::node::{Fold, Node, Op};
use crate::syntax::{Comprehension, Expr, ExprKind, Initializer, Issue, Literal};
use crate::types::{Decl, Type};
use infer::Inference;
use std::sync::Arc;

/// A checked expression.
pub(crate) struct Checked {
    pub node: Node,
    /// Positions of the variables that are named.
    pub uses: Vec<usize>,
}

/// Checks an expression against what the environment declares, with the functions of a minor of version 1.
pub(crate) fn check(expr: &Expr, environment: &Environment, minor: u32) -> Result<Checked, Vec<Issue>> {
    let mut checker = Checker {
        environment,
        minor,
        issues: Vec::new(),
        locals: Vec::new(),
        infer: Inference::default(),
        uses: Vec::new(),
        mixed: false,
        later: Vec::new(),
    };
    let mut node = checker.expr(expr);
    // Only of an expression that is sound otherwise.
    if checker.issues.is_empty() {
        literals::check(expr, &mut checker.issues);
        checker.issues.append(&mut checker.later);
    }
    if !checker.issues.is_empty() {
        checker.issues.sort_by_key(|issue| issue.at);
        return Err(checker.issues);
    }
    checker.infer.settle(&mut node);
    Ok(Checked {
        node,
        uses: checker.uses,
    })
}

struct Checker<'e> {
    environment: &'e Environment,
    minor: u32,
    issues: Vec<Issue>,
    locals: Vec<(String, Type)>,
    infer: Inference,
    uses: Vec<usize>,
    /// Elements of a list may differ in type, as in the arguments of `format`.
    mixed: bool,
    /// What is wrong with what is written out, if nothing else is.
    later: Vec<Issue>,
}

/// Names of types, which are values themselves.
fn type_named(name: &str) -> Option<Type> {
    let dynamic = || Arc::new(Type::Dyn);
    Some(match name {
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "null_type" => Type::Null,
        "list" => Type::List(dynamic()),
        "map" => Type::Map(dynamic(), dynamic()),
        "type" => Type::Type,
        "dyn" => Type::Dyn,
        "optional_type" => Type::Optional(dynamic()),
        "google.protobuf.Timestamp" => Type::Timestamp,
        "google.protobuf.Duration" => Type::Duration,
        "net.IP" => Type::Opaque("net.IP"),
        "net.CIDR" => Type::Opaque("net.CIDR"),
        "kubernetes.URL" => Type::Opaque("kubernetes.URL"),
        "kubernetes.Quantity" => Type::Opaque("kubernetes.Quantity"),
        "kubernetes.Semver" => Type::Opaque("kubernetes.Semver"),
        "kubernetes.NamedFormat" => Type::Opaque("kubernetes.NamedFormat"),
        _ => return None,
    })
}

impl Checker<'_> {
    fn issue(&mut self, at: u32, message: String) {
        self.issues.push(Issue {
            at: Some(at),
            message,
        });
    }

    fn wrong(&mut self) -> Node {
        Node {
            ty: Type::Dyn,
            op: Op::Literal(Literal::Null),
        }
    }

    fn expr(&mut self, expr: &Expr) -> Node {
        match &expr.kind {
            ExprKind::Literal(literal) => Node {
                ty: match literal {
                    Literal::Null => Type::Null,
                    Literal::Bool(_) => Type::Bool,
                    Literal::Int(_) => Type::Int,
                    Literal::Uint(_) => Type::Uint,
                    Literal::Double(_) => Type::Double,
                    Literal::String(_) => Type::String,
                    Literal::Bytes(_) => Type::Bytes,
                },
                op: Op::Literal(literal.clone()),
            },
            ExprKind::Ident(name) => self.ident(expr.at, name),
            ExprKind::Select {
                operand,
                field,
                test,
                optional,
            } => {
                // `authorizer.requestResource` and `google.protobuf.Timestamp` are names, not fields.
                let name = expr.qualified_name().filter(|_| !*test && !*optional);
                if let Some(name) = name
                    .as_deref()
                    .filter(|name| self.environment.index(name).is_some() && !self.is_local(name))
                {
                    return self.ident(expr.at, name);
                }
                if let Some(ty) = name
                    .filter(|name| !self.is_variable(name))
                    .and_then(|name| type_named(&name))
                {
                    return Node {
                        ty: Type::Type,
                        op: Op::TypeName(ty),
                    };
                }
                self.select(expr.at, operand, field, *test, *optional)
            }
            ExprKind::Call {
                function,
                target,
                args,
            } => self.call(expr.at, function, target.as_deref(), args),
            ExprKind::List(items) => self.list(items),
            ExprKind::Map(entries) => self.map(entries),
            ExprKind::Struct { name, fields } => self.structure(expr.at, name, fields),
            ExprKind::Comprehension(inner) => self.comprehension(inner),
        }
    }

    /// Whether the first part of a dotted name is a variable.
    fn is_variable(&self, name: &str) -> bool {
        let first = name.split('.').next().unwrap_or(name);
        self.environment.index(first).is_some() || self.is_local(first)
    }

    /// Whether the first part of a dotted name is a variable of a comprehension, which hides others.
    fn is_local(&self, name: &str) -> bool {
        let first = name.split('.').next().unwrap_or(name);
        self.locals.iter().any(|(local, _)| local == first)
    }

    fn ident(&mut self, at: u32, name: &str) -> Node {
        let plain = name.trim_start_matches('.');
        let local = (plain == name)
            .then(|| self.locals.iter().rposition(|(local, _)| local == name))
            .flatten();
        if let Some(slot) = local {
            return Node {
                ty: self.locals[slot].1.clone(),
                op: Op::Local(slot),
            };
        }
        if let Some(index) = self.environment.index(plain) {
            if !self.uses.contains(&index) {
                self.uses.push(index);
            }
            return Node {
                ty: self.environment.decl(plain).map_or(Type::Dyn, Decl::ty),
                op: Op::Variable(index, plain.into()),
            };
        }
        if let Some(ty) = type_named(plain) {
            return Node {
                ty: Type::Type,
                op: Op::TypeName(ty),
            };
        }
        self.issue(at, format!("undeclared reference to '{plain}' (in container '')"));
        self.wrong()
    }

    fn select(&mut self, at: u32, operand: &Expr, field: &str, test: bool, optional: bool) -> Node {
        let operand = self.expr(operand);
        let resolved = self.infer.resolve(&operand.ty);
        let (inner, wrapped) = match resolved {
            Type::Optional(inner) => (self.infer.resolve(&inner), true),
            other => (other, false),
        };
        let found = match &inner {
            Type::Dyn => Some(Type::Dyn),
            Type::Var(_) => {
                // What is unknown becomes anything.
                self.infer.unify(&inner, &Type::Dyn);
                Some(Type::Dyn)
            }
            Type::Map(_, value) => Some((**value).clone()),
            Type::Object(object) => object.field(field).map(|field| field.decl.ty()),
            _ => {
                if self.issues.is_empty() || operand_is_sound(&operand) {
                    self.issue(at, format!("type '{inner}' does not support field selection"));
                }
                return self.wrong();
            }
        };
        let Some(ty) = found else {
            self.issue(at, format!("undefined field '{field}'"));
            return self.wrong();
        };
        let ty = match (test, optional || wrapped) {
            (true, _) => Type::Bool,
            (false, true) if !matches!(ty, Type::Optional(_)) => Type::Optional(Arc::new(ty)),
            (false, _) => ty,
        };
        Node {
            ty,
            op: Op::Select {
                operand: Box::new(operand),
                field: field.to_owned(),
                test,
                optional,
            },
        }
    }

    /// The type that an element adds to a literal; an optional element's inner type.
    fn element(&mut self, node: &Node, optional: bool, at: u32) -> Type {
        let ty = self.infer.resolve(&node.ty);
        if !optional {
            return ty;
        }
        match ty {
            Type::Optional(inner) => (*inner).clone(),
            Type::Dyn => Type::Dyn,
            other => {
                self.issue(
                    at,
                    format!("expected type 'optional_type({other})' but found '{other}'"),
                );
                other
            }
        }
    }

    /// Elements of a literal have one type.
    fn join(&mut self, known: Option<Type>, next: Type, at: u32) -> Type {
        let Some(known) = known else {
            return next;
        };
        if self.infer.assignable(&known, &next) {
            return self.infer.more_general(&known, &next);
        }
        if self.infer.assignable(&next, &known) {
            return next;
        }
        if self.mixed {
            return Type::Dyn;
        }
        self.issue(at, format!("expected type '{known}' but found '{next}'"));
        known
    }

    fn list(&mut self, items: &[(Expr, bool)]) -> Node {
        let mut nodes = Vec::with_capacity(items.len());
        let mut ty = None;
        for (item, optional) in items {
            let node = self.expr(item);
            let next = self.element(&node, *optional, item.at);
            ty = Some(self.join(ty, next, item.at));
            nodes.push((node, *optional));
        }
        let ty = ty.unwrap_or_else(|| self.infer.fresh());
        Node {
            ty: Type::List(Arc::new(ty)),
            op: Op::List(nodes),
        }
    }

    fn map(&mut self, entries: &[(Expr, Expr, bool)]) -> Node {
        let mut nodes = Vec::with_capacity(entries.len());
        let (mut key_type, mut value_type) = (None, None);
        for (key, value, optional) in entries {
            let key_node = self.expr(key);
            let next = self.infer.resolve(&key_node.ty);
            key_type = Some(self.join(key_type, next, key.at));
            let value_node = self.expr(value);
            let next = self.element(&value_node, *optional, value.at);
            value_type = Some(self.join(value_type, next, value.at));
            nodes.push((key_node, value_node, *optional));
        }
        let key = key_type.unwrap_or_else(|| self.infer.fresh());
        let value = value_type.unwrap_or_else(|| self.infer.fresh());
        Node {
            ty: Type::Map(Arc::new(key), Arc::new(value)),
            op: Op::Map(nodes),
        }
    }

    fn structure(&mut self, at: u32, name: &str, fields: &[Initializer]) -> Node {
        if !self.environment.constructs(name) {
            self.issue(at, format!("undeclared reference to '{name}' (in container '')"));
            return self.wrong();
        }
        let fields = fields
            .iter()
            .map(|given| {
                let value = self.expr(&given.value);
                self.initialized(name, given, &value);
                (given.field.clone(), value, given.optional)
            })
            .collect();
        Node {
            ty: Type::Object(Arc::new(crate::types::Object {
                name: name.to_owned(),
                ..Default::default()
            })),
            op: Op::Struct {
                name: name.to_owned(),
                fields,
            },
        }
    }

    /// Checks what a field is set to. Those of objects may be anything.
    fn initialized(&mut self, name: &str, given: &Initializer, value: &Node) {
        let found = self.element(value, given.optional, given.value.at);
        let Some(wanted) = self.environment.field_of(name, &given.field) else {
            self.issue(given.at, format!("undefined field '{}'", given.field));
            return;
        };
        if !self.infer.assignable(&wanted, &found) {
            let field = &given.field;
            let why =
                format!("expected type of field '{field}' is '{wanted}' but provided type is '{found}'");
            self.issue(given.at, why);
        }
    }

    fn comprehension(&mut self, inner: &Comprehension) -> Node {
        let range = self.expr(&inner.range);
        let resolved = self.infer.resolve(&range.ty);
        let double = inner.second.is_some();
        let (first, second) = match &resolved {
            Type::List(item) if double => (Type::Int, (**item).clone()),
            Type::List(item) => ((**item).clone(), Type::Dyn),
            Type::Map(key, value) => ((**key).clone(), (**value).clone()),
            Type::Dyn => (Type::Dyn, Type::Dyn),
            Type::Var(_) => {
                self.infer.unify(&resolved, &Type::Dyn);
                (Type::Dyn, Type::Dyn)
            }
            other => {
                self.issue(
                    inner.range.at,
                    format!(
                        "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                    ),
                );
                (Type::Dyn, Type::Dyn)
            }
        };
        let initial = self.expr(&inner.initial);
        let slot = self.locals.len();
        self.locals.push((inner.accumulator.clone(), initial.ty.clone()));
        self.locals.push((inner.variable.clone(), first));
        if let Some(name) = &inner.second {
            self.locals.push((name.clone(), second));
        }
        let condition = self.expr(&inner.condition);
        let step = self.expr(&inner.step);
        self.expect(&step.ty, &initial.ty, inner.step.at);
        self.locals.truncate(slot + 1);
        let result = self.expr(&inner.result);
        self.locals.truncate(slot);
        Node {
            ty: self.infer.resolve(&result.ty),
            op: Op::Fold(Box::new(Fold {
                range,
                double,
                initial,
                condition,
                step,
                result,
                slot,
            })),
        }
    }

    fn expect(&mut self, found: &Type, wanted: &Type, at: u32) {
        if !self.infer.assignable(wanted, found) {
            let (wanted, found) = (self.infer.resolve(wanted), self.infer.resolve(found));
            self.issue(at, format!("expected type '{wanted}' but found '{found}'"));
        }
    }
}

fn operand_is_sound(operand: &Node) -> bool {
    !matches!(operand.op, Op::Literal(Literal::Null))
}
