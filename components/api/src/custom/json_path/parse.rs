//! Text to steps.
use super::{End, Filter, Slice, Step};
use serde_json::{Value, json};

const COMPARING: [char; 4] = ['!', '<', '>', '='];

/// The steps of a path, which upstream reads between braces. What follows a brace of the path's own must be readable,
/// but a column is what comes first.
pub fn template(path: &str) -> Option<Vec<Step>> {
    let mut rest = Cursor::new(path);
    let first = rest.steps(true)?;
    while let Some(at) = rest.text().find('{') {
        rest.at += at + 1;
        rest.steps(true)?;
    }
    Some(first)
}

/// Steps that are part of a step.
fn part(text: &str) -> Option<Vec<Step>> {
    Cursor::new(text).steps(false)
}

struct Cursor<'t> {
    all: &'t str,
    at: usize,
}

impl<'t> Cursor<'t> {
    fn new(all: &'t str) -> Self {
        Self { all, at: 0 }
    }

    fn text(&self) -> &'t str {
        &self.all[self.at..]
    }

    fn next(&mut self) -> Option<char> {
        let next = self.text().chars().next()?;
        self.at += next.len_utf8();
        Some(next)
    }

    /// The text up to where `ends` first holds.
    fn until(&mut self, ends: impl Fn(char) -> bool) -> &'t str {
        let text = self.text();
        let end = text.find(ends).unwrap_or(text.len());
        self.at += end;
        &text[..end]
    }

    /// Steps to the closing brace, or the end, which is as good as one.
    fn steps(&mut self, braces: bool) -> Option<Vec<Step>> {
        let mut out = Vec::new();
        loop {
            let text = self.text();
            if text.starts_with("[?(") {
                out.push(self.filter()?);
                continue;
            }
            if text.starts_with("..") {
                if out.last() == Some(&Step::Recursive) {
                    return None;
                }
                self.at += 2;
                out.push(Step::Recursive);
                if self.text().starts_with(|c: char| c == '_' || c.is_alphanumeric()) {
                    out.push(self.field()?);
                }
                continue;
            }
            let Some(next) = self.next() else {
                return Some(out);
            };
            match next {
                '}' if braces => return Some(out),
                ' ' | '@' | '$' => {}
                '[' => self.array(&mut out)?,
                '"' | '\'' => out.push(self.quoted(next)?),
                '.' => out.push(self.field()?),
                '+' | '-' => out.push(self.number(1)?),
                digit if digit.is_numeric() => out.push(self.number(digit.len_utf8())?),
                letter if letter == '_' || letter.is_alphabetic() => {
                    self.at -= letter.len_utf8();
                    out.push(match self.until(terminates) {
                        "true" => Step::Literal(json!(true)),
                        "false" => Step::Literal(json!(false)),
                        _ => Step::Word,
                    });
                }
                _ => return None,
            }
        }
    }

    /// A name up to the next step; a backslash keeps the character after it.
    fn field(&mut self) -> Option<Step> {
        let mut name = String::new();
        while let Some(next) = self.next() {
            match next {
                '\\' => name.extend(self.next().filter(|next| *next != '\\')),
                next if terminates(next) => {
                    self.at -= next.len_utf8();
                    break;
                }
                next => name.push(next),
            }
        }
        Some(match name.as_str() {
            "*" => Step::Wildcard,
            _ => Step::Field(name),
        })
    }

    /// A number whose first character of so many bytes was taken.
    fn number(&mut self, first: usize) -> Option<Step> {
        let start = self.at - first;
        self.until(|c| c != '.' && !c.is_numeric());
        let text = &self.all[start..self.at];
        let number = match text.parse::<i64>() {
            Ok(whole) => json!(whole),
            Err(_) => json!(text.parse::<f64>().ok()?),
        };
        Some(Step::Literal(number))
    }

    /// A text in quotes, the first of which was taken.
    fn quoted(&mut self, quote: char) -> Option<Step> {
        let start = self.at;
        loop {
            match self.next()? {
                '\n' => return None,
                '\\' => {
                    self.next()?;
                }
                next if next == quote => break,
                _ => {}
            }
        }
        unquote(&self.all[start..self.at - 1]).map(|text| Step::Literal(Value::String(text)))
    }

    /// What follows a bracket: an index, a range, a key in quotes, or several of them.
    fn array(&mut self, out: &mut Vec<Step>) -> Option<()> {
        let inside = self.until(|c| matches!(c, ']' | '\n'));
        if self.next()? != ']' {
            return None;
        }
        if inside.contains(',') {
            let union = inside
                .split(',')
                .map(|one| part(&format!("[{}]", one.trim_matches(' '))));
            out.push(Step::Union(union.collect::<Option<_>>()?));
            return Some(());
        }
        let key = inside
            .strip_prefix('\'')
            .and_then(|rest| rest.strip_suffix('\''))
            .filter(|key| !key.contains('\''));
        match key {
            // As upstream, which reads it as if it came after a dot: dots within want a backslash.
            Some(key) => out.extend(part(&format!(".{key}"))?),
            None => out.push(Step::Slice(slice(if inside == "*" { ":" } else { inside })?)),
        }
        Some(())
    }

    fn filter(&mut self) -> Option<Step> {
        self.at += "[?(".len();
        let start = self.at;
        let mut quote = None;
        let mut closed = false;
        let mut before = '(';
        loop {
            let next = self.next()?;
            match next {
                '\n' => return None,
                '"' | '\'' if quote.is_none() => quote = Some(next),
                _ if quote == Some(next) && before != '\\' => closed = true,
                ')' if quote.is_none() || closed => break,
                _ => {}
            }
            before = next;
        }
        let inside = &self.all[start..self.at - 1];
        if self.next()? != ']' {
            return None;
        }
        // What compares: after something, and before something.
        let compared = inside.find(COMPARING).filter(|at| *at > 0).and_then(|at| {
            let (left, rest) = inside.split_at(at);
            let right = rest.trim_start_matches(COMPARING);
            // Where nothing follows, the last comparing character is what is compared with, and can't be read.
            let operator = (rest.len() - right.len()).min(rest.len() - 1);
            (operator > 0).then(|| (left, &rest[..operator], &rest[operator..]))
        });
        Some(Step::Filter(match compared {
            None => Filter {
                left: part(inside)?,
                comparison: None,
            },
            Some((left, operator, right)) => Filter {
                left: part(left)?,
                comparison: Some((operator.to_owned(), part(right)?)),
            },
        }))
    }
}

