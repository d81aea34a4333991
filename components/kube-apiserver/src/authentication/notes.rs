//! What checking a token leaves with the request that brought it, and with every one until the outcome is forgotten.

/// Warnings for the client and annotations for the audit log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    pub warnings: Vec<&'static str>,
    pub annotations: Vec<(&'static str, String)>,
}

impl Notes {
    pub fn is_empty(&self) -> bool {
        self.warnings.is_empty() && self.annotations.is_empty()
    }

    pub fn warn(&mut self, text: &'static str) {
        self.warnings.push(text);
    }

    pub fn annotate(&mut self, key: &'static str, value: String) {
        self.annotations.push((key, value));
    }

    pub fn extend(&mut self, other: Self) {
        self.warnings.extend(other.warnings);
        self.annotations.extend(other.annotations);
    }
}
