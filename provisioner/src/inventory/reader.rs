//! Reads TOML tables field by field, so that every mistake is found in one go and each has its line.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Lines, Problem};

/// What all tables of one document share.
pub struct Document<'t> {
    text: &'t str,
    pub problems: Vec<Problem>,
    pub lines: Lines,
}

impl<'t> Document<'t> {
    pub fn new(text: &'t str) -> Self {
        Self {
            text,
            problems: Vec::new(),
            lines: Lines::default(),
        }
    }

    pub fn line(&self, offset: usize) -> usize {
        let end = offset.min(self.text.len());
        self.text.as_bytes()[..end]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count()
            + 1
    }

    pub fn report(&mut self, line: usize, field: &str, value: &str, message: &str, remedy: &str) {
        self.problems.push(Problem {
            line,
            field: field.to_owned(),
            value: value.to_owned(),
            message: message.to_owned(),
            remedy: remedy.to_owned(),
        });
    }
}

/// One table; every field that is asked for becomes a known one.
pub struct Table<'d, 't> {
    path: String,
    entries: &'d DeTable<'t>,
    known: Vec<&'static str>,
}

impl<'d, 't> Table<'d, 't> {
    pub fn new(path: &str, entries: &'d DeTable<'t>) -> Self {
        Self {
            path: path.to_owned(),
            entries,
            known: Vec::new(),
        }
    }

    pub fn field(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    fn take(&mut self, document: &mut Document<'_>, name: &'static str) -> Option<&'d Spanned<DeValue<'t>>> {
        self.known.push(name);
        let (_, value) = self.entries.iter().find(|(key, _)| key.get_ref() == name)?;
        let line = document.line(value.span().start);
        document.lines.set(&self.field(name), line);
        Some(value)
    }

    pub fn string(&mut self, document: &mut Document<'_>, name: &'static str) -> Option<String> {
        let value = self.take(document, name)?;
        as_string(document, &self.field(name), value)
    }

    pub fn required(
        &mut self,
        document: &mut Document<'_>,
        name: &'static str,
        remedy: &str,
    ) -> Option<String> {
        if !self.entries.iter().any(|(key, _)| key.get_ref() == name) {
            self.known.push(name);
            let field = self.field(name);
            let line = document.lines.of(&field);
            document.report(line, &field, "", "is missing", remedy);
            return None;
        }
        self.string(document, name)
    }

    pub fn boolean(&mut self, document: &mut Document<'_>, name: &'static str) -> Option<bool> {
        let value = self.take(document, name)?;
        let found = value.get_ref().as_bool();
        if found.is_none() {
            wrong_type(document, &self.field(name), value, "write true or false");
        }
        found
    }

    pub fn port(&mut self, document: &mut Document<'_>, name: &'static str) -> Option<u16> {
        let value = self.take(document, name)?;
        let Some(integer) = value.get_ref().as_integer() else {
            wrong_type(
                document,
                &self.field(name),
                value,
                "write a port number from 1 to 65535",
            );
            return None;
        };
        match u16::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(port) if port > 0 => Some(port),
            _ => {
                let line = document.line(value.span().start);
                let field = self.field(name);
                document.report(
                    line,
                    &field,
                    integer.as_str(),
                    "is not a port",
                    "write a number from 1 to 65535",
                );
                None
            }
        }
    }

    /// A whole number inside `range`; `remedy` says what to write.
    pub fn number(
        &mut self,
        document: &mut Document<'_>,
        name: &'static str,
        range: std::ops::RangeInclusive<u16>,
        remedy: &str,
    ) -> Option<u16> {
        let value = self.take(document, name)?;
        let field = self.field(name);
        let Some(integer) = value.get_ref().as_integer() else {
            wrong_type(document, &field, value, remedy);
            return None;
        };
        let number = u16::from_str_radix(integer.as_str(), integer.radix()).ok();
        let inside = number.filter(|number| range.contains(number));
        if inside.is_none() {
            let line = document.line(value.span().start);
            document.report(line, &field, integer.as_str(), "is out of range", remedy);
        }
        inside
    }