/// What can't be in a name.
fn terminates(c: char) -> bool {
    matches!(
        c,
        ' ' | '\t' | '\r' | '\n' | '.' | ',' | '[' | ']' | '$' | '@' | '{' | '}'
    )
}

fn slice(text: &str) -> Option<Slice> {
    let mut bounds = text.split(':').map(bound);
    let from = bounds.next()??;
    let to = match bounds.next() {
        None => End::OneOn,
        Some(to) => to?.map_or(End::Last, End::At),
    };
    let step = bounds.next().unwrap_or(Some(None))?;
    bounds.next().is_none().then_some(Slice { from, to, step })
}

/// What stands between colons: nothing or a number; `None` if it is something else.
fn bound(text: &str) -> Option<Option<i64>> {
    if text.is_empty() {
        return Some(None);
    }
    // Which Rust would take, and Go's pattern doesn't.
    if text.starts_with('+') {
        return None;
    }
    text.parse().ok().map(Some)
}

/// The text that Go writes so between quotes.
fn unquote(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        if next != '\\' {
            out.push(next);
            continue;
        }
        out.push(match rest.next()? {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            'x' => code(&mut rest, 2)?,
            'u' => code(&mut rest, 4)?,
            'U' => code(&mut rest, 8)?,
            same @ ('\\' | '\'' | '"') => same,
            _ => return None,
        });
    }
    Some(out)
}

/// The character of so many hexadecimal digits.
fn code(rest: &mut std::str::Chars<'_>, digits: usize) -> Option<char> {
    let digits: String = rest.take(digits).collect();
    u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32)
}
