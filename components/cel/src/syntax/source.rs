use std::fmt;

/// The text of an expression, for messages that point into it.
#[derive(Clone, Debug)]
pub struct Source {
    text: String,
}

/// What is wrong at a place of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// Offset in characters; `None` when the parser knows no place.
    pub at: Option<u32>,
    pub message: String,
}

impl Source {
    pub fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
        }
    }

    /// Line and column, both from zero.
    fn position(&self, at: u32) -> (usize, usize) {
        let (mut line, mut column) = (0, 0);
        for c in self.text.chars().take(at as usize) {
            if c == '\n' {
                line += 1;
                column = 0;
            } else {
                column += 1;
            }
        }
        (line, column)
    }

    /// The issues as upstream prints them: place, message, the line and a mark below it.
    pub fn explain(&self, issues: &[Issue]) -> String {
        let mut out = String::new();
        for issue in issues {
            if !out.is_empty() {
                out.push('\n');
            }
            self.explain_one(issue, &mut out).unwrap_or_default();
        }
        out
    }

    fn explain_one(&self, issue: &Issue, out: &mut String) -> fmt::Result {
        use fmt::Write;
        let Some(at) = issue.at else {
            return write!(out, "ERROR: <input>:1:0: {}", issue.message);
        };
        let (line, column) = self.position(at);
        write!(
            out,
            "ERROR: <input>:{}:{}: {}",
            line + 1,
            column + 1,
            issue.message
        )?;
        if let Some(text) = self.text.split('\n').nth(line) {
            let text = text.replace('\t', " ");
            write!(out, "\n | {text}\n | ")?;
            for c in text.chars().take(column) {
                out.push(if c.len_utf8() > 1 { '．' } else { '.' });
            }
            let wide = text.chars().nth(column).is_some_and(|c| c.len_utf8() > 1);
            out.push(if wide { '＾' } else { '^' });
        }
        Ok(())
    }
}
