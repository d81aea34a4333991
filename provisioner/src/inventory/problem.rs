use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// One thing wrong with an inventory: where, what, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// 1-based line in the file; 0 for the file as a whole.
    pub line: usize,
    /// For example `hosts[2].roles[0]`; empty for syntax errors.
    pub field: String,
    /// What stands there now; empty when the field is missing.
    pub value: String,
    pub message: String,
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        if !self.value.is_empty() {
            write!(f, "{:?}: ", self.value)?;
        }
        write!(f, "{}; {}", self.message, self.remedy)
    }
}

/// Everything that is wrong with one inventory file.
#[derive(Debug, thiserror::Error)]
pub struct InvalidInventory {
    pub path: PathBuf,
    pub problems: Vec<Problem>,
}

impl fmt::Display for InvalidInventory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}: {problem}", self.path.display())?;
        }
        Ok(())
    }
}

/// Where each field stands, so that a check that compares two of them can still name a line.
#[derive(Clone, Debug, Default)]
pub struct Lines(BTreeMap<String, usize>);

impl Lines {
    pub fn set(&mut self, field: &str, line: usize) {
        self.0.insert(field.to_owned(), line);
    }

    /// The line of a field, or of the nearest table around it.
    pub fn of(&self, field: &str) -> usize {
        let mut field = field;
        loop {
            if let Some(line) = self.0.get(field) {
                return *line;
            }
            match field.rfind(['.', '[']) {
                Some(at) => field = &field[..at],
                None => return 1,
            }
        }
    }
}
