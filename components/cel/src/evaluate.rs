//! Evaluation of a checked tree, with its cost counted.
use crate::cost::CostRule;
use crate::functions::{OR, Regexes, append, equal, index, map_insert, no_such_overload};
use crate::node::{Candidate, Fold, Node, Op};
use crate::syntax::Literal;
use crate::value::{MapValue, Value};
use std::borrow::Cow;
use std::sync::Arc;

/// Why there is no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EvalError {
    pub message: Cow<'static, str>,
    /// The evaluation was cut off because it cost too much.
    pub over_budget: bool,
}

impl EvalError {
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            message: message.into(),
            over_budget: false,
        }
    }

    pub(crate) fn budget() -> Self {
        Self {
            message: "operation cancelled: actual cost limit exceeded".into(),
            over_budget: true,
        }
    }
}

/// What one evaluation has used so far.
pub struct Scratch<'p, 'a> {
    cost: u64,
    limit: u64,
    pub(crate) regexes: &'p Regexes,
    locals: Vec<Value<'a>>,
}

impl<'p> Scratch<'p, '_> {
    pub(crate) fn new(regexes: &'p Regexes, limit: u64) -> Self {
        Self {
            cost: 0,
            limit,
            regexes,
            locals: Vec::new(),
        }
    }

    /// What was used.
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// What may still be used.
    pub fn left(&self) -> u64 {
        self.limit.saturating_sub(self.cost)
    }

    /// Uses some of the budget.
    pub fn charge(&mut self, cost: u64) -> Result<(), EvalError> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > self.limit {
            return Err(EvalError::budget());
        }
        Ok(())
    }
}

type Evaluated<T> = Result<T, EvalError>;

/// Cost of making a list, a map, an object.
const LIST: u64 = 10;
const MAP: u64 = 30;
const STRUCT: u64 = 40;

pub(crate) fn run<'a>(
    node: &'a Node,
    variables: &[Option<Value<'a>>],
    scratch: &mut Scratch<'_, 'a>,
) -> Evaluated<Value<'a>> {
    Evaluation { variables, scratch }.value(node)
}

struct Evaluation<'e, 'p, 'a> {
    variables: &'e [Option<Value<'a>>],
    scratch: &'e mut Scratch<'p, 'a>,
}