    pub fn strings(&mut self, document: &mut Document<'_>, name: &'static str) -> Option<Vec<String>> {
        let value = self.take(document, name)?;
        let field = self.field(name);
        let Some(array) = value.get_ref().as_array() else {
            wrong_type(
                document,
                &field,
                value,
                "write a list of strings, for example [\"worker\"]",
            );
            return None;
        };
        let mut strings = Vec::new();
        for (index, value) in array.iter().enumerate() {
            let field = format!("{field}[{index}]");
            let line = document.line(value.span().start);
            document.lines.set(&field, line);
            strings.extend(as_string(document, &field, value));
        }
        Some(strings)
    }

    pub fn map(
        &mut self,
        document: &mut Document<'_>,
        name: &'static str,
    ) -> Option<BTreeMap<String, String>> {
        let value = self.take(document, name)?;
        let field = self.field(name);
        let Some(table) = value.get_ref().as_table() else {
            wrong_type(
                document,
                &field,
                value,
                "write a table of strings, for example { zone = \"a\" }",
            );
            return None;
        };
        let mut map = BTreeMap::new();
        for (key, value) in table.iter() {
            let field = format!("{field}.{}", key.get_ref());
            let line = document.line(value.span().start);
            document.lines.set(&field, line);
            if let Some(text) = as_string(document, &field, value) {
                map.insert(key.get_ref().to_string(), text);
            }
        }
        Some(map)
    }

    pub fn table(&mut self, document: &mut Document<'_>, name: &'static str) -> Option<Table<'d, 't>> {
        let value = self.take(document, name)?;
        let field = self.field(name);
        let Some(table) = value.get_ref().as_table() else {
            wrong_type(
                document,
                &field,
                value,
                &format!("write it as a table: [{field}]"),
            );
            return None;
        };
        Some(Table::new(&field, table))
    }

    pub fn tables(&mut self, document: &mut Document<'_>, name: &'static str) -> Vec<Table<'d, 't>> {
        let Some(value) = self.take(document, name) else {
            return Vec::new();
        };
        let field = self.field(name);
        let Some(array) = value.get_ref().as_array() else {
            wrong_type(
                document,
                &field,
                value,
                &format!("write one [[{field}]] table for each"),
            );
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (index, value) in array.iter().enumerate() {
            let field = format!("{field}[{index}]");
            let line = document.line(value.span().start);
            document.lines.set(&field, line);
            match value.get_ref().as_table() {
                Some(table) => tables.push(Table::new(&field, table)),
                None => wrong_type(document, &field, value, "write it as a table"),
            }
        }
        tables
    }

    /// Reports every field that nobody asked for.
    pub fn finish(self, document: &mut Document<'_>) {
        for (key, _) in self.entries.iter() {
            let name = key.get_ref().as_ref();
            if self.known.contains(&name) {
                continue;
            }
            let line = document.line(key.span().start);
            let remedy = match nearest(name, &self.known) {
                Some(known) => format!("did you mean {known:?}?"),
                None => format!("remove it; known keys here are {}", self.known.join(", ")),
            };
            document.report(line, &self.field(name), "", "unknown key", &remedy);
        }
    }
}

fn as_string(document: &mut Document<'_>, field: &str, value: &Spanned<DeValue<'_>>) -> Option<String> {
    let found = value.get_ref().as_str().map(str::to_owned);
    if found.is_none() {
        wrong_type(document, field, value, "write a string in quotes");
    }
    found
}

fn wrong_type(document: &mut Document<'_>, field: &str, value: &Spanned<DeValue<'_>>, remedy: &str) {
    let line = document.line(value.span().start);
    let text = document
        .text
        .get(value.span())
        .unwrap_or_default()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned();
    let message = format!("has the wrong type ({})", value.get_ref().type_str());
    document.report(line, field, &text, &message, remedy);
}

/// The known word that differs from `name` by at most two edits.
pub fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let (distance, word) = known.iter().map(|word| (edits(name, word), *word)).min()?;
    (distance <= 2 && distance < name.len()).then_some(word)
}

fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (diagonal + usize::from(from != *to))
                .min(above + 1)
                .min(row[j] + 1);
            diagonal = above;
        }
    }
    row[b.len()]
}
