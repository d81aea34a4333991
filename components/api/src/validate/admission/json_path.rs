//! Whether a text is a JSON path of client-go (k8s.io/client-go/util/jsonpath), with its parser's messages. What comes of a path is
//! of no interest here.

/// Filters within filters are no deeper than this, as quotes keep the inner ones from being read.
const MAX_DEPTH: usize = 8;

/// Checks `{path}`.
pub(super) fn check(path: &str) -> Result<(), String> {
    action(path, 0)
}

/// Something that stands in braces; what follows a closing brace is text up to the next opening one.
fn action(text: &str, depth: usize) -> Result<(), String> {
    let characters: Vec<char> = text.chars().chain(['}']).collect();
    if depth > MAX_DEPTH {
        return Ok(());
    }
    let mut reader = Reader {
        characters,
        position: 0,
    };
    loop {
        reader.inside(depth)?;
        // Text outside of braces may be anything.
        loop {
            match reader.next() {
                None => return Ok(()),
                Some('{') => break,
                Some(_) => {}
            }
        }
    }
}

struct Reader {
    characters: Vec<char>,
    position: usize,
}

impl Reader {
    fn next(&mut self) -> Option<char> {
        let next = self.peek();
        self.position += usize::from(next.is_some());
        next
    }

    fn peek(&self) -> Option<char> {
        self.characters.get(self.position).copied()
    }

    fn take(&mut self, prefix: &str) -> bool {
        let found = prefix
            .chars()
            .enumerate()
            .all(|(offset, c)| self.characters.get(self.position + offset) == Some(&c));
        if found {
            self.position += prefix.chars().count();
        }
        found
    }

    fn since(&self, start: usize) -> String {
        self.characters[start..self.position].iter().collect()
    }

    /// Up to the closing brace.
    fn inside(&mut self, depth: usize) -> Result<(), String> {
        // Whether the step before was `..`.
        let mut recursive = false;
        loop {
            if self.take("}") {
                return Ok(());
            }
            if self.take("[?(") {
                self.filter(depth)?;
                recursive = false;
                continue;
            }
            if self.take("..") {
                if recursive {
                    return Err("invalid multiple recursive descent".to_owned());
                }
                recursive = true;
                if self.peek().is_some_and(is_word) {
                    self.field();
                    recursive = false;
                }
                continue;
            }
            match self.next() {
                None | Some('\n' | '\r') => return Err("unclosed action".to_owned()),
                // These are no steps of their own.
                Some(' ' | '@' | '$') => continue,
                Some('[') => self.array(depth)?,
                Some(quote @ ('"' | '\'')) => self.quoted(quote)?,
                Some('.') => self.field(),
                Some(c) if matches!(c, '+' | '-') || c.is_numeric() => {
                    self.position -= 1;
                    self.number()?;
                }
                Some(c) if is_word(c) => {
                    while self.peek().is_some_and(|c| !is_end(c)) {
                        self.position += 1;
                    }
                }
                Some(c) => {
                    let shown = if c.is_control() {
                        String::new()
                    } else {
                        format!(" '{c}'")
                    };
                    return Err(format!(
                        "unrecognized character in action: U+{:04X}{shown}",
                        c as u32
                    ));
                }
            }
            recursive = false;
        }
    }

    fn field(&mut self) {
        while let Some(c) = self.peek().filter(|c| !is_end(*c)) {
            self.position += 1;
            if c == '\\' {
                self.next();
            }
        }
    }

    fn number(&mut self) -> Result<(), String> {
        let start = self.position;
        if matches!(self.peek(), Some('+' | '-')) {
            self.position += 1;
        }
        while self.peek().is_some_and(|c| c == '.' || c.is_numeric()) {
            self.position += 1;
        }
        let text = self.since(start);
        text.parse::<f64>()
            .map(drop)
            .map_err(|_| format!("cannot parse number {text}"))
    }