impl<'a> Evaluation<'_, '_, 'a> {
    fn value(&mut self, node: &'a Node) -> Evaluated<Value<'a>> {
        match &node.op {
            Op::Literal(literal) => Ok(constant(literal)),
            Op::TypeName(ty) => {
                self.scratch.charge(1)?;
                Ok(Value::Type(ty.clone()))
            }
            Op::Variable(position, name) => {
                self.scratch.charge(1)?;
                match self.variables.get(*position) {
                    Some(Some(value)) => Ok(value.clone()),
                    _ => Err(EvalError::new(format!("no such attribute(s): {name}"))),
                }
            }
            Op::Local(slot) => {
                self.scratch.charge(1)?;
                Ok(self.scratch.locals[*slot].clone())
            }
            Op::Select {
                operand,
                field,
                test,
                optional,
            } => self.select(operand, field, *test, *optional),
            Op::Index {
                operand,
                index: at,
                optional,
            } => {
                let operand = self.value(operand)?;
                let at = self.value(at)?;
                self.scratch.charge(1)?;
                index(&operand, &at, *optional, self.scratch)
            }
            Op::And(left, right) => self.logic(left, right, false),
            Op::Or(left, right) => self.logic(left, right, true),
            Op::Conditional(parts) => match self.value(&parts[0])? {
                Value::Bool(true) => self.value(&parts[1]),
                Value::Bool(false) => self.value(&parts[2]),
                _ => Err(no_such_overload()),
            },
            Op::NotStrictlyFalse(inner) => {
                let value = self.value(inner);
                self.scratch.charge(1)?;
                match value {
                    Err(error) if error.over_budget => Err(error),
                    value => Ok(Value::Bool(!matches!(value, Ok(Value::Bool(false))))),
                }
            }
            Op::Call { candidates, args } => self.call(candidates, args),
            Op::Append(slot, items) => {
                let items = self.value(items)?;
                self.scratch.charge(2)?;
                let accumulator = std::mem::replace(&mut self.scratch.locals[*slot], Value::Null);
                append(accumulator, &items)
            }
            Op::MapInsert(slot, args) => {
                let mut entry = args
                    .iter()
                    .map(|arg| self.value(arg))
                    .collect::<Evaluated<Vec<_>>>()?;
                self.scratch.charge(2)?;
                entry.insert(0, std::mem::replace(&mut self.scratch.locals[*slot], Value::Null));
                map_insert(entry)
            }
            Op::List(items) => self.list(items),
            Op::Map(entries) => self.map(entries),
            Op::Struct { name, fields } => self.object(name, fields),
            Op::Fold(fold) => self.fold(fold),
        }
    }

    fn select(&mut self, operand: &'a Node, field: &str, test: bool, optional: bool) -> Evaluated<Value<'a>> {
        let operand = self.value(operand)?;
        if !test {
            self.scratch.charge(1)?;
        }
        let (operand, wrapped) = match operand {
            Value::Optional(None) => {
                return Ok(if test {
                    Value::Bool(false)
                } else {
                    Value::Optional(None)
                });
            }
            Value::Optional(Some(inner)) => ((*inner).clone(), true),
            other => (other, false),
        };
        if test {
            return operand.has_field(field).map(Value::Bool).ok_or_else(|| {
                EvalError::new(format!("invalid type for field selection: {}", operand.ty()))
            });
        }
        let found = operand.field(field, self.scratch)?;
        match (found, optional || wrapped) {
            (Some(value), false) => Ok(value),
            (Some(value), true) => Ok(Value::some(value)),
            (None, true) => Ok(Value::Optional(None)),
            (None, false) => Err(EvalError::new(format!("no such key: {field}"))),
        }
    }

    /// `&&` and `||`: an operand that decides the result makes up for an error in the other.
    fn logic(&mut self, left: &'a Node, right: &'a Node, decisive: bool) -> Evaluated<Value<'a>> {
        let left = self.value(left);
        match &left {
            Ok(Value::Bool(truth)) if *truth == decisive => return left,
            Err(error) if error.over_budget => return left,
            _ => {}
        }
        let right = self.value(right)?;
        match (&left, &right) {
            (_, Value::Bool(truth)) if *truth == decisive => Ok(right),
            (Ok(Value::Bool(_)), Value::Bool(_)) => Ok(right),
            (Err(_), _) => left,
            _ => Err(no_such_overload()),
        }
    }

    fn call(&mut self, candidates: &'a [Candidate], args: &'a [Node]) -> Evaluated<Value<'a>> {
        // Most calls have one or two arguments, which need no allocation.
        match args {
            [] => self.invoke(candidates, &[]),
            [one] => {
                let one = self.value(one)?;
                self.invoke(candidates, &[one])
            }
            [one, two] => {
                let one = self.value(one)?;
                if let ([(overload, CostRule::Otherwise), ..], Value::Optional(given)) = (candidates, &one) {
                    return match given {
                        None => self.value(two),
                        Some(_) if overload.id == OR => Ok(one),
                        Some(value) => Ok((**value).clone()),
                    };
                }
                let two = self.value(two)?;
                self.invoke(candidates, &[one, two])
            }
            _ => {
                let args: Vec<_> = args.iter().map(|arg| self.value(arg)).collect::<Evaluated<_>>()?;
                self.invoke(candidates, &args)
            }
        }
    }

