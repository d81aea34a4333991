//! Characters to tokens.
use super::Issue;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Ident(String),
    /// A name in backquotes.
    Quoted(String),
    Int(i64),
    /// Digits too large for a positive number, which a minus before them may allow.
    IntMinMagnitude,
    Uint(u64),
    Double(f64),
    String(String),
    Bytes(Vec<u8>),
    Symbol(&'static str),
    End,
}

/// A token with the place and the text it was made of.
#[derive(Clone, Debug)]
pub(super) struct Spanned {
    pub token: Token,
    pub at: u32,
    pub text: String,
}

const SYMBOLS: &[&str] = &[
    "==", "!=", "<=", ">=", "&&", "||", "[", "]", "{", "}", "(", ")", ".", ",", "-", "!", "?", ":", "+", "*",
    "/", "%", "<", ">",
];

pub(super) fn tokens(text: &str) -> Result<Vec<Spanned>, Vec<Issue>> {
    let mut lexer = Lexer {
        chars: text.chars().collect(),
        at: 0,
        out: Vec::new(),
        issues: Vec::new(),
    };
    while lexer.at < lexer.chars.len() {
        lexer.next();
    }
    if !lexer.issues.is_empty() {
        return Err(lexer.issues);
    }
    let at = lexer.at as u32;
    lexer.out.push(Spanned {
        token: Token::End,
        at,
        text: "<EOF>".into(),
    });
    Ok(lexer.out)
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    out: Vec<Spanned>,
    issues: Vec<Issue>,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn starts_with(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(index, c)| self.peek(index) == c)
    }

    fn push(&mut self, from: usize, token: Token) {
        self.out.push(Spanned {
            token,
            at: from as u32,
            text: self.chars[from..self.at].iter().collect(),
        });
    }

    fn issue(&mut self, at: usize, message: String) {
        self.issues.push(Issue {
            at: Some(at as u32),
            message: format!("Syntax error: {message}"),
        });
    }

    fn next(&mut self) {
        let from = self.at;
        let c = self.peek(0);
        if matches!(c, ' ' | '\t' | '\r' | '\n' | '\u{c}') {
            self.at += 1;
            return;
        }
        if self.starts_with("//") {
            while self.at < self.chars.len() && self.peek(0) != '\n' {
                self.at += 1;
            }
            return;
        }
        if c.is_ascii_digit() || (c == '.' && self.peek(1).is_ascii_digit()) {
            return self.number();
        }
        if let Some(length) = self.string_prefix() {
            return self.string(length);
        }
        if c == '`' {
            return self.backquoted();
        }
        if c.is_ascii_alphabetic() || c == '_' {
            while self.peek(0).is_ascii_alphanumeric() || self.peek(0) == '_' {
                self.at += 1;
            }
            let name: String = self.chars[from..self.at].iter().collect();
            let token = if name == "in" {
                Token::Symbol("in")
            } else {
                Token::Ident(name)
            };
            return self.push(from, token);
        }
        if let Some(symbol) = SYMBOLS.iter().find(|symbol| self.starts_with(symbol)) {
            self.at += symbol.len();
            return self.push(from, Token::Symbol(symbol));
        }
        self.at += 1;
        self.issue(from, format!("token recognition error at: '{c}'"));
    }

    fn backquoted(&mut self) {
        let from = self.at;
        self.at += 1;
        while matches!(self.peek(0), '_' | '.' | '-' | '/' | ' ') || self.peek(0).is_ascii_alphanumeric() {
            self.at += 1;
        }
        let name: String = self.chars[from + 1..self.at].iter().collect();
        if self.peek(0) != '`' || name.is_empty() {
            return self.issue(from, format!("token recognition error at: '`{name}'"));
        }
        self.at += 1;
        self.push(from, Token::Quoted(name));
    }

    fn number(&mut self) {
        let from = self.at;
        if self.peek(0) == '0' && self.peek(1) == 'x' && self.peek(2).is_ascii_hexdigit() {
            self.at += 2;
            while self.peek(0).is_ascii_hexdigit() {
                self.at += 1;
            }
            let digits: String = self.chars[from + 2..self.at].iter().collect();
            return self.integer(from, &digits, 16);
        }
        let mut double = false;
        self.digits();
        if self.peek(0) == '.' && self.peek(1).is_ascii_digit() {
            double = true;
            self.at += 1;
            self.digits();
        }
        if matches!(self.peek(0), 'e' | 'E') {
            let sign = usize::from(matches!(self.peek(1), '+' | '-'));
            if self.peek(1 + sign).is_ascii_digit() {
                double = true;
                self.at += 1 + sign;
                self.digits();
            }
        }
        let text: String = self.chars[from..self.at].iter().collect();
        if !double {
            return self.integer(from, &text, 10);
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => self.push(from, Token::Double(number)),
            _ => self.issue(from, "invalid double literal".into()),
        }
    }

    fn digits(&mut self) {
        while self.peek(0).is_ascii_digit() {
            self.at += 1;
        }
    }

    fn integer(&mut self, from: usize, digits: &str, radix: u32) {
        if matches!(self.peek(0), 'u' | 'U') {
            self.at += 1;
            return match u64::from_str_radix(digits, radix) {
                Ok(number) => self.push(from, Token::Uint(number)),
                Err(_) => self.issue(from, "invalid uint literal".into()),
            };
        }
        match u64::from_str_radix(digits, radix) {
            Ok(number) if i64::try_from(number).is_ok() => self.push(from, Token::Int(number as i64)),
            Ok(number) if number == 1 << 63 => self.push(from, Token::IntMinMagnitude),
            _ => self.issue(from, "invalid int literal".into()),
        }
    }

    /// Length of `r`, `b` or both before a quote.
    fn string_prefix(&self) -> Option<usize> {
        (0..3)
            .find(|length| matches!(self.peek(*length), '"' | '\''))
            .filter(|length| (0..*length).all(|index| matches!(self.peek(index), 'r' | 'R' | 'b' | 'B')))
    }

    fn string(&mut self, prefix: usize) {
        let from = self.at;
        let has = |letter: char| (0..prefix).any(|index| self.peek(index).eq_ignore_ascii_case(&letter));
        let (raw, bytes) = (has('r'), has('b'));
        self.at += prefix;
        let quote = self.peek(0);
        let triple = self.peek(1) == quote && self.peek(2) == quote;
        let width = if triple { 3 } else { 1 };
        self.at += width;
        let mut out = Vec::new();
        loop {
            let c = self.peek(0);
            if self.at >= self.chars.len() || (!triple && matches!(c, '\n' | '\r')) {
                let text: String = self.chars[from..self.at].iter().collect();
                return self.issue(from, format!("token recognition error at: '{text}'"));
            }
            if c == quote && (!triple || (self.peek(1) == quote && self.peek(2) == quote)) {
                self.at += width;
                break;
            }
            self.at += 1;
            if c == '\\' && !raw {
                if let Err(message) = self.escape(bytes, &mut out) {
                    return self.issue(from, message);
                }
            } else {
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                if c == '\\' && self.at < self.chars.len() {
                    // In a raw text a backslash still keeps a quote from ending it.
                    let next = self.peek(0);
                    self.at += 1;
                    out.extend_from_slice(next.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
        }
        if bytes {
            return self.push(from, Token::Bytes(out));
        }
        match String::from_utf8(out) {
            Ok(text) => self.push(from, Token::String(text)),
            Err(_) => self.issue(from, "invalid UTF-8 in text".into()),
        }
    }

    fn escape(&mut self, bytes: bool, out: &mut Vec<u8>) -> Result<(), String> {
        let c = self.peek(0);
        self.at += 1;
        let plain = match c {
            'a' => 7,
            'b' => 8,
            'f' => 12,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 11,
            '\\' | '\'' | '"' | '`' | '?' => c as u8,
            'x' | 'X' => return self.code(2, 16, bytes, out),
            'u' if !bytes => return self.code(4, 16, false, out),
            'U' if !bytes => return self.code(8, 16, false, out),
            '0'..='3' => {
                self.at -= 1;
                return self.code(3, 8, bytes, out);
            }
            _ => return Err("unable to unescape string".into()),
        };
        out.push(plain);
        Ok(())
    }

    fn code(&mut self, length: usize, radix: u32, byte: bool, out: &mut Vec<u8>) -> Result<(), String> {
        let mut code = 0u32;
        for _ in 0..length {
            let digit = self.peek(0).to_digit(radix).ok_or("unable to unescape string")?;
            code = code.wrapping_mul(radix) + digit;
            self.at += 1;
        }
        if byte {
            out.push(u8::try_from(code).map_err(|_| "unable to unescape string")?);
            return Ok(());
        }
        let c = char::from_u32(code).ok_or("unable to unescape string")?;
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }
}