    fn quoted(&mut self, quote: char) -> Result<(), String> {
        loop {
            match self.next() {
                None | Some('\n') => return Err("unterminated quoted string".to_owned()),
                Some(c) if c == quote && self.characters[self.position - 2] != '\\' => return Ok(()),
                Some(_) => {}
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), String> {
        let start = self.position;
        loop {
            match self.next() {
                None | Some('\n') => return Err("unterminated array".to_owned()),
                Some(']') => break,
                Some(_) => {}
            }
        }
        let text: String = self.characters[start..self.position - 1].iter().collect();
        if text.contains(',') {
            return text
                .split(',')
                .try_for_each(|part| action(&format!("[{}]", part.trim_matches(' ')), depth + 1));
        }
        let key = text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
        if let Some(key) = key.filter(|key| !key.contains('\'')) {
            return action(&format!(".{key}"), depth + 1);
        }
        index(&text)
    }

    fn filter(&mut self, depth: usize) -> Result<(), String> {
        let start = self.position;
        let (mut opened, mut closed) = (None, false);
        loop {
            match self.next() {
                None | Some('\n') => return Err("unterminated filter".to_owned()),
                Some(c @ ('"' | '\'')) if opened.is_none() => opened = Some(c),
                Some(c @ ('"' | '\'')) => {
                    closed |= opened == Some(c) && self.characters[self.position - 2] != '\\';
                }
                Some(')') if opened.is_some() == closed => break,
                Some(_) => {}
            }
        }
        let text: String = self.characters[start..self.position - 1].iter().collect();
        if self.next() != Some(']') {
            return Err("unclosed array expect ]".to_owned());
        }
        match comparison(&text) {
            Some((left, right)) => {
                action(left, depth + 1)?;
                action(right, depth + 1)
            }
            None => action(&text, depth + 1),
        }
    }
}

/// Both sides of a comparison, neither of them empty.
fn comparison(text: &str) -> Option<(&str, &str)> {
    const OPERATORS: [char; 4] = ['!', '<', '>', '='];
    let start = text.find(OPERATORS).filter(|start| *start > 0)?;
    let (left, rest) = text.split_at(start);
    let right = rest.trim_start_matches(OPERATORS);
    if right.is_empty() {
        // The last of several operators is then taken for what is compared with.
        let last = rest.char_indices().nth_back(0).map(|(at, _)| at)?;
        return (last > 0).then(|| (left, &rest[last..]));
    }
    (!right.contains('\n')).then_some((left, right))
}

/// `*`, a number, or a slice `start:end:step` with any of them left out.
fn index(text: &str) -> Result<(), String> {
    let text = if text == "*" { ":" } else { text };
    let parts: Vec<&str> = text.split(':').collect();
    let is_number = |part: &&str| {
        let digits = part.strip_prefix('-').unwrap_or(part);
        digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    if parts.len() > 3 || !parts.iter().all(is_number) {
        return Err(format!("invalid array index {text}"));
    }
    match parts
        .iter()
        .find(|part| !part.is_empty() && part.parse::<i64>().is_err())
    {
        Some(part) => Err(format!("array index {part} is not a number")),
        None => Ok(()),
    }
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphabetic() || c.is_numeric()
}

/// Whether a name ends before this.
fn is_end(c: char) -> bool {
    matches!(
        c,
        '\n' | '\r' | ' ' | '.' | ',' | '[' | ']' | '$' | '@' | '{' | '}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_are_told_from_what_is_none() {
        for (path, wrong) in [
            ("spec.validations[0].expression", ""),
            (".a['b.c'][*][1:2:-1][0,'x']..d", ""),
            ("range .items[?(@.a == 'x)')]", ""),
            ("a.b\\.c 1.5 -1 \"q\" @ $", ""),
            ("a} text {b", ""),
            ("a} text {b[", "unterminated array"),
            ("a[x]", "invalid array index x"),
            ("a[1:2:3:4]", "invalid array index 1:2:3:4"),
            ("a[-]", "array index - is not a number"),
            ("a[0,x]", "invalid array index x"),
            ("a[?(@.b", "unterminated filter"),
            ("a[?(@.b)x", "unclosed array expect ]"),
            ("a[?(@.b == #)]", "unrecognized character in action: U+0023 '#'"),
            ("'a", "unterminated quoted string"),
            ("a.....b", "invalid multiple recursive descent"),
            ("1.2.3", "cannot parse number 1.2.3"),
            ("a\n", "unclosed action"),
            ("#", "unrecognized character in action: U+0023 '#'"),
        ] {
            assert_eq!(check(path).err().unwrap_or_default(), wrong, "{path}");
        }
    }

    proptest! {
        #[test]
        fn whatever_it_is_is_read(path in "[a\\[\\]?(){}@.,'\"=:*0-9 \\\\-]{0,40}") {
            let _ = check(&path);
        }
    }
}
