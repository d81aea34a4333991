//! Tokens to a syntax tree, with macros expanded.
use super::lexer::{Spanned, Token, tokens};
use super::{Expr, ExprKind, Initializer, Issue, Literal, macros};

/// Most levels of a tree. Upstream's limit.
const MAX_DEPTH: usize = 250;
/// Deepest nesting in brackets, which the parser recurses into with its whole ladder of functions: what fits the
/// stack of a worker thread.
const MAX_NESTING: usize = 100;
/// Longest expression, in characters.
const MAX_LENGTH: usize = 100_000;
const STARTS: &str = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";
const AND: u8 = 1;
const OPERATORS: &[(&str, &str, u8)] = &[
    ("||", "_||_", 0),
    ("&&", "_&&_", AND),
    ("<", "_<_", 2),
    ("<=", "_<=_", 2),
    (">", "_>_", 2),
    (">=", "_>=_", 2),
    ("==", "_==_", 2),
    ("!=", "_!=_", 2),
    ("in", "@in", 2),
    ("+", "_+_", 3),
    ("-", "_-_", 3),
    ("*", "_*_", 4),
    ("/", "_/_", 4),
    ("%", "_%_", 4),
];
/// Words that are no names of variables.
pub(crate) const RESERVED: &[&str] = &[
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

type Parsed<T> = Result<T, Issue>;

/// Reads an expression; macros are expanded.
pub fn parse(text: &str) -> Result<Expr, Vec<Issue>> {
    let length = text.chars().count();
    if length > MAX_LENGTH {
        return Err(vec![Issue {
            at: None,
            message: format!("expression code point size exceeds limit: size: {length}, limit {MAX_LENGTH}"),
        }]);
    }
    let tokens = tokens(text)?;
    let mut parser = Parser {
        tokens,
        at: 0,
        depth: 0,
    };
    let parsed = parser.expression().and_then(|expr| {
        let next = parser.peek();
        if next.token == Token::End {
            return Ok(expr);
        }
        Err(parser.error(format!("extraneous input '{}' expecting <EOF>", next.text)))
    });
    parsed.map_err(|issue| vec![issue])
}

fn too_deep(at: u32) -> Issue {
    Issue {
        at: Some(at),
        message: format!("expression recursion limit exceeded: {MAX_DEPTH}"),
    }
}

struct Parser {
    tokens: Vec<Spanned>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> &Spanned {
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn place(&self) -> u32 {
        self.peek().at
    }

    fn is(&self, symbol: &str) -> bool {
        matches!(self.peek().token, Token::Symbol(other) if other == symbol)
    }

    fn take(&mut self, symbol: &str) -> bool {
        let found = self.is(symbol);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, symbol: &str) -> Parsed<()> {
        if self.take(symbol) {
            return Ok(());
        }
        Err(self.error(format!(
            "mismatched input '{}' expecting '{symbol}'",
            self.peek().text
        )))
    }

    /// Upstream gives no place for an error at the end of an empty text.
    fn error(&self, message: String) -> Issue {
        let alone = self.tokens.len() == 1;
        Issue {
            at: (!alone).then(|| self.place()),
            message: format!("Syntax error: {message}"),
        }
    }

    fn expression(&mut self) -> Parsed<Expr> {
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return Err(too_deep(self.place()));
        }
        let condition = self.binary(0)?;
        let at = self.place();
        let whole = if self.take("?") {
            let yes = self.binary(0)?;
            self.expect(":")?;
            let no = self.expression()?;
            Expr::call(at, "_?_:_", vec![condition, yes, no])
        } else {
            condition
        };
        self.depth -= 1;
        Ok(whole)
    }

    /// Operators that bind at least as strongly as `least`. Long chains of `&&` and `||` become balanced trees.
    fn binary(&mut self, least: u8) -> Parsed<Expr> {
        let mut left = self.unary()?;
        while let Some((function, strength)) = self.operator().filter(|(_, strength)| *strength >= least) {
            let at = self.place();
            self.at += 1;
            let right = self.binary(strength + 1)?;
            if strength > AND {
                left = self.checked(Expr::call(at, function, vec![left, right]))?;
                continue;
            }
            let mut terms = vec![Some(left), Some(right)];
            let mut places = vec![at];
            while self.operator().is_some_and(|(next, _)| next == function) {
                places.push(self.place());
                self.at += 1;
                terms.push(Some(self.binary(strength + 1)?));
            }
            left = self.checked(balance(function, &mut terms, &places))?;
        }
        Ok(left)
    }

    /// The operator that comes next: its function, and how strongly it binds.
    fn operator(&self) -> Option<(&'static str, u8)> {
        let Token::Symbol(symbol) = self.peek().token else {
            return None;
        };
        OPERATORS
            .iter()
            .find(|(known, ..)| *known == symbol)
            .map(|(_, function, strength)| (*function, *strength))
    }

    /// Chains nest to the left without recursion in the parser.
    fn checked(&self, expr: Expr) -> Parsed<Expr> {
        if expr.depth as usize > MAX_DEPTH {
            return Err(too_deep(expr.at));
        }
        Ok(expr)
    }

    fn unary(&mut self) -> Parsed<Expr> {
        let at = self.place();
        for (symbol, function) in [("!", "!_"), ("-", "-_")] {
            let mut count = 0;
            while self.is(symbol) {
                if symbol == "-" && self.negative_number() {
                    break;
                }
                self.at += 1;
                count += 1;
            }
            if count > 0 {
                let operand = self.member()?;
                // Two of a kind cancel out.
                return Ok(if count % 2 == 0 {
                    operand
                } else {
                    Expr::call(at, function, vec![operand])
                });
            }
        }
        self.member()
    }

    /// Whether a minus belongs to the number after it.
    fn negative_number(&self) -> bool {
        matches!(
            self.tokens.get(self.at + 1).map(|next| &next.token),
            Some(Token::Int(_) | Token::IntMinMagnitude | Token::Double(_))
        )
    }

    fn member(&mut self) -> Parsed<Expr> {
        let mut operand = self.primary()?;
        loop {
            operand = self.checked(operand)?;
            let at = self.place();
            if self.take(".") {
                let optional = self.take("?");
                let field = self.field_name()?;
                let open = self.place();
                if !optional && self.take("(") {
                    let args = self.arguments(")")?;
                    operand = macros::expand(open, Some(operand), field, args)?;
                } else {
                    operand = Expr::new(
                        at,
                        ExprKind::Select {
                            operand: Box::new(operand),
                            field,
                            test: false,
                            optional,
                        },
                    );
                }
            } else if self.take("[") {
                let function = if self.take("?") { "_[?_]" } else { "_[_]" };
                let index = self.expression()?;
                self.expect("]")?;
                operand = Expr::call(at, function, vec![operand, index]);
            } else {
                return Ok(operand);
            }
        }
    }

    fn field_name(&mut self) -> Parsed<String> {
        match &self.peek().token {
            Token::Ident(name) | Token::Quoted(name) => {
                let name = name.clone();
                self.at += 1;
                Ok(name)
            }
            Token::Symbol("in") => Err(self.error("no viable alternative at input '.in'".into())),
            _ => Err(self.error(format!(
                "no viable alternative at input '.{}'",
                self.peek().text.replace("<EOF>", "")
            ))),
        }
    }

    fn arguments(&mut self, close: &str) -> Parsed<Vec<Expr>> {
        let mut args = Vec::new();
        if self.take(close) {
            return Ok(args);
        }
        loop {
            args.push(self.expression()?);
            if !self.take(",") {
                self.expect(close)?;
                return Ok(args);
            }
        }
    }

    fn primary(&mut self) -> Parsed<Expr> {
        let Spanned { token, at, text } = self.peek().clone();
        let literal = match token {
            Token::Int(number) => Literal::Int(number),
            Token::Uint(number) => Literal::Uint(number),
            Token::Double(number) => Literal::Double(number),
            Token::String(text) => Literal::String(text),
            Token::Bytes(bytes) => Literal::Bytes(bytes),
            Token::IntMinMagnitude => return Err(self.error("invalid int literal".into())),
            Token::Symbol("-") if self.negative_number() => {
                self.at += 1;
                match self.peek().token {
                    Token::Int(number) => Literal::Int(-number),
                    Token::Double(number) => Literal::Double(-number),
                    _ => Literal::Int(i64::MIN),
                }
            }
            Token::Ident(name) => match name.as_str() {
                "true" => Literal::Bool(true),
                "false" => Literal::Bool(false),
                "null" => Literal::Null,
                _ => return self.name(at, String::new()),
            },
            Token::Symbol(".") => {
                self.at += 1;
                return self.name(at, ".".into());
            }
            Token::Symbol("(") => {
                self.at += 1;
                let inner = self.expression()?;
                self.expect(")")?;
                return Ok(inner);
            }
            Token::Symbol("[") => {
                self.at += 1;
                return self.list(at);
            }
            Token::Symbol("{") => {
                self.at += 1;
                return self.map(at);
            }
            _ => {
                return Err(self.error(format!("mismatched input '{text}' expecting {STARTS}")));
            }
        };
        self.at += 1;
        Ok(Expr::new(at, ExprKind::Literal(literal)))
    }

    fn name(&mut self, at: u32, dot: String) -> Parsed<Expr> {
        let Token::Ident(name) = self.peek().token.clone() else {
            return Err(self.error(format!(
                "mismatched input '{}' expecting IDENTIFIER",
                self.peek().text
            )));
        };
        let open = self.tokens.get(self.at + 1).map_or(at, |next| next.at);
        self.at += 1;
        if self.take("(") {
            let args = self.arguments(")")?;
            return macros::expand(open, None, name, args);
        }
        if let Some(built) = self.message(at, &name)? {
            return Ok(built);
        }
        if RESERVED.contains(&name.as_str()) {
            self.at -= 1;
            return Err(self.error(format!("reserved identifier: {name}")));
        }
        Ok(Expr::ident(at, &format!("{dot}{name}")))
    }

    /// `Name.more{field: value}`, when names joined by dots are followed by a brace.
    fn message(&mut self, at: u32, first: &str) -> Parsed<Option<Expr>> {
        let mut name = first.to_owned();
        let mut ahead = self.at;
        let token = |index: usize| self.tokens.get(index).map(|spanned| &spanned.token);
        while let (Some(Token::Symbol(".")), Some(Token::Ident(next))) = (token(ahead), token(ahead + 1)) {
            name = format!("{name}.{next}");
            ahead += 2;
        }
        if token(ahead) != Some(&Token::Symbol("{")) {
            return Ok(None);
        }
        self.at = ahead + 1;
        let mut fields = Vec::new();
        while !self.take("}") {
            let optional = self.take("?");
            let field = self.field_name()?;
            let at = self.peek().at;
            self.expect(":")?;
            fields.push(Initializer {
                at,
                field,
                value: self.expression()?,
                optional,
            });
            if !self.take(",") {
                self.expect("}")?;
                break;
            }
        }
        Ok(Some(Expr::new(at, ExprKind::Struct { name, fields })))
    }

    fn list(&mut self, at: u32) -> Parsed<Expr> {
        let mut items = Vec::new();
        while !self.take("]") {
            let optional = self.take("?");
            items.push((self.expression()?, optional));
            if !self.take(",") {
                self.expect("]")?;
                break;
            }
        }
        Ok(Expr::new(at, ExprKind::List(items)))
    }

    fn map(&mut self, at: u32) -> Parsed<Expr> {
        let mut entries = Vec::new();
        while !self.take("}") {
            let optional = self.take("?");
            let key = self.expression()?;
            self.expect(":")?;
            entries.push((key, self.expression()?, optional));
            if !self.take(",") {
                self.expect("}")?;
                break;
            }
        }
        Ok(Expr::new(at, ExprKind::Map(entries)))
    }
}

fn balance(function: &str, terms: &mut [Option<Expr>], places: &[u32]) -> Expr {
    if let [term] = terms {
        return term
            .take()
            .unwrap_or_else(|| Expr::new(0, ExprKind::Literal(Literal::Null)));
    }
    let middle = terms.len().div_ceil(2);
    let at = places[middle - 1];
    let (left, right) = terms.split_at_mut(middle);
    let left = balance(function, left, &places[..middle - 1]);
    let right = balance(function, right, &places[middle..]);
    Expr::call(at, function, vec![left, right])
}
