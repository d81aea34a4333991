use crate::check;
use crate::compatibility;
use crate::environment::Environment;
use crate::estimate::{self, Cost};
use crate::evaluate::{self, EvalError, Scratch};
use crate::functions::{Authorize, AuthorizerState, Regexes};
use crate::node::{Node, Op};
use crate::syntax::{self, Source};
use crate::types::Type;
use crate::value::{Opaque, Value};
use std::sync::Arc;

/// Why there is no program of an expression, as upstream says it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// It isn't an expression, or doesn't fit the environment; the place is marked.
    #[error("{0}")]
    Compilation(String),
    /// A pattern that is written out in it isn't one.
    #[error("{0}")]
    Instantiation(String),
}

impl CompileError {
    /// What failed, then why.
    pub fn explained(&self) -> String {
        match self {
            Self::Compilation(why) => format!("compilation failed: {why}"),
            Self::Instantiation(why) => format!("program instantiation failed: {why}"),
        }
    }
}

/// A compiled expression.
#[derive(Debug)]
pub struct Program {
    node: Node,
    cost: Cost,
    regexes: Regexes,
    uses: Vec<usize>,
}

/// What an evaluation came to, and what it cost.
#[derive(Debug)]
pub struct Outcome<'a> {
    pub result: Result<Value<'a>, EvalError>,
    pub cost: u64,
}

impl Program {
    /// Parses and checks an expression. Within [`compatibility::storing`] it may be refused functions that are too new.
    pub fn compile(text: &str, environment: &Environment) -> Result<Self, CompileError> {
        let _timed = crate::timing::compilation();
        let source = Source::new(text);
        let expr =
            syntax::parse(text).map_err(|issues| CompileError::Compilation(source.explain(&issues)))?;
        let checked = check::check(&expr, environment, compatibility::minor(text))
            .map_err(|issues| CompileError::Compilation(source.explain(&issues)))?;
        let cost = estimate::estimate(&checked.node, environment);
        let regexes = Regexes::of(&checked.node).map_err(CompileError::Instantiation)?;
        Ok(Self {
            regexes,
            node: checked.node,
            cost,
            uses: checked.uses,
        })
    }

    /// The type of the result.
    pub fn ty(&self) -> &Type {
        &self.node.ty
    }

    /// What the expression may cost, from the bounds that are declared.
    pub fn cost(&self) -> Cost {
        self.cost
    }

    /// Whether the expression names the variable at this position of the environment.
    pub fn uses(&self, variable: usize) -> bool {
        self.uses.contains(&variable)
    }

    /// Whether the expression selects a field of the variable at this position: `a.b`, `a.?b` or `has(a.b)`.
    pub fn selects(&self, variable: usize, field: &str) -> bool {
        selects(&self.node, variable, field)
    }

    /// The value over `variables`, which stand in the environment's order; `None` has no value. Fails when it
    /// costs more than `limit`.
    pub fn evaluate<'a>(&'a self, variables: &[Option<Value<'a>>], limit: u64) -> Outcome<'a> {
        let mut scratch = Scratch::new(&self.regexes, limit);
        let result = evaluate::run(&self.node, variables, &mut scratch);
        Outcome {
            result,
            cost: scratch.cost(),
        }
    }

    /// The same within another evaluation, whose budget it draws on.
    pub fn evaluate_within<'a>(
        &'a self,
        variables: &[Option<Value<'a>>],
        outer: &mut Scratch<'_, 'a>,
    ) -> Result<Value<'a>, EvalError> {
        let mut scratch = Scratch::new(&self.regexes, outer.left());
        let result = evaluate::run(&self.node, variables, &mut scratch);
        outer.charge(scratch.cost())?;
        result
    }
}

fn selects(node: &Node, variable: usize, wanted: &str) -> bool {
    if let Op::Select { operand, field, .. } = &node.op
        && field == wanted
        && matches!(operand.op, Op::Variable(found, _) if found == variable)
    {
        return true;
    }
    let mut found = false;
    node.op
        .children(&mut |child| found = found || selects(child, variable, wanted));
    found
}

/// The value of a variable `authorizer`, which asks `authorize`. Its declaration is
/// `Shape::Opaque("kubernetes.authorization.Authorizer")`.
pub fn authorizer<'a>(authorize: &'a dyn Authorize) -> Value<'a> {
    Value::Opaque(Opaque::Authorizer(Arc::new(AuthorizerState::root(authorize))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Decl;

    #[test]
    fn patterns_that_are_written_out_are_read_with_the_expression() {
        let environment = Environment::new().with("object", Decl::dynamic());
        let refusal = "program instantiation failed: error parsing regexp: unexpected ): `)`";
        for (text, expected) in [
            ("'a'.find(')') == ''", Some(refusal)),
            ("'a'.findAll(')', 1) == []", Some(refusal)),
            ("matches('a', ')')", Some(refusal)),
            ("false && [1].exists(i, object.find(')') == '')", Some(refusal)),
            ("'a'.find(')' + 'b') == ''", None),
            ("'a'.find('b') == ')'", None),
        ] {
            let compiled = Program::compile(text, &environment).map(drop);
            let found = compiled.err().map(|error| error.explained());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
        let known = Program::compile("'a'.matches(')')", &environment).unwrap_err();
        assert!(
            known.explained().starts_with("compilation failed: ERROR"),
            "{known}"
        );
    }

    #[test]
    fn selections_of_a_variables_field() {
        let environment = Environment::new().with("claims", Decl::dynamic());
        for (text, expected) in [
            ("claims.email", true),
            ("claims.?email.orValue('none')", true),
            ("has(claims.email)", true),
            ("claims.email.lowerAscii()", true),
            ("['a'].map(a, {a: [claims.email]})", true),
            ("claims.email_verified ? 'a' : 'b'", false),
            ("claims.x.email", false),
            ("claims.x == 'claims.email'", false),
            ("[{'email': 'a'}].map(claims, claims.email)[0]", false),
        ] {
            let program = Program::compile(text, &environment).unwrap();
            assert_eq!(program.selects(0, "email"), expected, "{text}");
        }
    }
}