    fn invoke(&mut self, candidates: &[Candidate], args: &[Value<'a>]) -> Evaluated<Value<'a>> {
        let fits = |(overload, _): &&Candidate| {
            overload
                .params
                .iter()
                .zip(args)
                .all(|(param, arg)| param.accepts(arg))
        };
        let Some((overload, rule)) = candidates.iter().find(fits) else {
            return Err(no_such_overload());
        };
        let result = (overload.run)(self.scratch, args);
        self.scratch.charge(rule.actual(args, result.as_ref().ok()))?;
        result
    }

    fn list(&mut self, items: &'a [(Node, bool)]) -> Evaluated<Value<'a>> {
        let mut out = Vec::with_capacity(items.len());
        for (item, optional) in items {
            match (self.value(item)?, optional) {
                (Value::Optional(None), true) => {}
                (Value::Optional(Some(value)), true) => out.push((*value).clone()),
                (_, true) => return Err(no_such_overload()),
                (value, false) => out.push(value),
            }
        }
        self.scratch.charge(LIST)?;
        Ok(Value::list(out))
    }

    fn map(&mut self, entries: &'a [(Node, Node, bool)]) -> Evaluated<Value<'a>> {
        let mut map = MapValue::default();
        for (key, value, optional) in entries {
            let key = self.value(key)?;
            let Some(key) = key.key() else {
                return Err(EvalError::new(format!("unsupported key type: {}", key.ty())));
            };
            let value = match (self.value(value)?, optional) {
                (Value::Optional(None), true) => continue,
                (Value::Optional(Some(value)), true) => (*value).clone(),
                (value, _) => value,
            };
            if map.entries.insert(key, value).is_some() {
                return Err(EvalError::new("Failed with repeated key"));
            }
        }
        self.scratch.charge(MAP)?;
        Ok(Value::Map(Arc::new(map)))
    }

    fn object(&mut self, name: &str, fields: &'a [(String, Node, bool)]) -> Evaluated<Value<'a>> {
        let mut map = MapValue {
            type_name: Some(name.into()),
            ..MapValue::default()
        };
        for (field, value, optional) in fields {
            let value = match (self.value(value)?, optional) {
                (Value::Optional(None), true) => continue,
                (Value::Optional(Some(value)), true) => (*value).clone(),
                (value, _) => value,
            };
            map.entries
                .insert(crate::value::Key::String(field.clone()), value);
        }
        self.scratch.charge(STRUCT)?;
        Ok(Value::Map(Arc::new(map)))
    }

    fn fold(&mut self, fold: &'a Fold) -> Evaluated<Value<'a>> {
        let range = self.value(&fold.range)?;
        let initial = self.value(&fold.initial)?;
        let depth = self.scratch.locals.len();
        debug_assert_eq!(depth, fold.slot);
        self.scratch.locals.push(initial);
        let looped = self.iterate(fold, &range);
        self.scratch.locals.truncate(fold.slot + 1);
        let result = looped.and_then(|()| self.value(&fold.result));
        self.scratch.locals.truncate(fold.slot);
        result
    }

    fn iterate(&mut self, fold: &'a Fold, range: &Value<'a>) -> Evaluated<()> {
        // A step that fails may be made up for by a later one, as with `exists`.
        let mut failed = None;
        if let Some(list) = range.as_list() {
            for (position, item) in list.iter().enumerate() {
                let (first, second) = if fold.double {
                    (Value::Int(position as i64), Some(item))
                } else {
                    (item, None)
                };
                if !self.step(fold, first, second, &mut failed)? {
                    break;
                }
            }
        } else if range.is_map() {
            for key in range.keys() {
                let second = if fold.double {
                    Some(index(range, &key, false, self.scratch)?)
                } else {
                    None
                };
                if !self.step(fold, key, second, &mut failed)? {
                    break;
                }
            }
        } else {
            return Err(EvalError::new(format!(
                "got '{}', expected iterable type",
                range.ty()
            )));
        }
        failed.map_or(Ok(()), Err)
    }

    /// One round; whether to go on.
    fn step(
        &mut self,
        fold: &'a Fold,
        first: Value<'a>,
        second: Option<Value<'a>>,
        failed: &mut Option<EvalError>,
    ) -> Evaluated<bool> {
        self.scratch.locals.truncate(fold.slot + 1);
        self.scratch.locals.push(first);
        self.scratch.locals.extend(second);
        if failed.is_none() && !matches!(self.value(&fold.condition)?, Value::Bool(true)) {
            return Ok(false);
        }
        match (self.value(&fold.step), &fold.step.op) {
            (Ok(value), step) => {
                let decided = match (step, &value) {
                    (Op::And(..), Value::Bool(false)) | (Op::Or(..), Value::Bool(true)) => true,
                    (Op::And(..) | Op::Or(..), _) => failed.is_none(),
                    _ => true,
                };
                if decided {
                    *failed = None;
                    self.scratch.locals[fold.slot] = value;
                }
                Ok(true)
            }
            (Err(error), Op::And(..) | Op::Or(..)) if !error.over_budget => {
                failed.get_or_insert(error);
                Ok(true)
            }
            (Err(error), _) => Err(error),
        }
    }
}

fn constant(literal: &Literal) -> Value<'_> {
    match literal {
        Literal::Null => Value::Null,
        Literal::Bool(truth) => Value::Bool(*truth),
        Literal::Int(number) => Value::Int(*number),
        Literal::Uint(number) => Value::Uint(*number),
        Literal::Double(number) => Value::Double(*number),
        Literal::String(text) => Value::borrowed(text),
        Literal::Bytes(bytes) => Value::Bytes(bytes.as_slice().into()),
    }
}

impl PartialEq for Value<'_> {
    fn eq(&self, other: &Self) -> bool {
        equal(self, other)
    }
}
