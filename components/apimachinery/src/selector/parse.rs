//! The grammar of label selectors, with upstream's error texts.
use super::{LabelSelector, Operator, ParseSelectorError, Requirement};
use crate::field::{Error, Path, aggregate, quote};
use crate::names;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    /// `in` or `notin`.
    Set(bool),
    Symbol(&'static str),
    End,
}

impl Token {
    fn literal(&self) -> &str {
        match self {
            Self::Word(word) => word,
            Self::Set(true) => "in",
            Self::Set(false) => "notin",
            Self::Symbol(symbol) => symbol,
            Self::End => "",
        }
    }
}

const SYMBOLS: [&str; 10] = ["==", "!=", "=", "!", "(", ")", ",", ">", "<", "\0"];

fn tokens(text: &str) -> Result<Vec<Token>, ParseSelectorError> {
    let mut out = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        if rest.is_empty() {
            break;
        }
        if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            out.push(Token::Symbol(symbol));
            rest = &rest[symbol.len()..];
            continue;
        }
        let end = rest
            .find(|c: char| " \t\r\n=!(),><".contains(c))
            .unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        out.push(match word {
            "in" => Token::Set(true),
            "notin" => Token::Set(false),
            word => Token::Word(word.to_owned()),
        });
        rest = after;
    }
    out.push(Token::End);
    Ok(out)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).unwrap_or(&Token::End)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn found(token: &Token, expected: &str) -> ParseSelectorError {
        ParseSelectorError(format!("found '{}', expected: {expected}", token.literal()))
    }

    fn requirement(&mut self) -> Result<Requirement, ParseSelectorError> {
        let absent = *self.peek() == Token::Symbol("!");
        if absent {
            self.next();
        }
        let key = match self.next() {
            Token::Word(word) => word,
            Token::Set(within) => {
                if within {
                    "in".into()
                } else {
                    "notin".into()
                }
            }
            other => return Err(Self::found(&other, "identifier")),
        };
        check_key(&key)?;
        if absent || matches!(self.peek(), Token::End | Token::Symbol(",")) {
            let operator = if absent {
                Operator::DoesNotExist
            } else {
                Operator::Exists
            };
            return Ok(Requirement {
                key,
                operator,
                values: Vec::new(),
            });
        }
        let operator = match self.next() {
            Token::Set(true) => Operator::In,
            Token::Set(false) => Operator::NotIn,
            Token::Symbol("=" | "==") => Operator::Equals,
            Token::Symbol("!=") => Operator::NotEquals,
            Token::Symbol(">") => Operator::GreaterThan,
            Token::Symbol("<") => Operator::LessThan,
            other => return Err(Self::found(&other, "in, notin, =, ==, !=, gt, lt")),
        };
        let values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => vec![self.exact_value()?],
        };
        check_values(&key, operator, &values)?;
        Ok(Requirement {
            key,
            operator,
            values,
        })
    }

    fn exact_value(&mut self) -> Result<String, ParseSelectorError> {
        match self.peek() {
            Token::End | Token::Symbol(",") => Ok(String::new()),
            Token::Word(_) | Token::Set(_) => Ok(self.next().literal().to_owned()),
            other => Err(Self::found(other, "identifier")),
        }
    }

    fn values(&mut self) -> Result<Vec<String>, ParseSelectorError> {
        let open = self.next();
        if open != Token::Symbol("(") {
            return Err(ParseSelectorError(format!(
                "found '{}' expected: '('",
                open.literal()
            )));
        }
        let mut values = Vec::new();
        let mut expect_value = true;
        loop {
            match self.next() {
                Token::Symbol(")") => {
                    if expect_value {
                        values.push(String::new());
                    }
                    break;
                }
                Token::Symbol(",") => {
                    if expect_value {
                        values.push(String::new());
                    }
                    expect_value = true;
                }
                token @ (Token::Word(_) | Token::Set(_)) if expect_value => {
                    values.push(token.literal().to_owned());
                    expect_value = false;
                }
                other if expect_value => return Err(Self::found(&other, "',', ')' or identifier")),
                other => return Err(Self::found(&other, "',' or ')'")),
            }
        }
        values.sort();
        values.dedup();
        Ok(values)
    }
}

fn check_key(key: &str) -> Result<(), ParseSelectorError> {
    let errors = names::qualified_name(key);
    if errors.is_empty() {
        return Ok(());
    }
    // Upstream has no path of it here.
    Err(ParseSelectorError(format!(
        "<nil>: Invalid value: {}: {}",
        quote(key),
        errors.join("; ")
    )))
}

fn check_values(key: &str, operator: Operator, values: &[String]) -> Result<(), ParseSelectorError> {
    let at = |index: usize| Path::new("values").index(index);
    let mut errors = Vec::new();
    if matches!(operator, Operator::GreaterThan | Operator::LessThan) {
        let numbers = values.iter().enumerate();
        errors.extend(
            numbers
                .filter(|(_, value)| value.parse::<i64>().is_err())
                .map(|(index, value)| {
                    let why = "for 'Gt', 'Lt' operators, the value must be an integer";
                    Error::invalid(&at(index), value.as_str(), why)
                }),
        );
    }
    for (index, value) in values.iter().enumerate() {
        let wrong = names::label_value(value);
        if !wrong.is_empty() {
            errors.push(Error::invalid(
                &at(index).key(key),
                value.as_str(),
                wrong.join("; "),
            ));
        }
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(ParseSelectorError(aggregate(&errors)))
}

/// Parses a whole selector.
pub(super) fn label_selector(text: &str) -> Result<LabelSelector, ParseSelectorError> {
    let mut parser = Parser {
        tokens: tokens(text)?,
        at: 0,
    };
    let mut requirements = Vec::new();
    let failed =
        |error: ParseSelectorError| ParseSelectorError(format!("unable to parse requirement: {}", error.0));
    loop {
        match parser.peek() {
            Token::Word(_) | Token::Set(_) | Token::Symbol("!") => {
                requirements.push(parser.requirement().map_err(failed)?)
            }
            Token::End if requirements.is_empty() => break,
            other => {
                return Err(ParseSelectorError(format!(
                    "found '{}', expected: !, identifier, or 'end of string'",
                    other.literal()
                )));
            }
        }
        match parser.next() {
            Token::End => break,
            Token::Symbol(",") => match parser.peek() {
                Token::Word(_) | Token::Set(_) | Token::Symbol("!") => {}
                other => {
                    return Err(ParseSelectorError(format!(
                        "found '{}', expected: identifier after ','",
                        other.literal()
                    )));
                }
            },
            other => {
                return Err(ParseSelectorError(format!(
                    "found '{}', expected: ',' or 'end of string'",
                    other.literal()
                )));
            }
        }
    }
    Ok(LabelSelector {
        requirements,
        nothing: false,
    })
}
