//! Addresses of mail as Go's net/mail reads a single one (`ParseAddress`), by the grammar of RFC 5322.

use std::net::IpAddr;

/// Whether a text is one address, which may come with a name: `Ann <ann@example.com>`.
pub(super) fn is_address(text: &str) -> bool {
    let mut rest = Rest(text);
    match rest.address(true) {
        Some(1) => rest.skip_comments() && rest.0.is_empty(),
        _ => false,
    }
}

/// What is still to be read. Where a part isn't what it should be, nothing more can be said of the rest.
#[derive(Clone, Copy)]
struct Rest<'t>(&'t str);

impl<'t> Rest<'t> {
    fn peek(&self) -> Option<char> {
        self.0.chars().next()
    }

    fn take(&mut self, wanted: char) -> bool {
        match self.0.strip_prefix(wanted) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn skip_space(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }

    /// False at a comment that doesn't end.
    fn skip_comments(&mut self) -> bool {
        self.skip_space();
        while self.take('(') {
            if !self.comment() {
                return false;
            }
            self.skip_space();
        }
        true
    }

    /// The rest of a comment, of which the parenthesis is read.
    fn comment(&mut self) -> bool {
        let mut depth = 1;
        let mut chars = self.0.chars();
        while depth > 0 {
            match chars.next() {
                None => return false,
                Some('\\') => {
                    chars.next();
                }
                Some('(') => depth += 1,
                Some(')') => depth -= 1,
                Some(_) => {}
            }
        }
        self.0 = chars.as_str();
        true
    }

    /// How many addresses there are: one, or those of a group if groups are read.
    fn address(&mut self, groups: bool) -> Option<usize> {
        self.skip_space();
        let mut plain = *self;
        if plain.specification().is_some() {
            plain.skip_space();
            if plain.take('(') && !plain.comment() {
                return None;
            }
            *self = plain;
            return Some(1);
        }
        if self.peek()? != '<' {
            self.phrase()?;
        }
        self.skip_space();
        if groups && self.take(':') {
            return self.group();
        }
        if !self.take('<') {
            return None;
        }
        self.specification()?;
        self.take('>').then_some(1)
    }

    /// The addresses of a group behind its name.
    fn group(&mut self) -> Option<usize> {
        self.skip_space();
        if self.take(';') {
            return self.skip_comments().then_some(0);
        }
        let mut count = 0;
        loop {
            count += self.address(false)?;
            if !self.skip_comments() {
                return None;
            }
            if self.take(';') {
                return self.skip_comments().then_some(count);
            }
            if !self.take(',') {
                return None;
            }
        }
    }

    /// `local@domain`
    fn specification(&mut self) -> Option<()> {
        self.skip_space();
        if self.peek()? == '"' {
            if self.quoted()?.is_empty() {
                return None;
            }
        } else {
            self.atom(false)?;
        }
        if !self.take('@') {
            return None;
        }
        self.skip_space();
        if self.peek()? == '[' {
            return self.literal_domain();
        }
        self.atom(false).map(|_| ())
    }

    /// An address in brackets.
    fn literal_domain(&mut self) -> Option<()> {
        let (inner, rest) = self.0.strip_prefix('[')?.split_once(']')?;
        inner.parse::<IpAddr>().ok()?;
        self.0 = rest;
        Some(())
    }

    /// Words of a name, of which there is one at least.
    fn phrase(&mut self) -> Option<()> {
        let mut any = false;
        loop {
            if any && !self.skip_comments() {
                return None;
            }
            self.skip_space();
            let word = match self.peek() {
                None => None,
                Some('"') => self.quoted(),
                Some(_) => self.atom(true),
            };
            if word.is_none() {
                return any.then_some(());
            }
            any = true;
        }
    }

    fn quoted(&mut self) -> Option<&'t str> {
        let inner = self.0.strip_prefix('"')?;
        let mut escaped = false;
        for (at, c) in inner.char_indices() {
            match c {
                _ if escaped => {
                    if !is_visible(c) && !matches!(c, ' ' | '\t') {
                        return None;
                    }
                    escaped = false;
                }
                '\\' => escaped = true,
                '"' => {
                    self.0 = &inner[at + 1..];
                    return Some(&inner[..at]);
                }
                ' ' | '\t' => {}
                c if is_visible(c) => {}
                _ => return None,
            }
        }
        None
    }

    /// Text with dots, which may be anywhere if `dots_anywhere`.
    fn atom(&mut self, dots_anywhere: bool) -> Option<&'t str> {
        let in_atom = |c: char| !"()<>[]:;@\\,\"".contains(c) && is_visible(c);
        let end = self.0.find(|c| !in_atom(c)).unwrap_or(self.0.len());
        let (atom, rest) = self.0.split_at(end);
        let misplaced = atom.starts_with('.') || atom.ends_with('.') || atom.contains("..");
        if atom.is_empty() || (misplaced && !dots_anywhere) {
            return None;
        }
        self.0 = rest;
        Some(atom)
    }
}

/// Printable, or not ASCII.
fn is_visible(c: char) -> bool {
    ('!'..='~').contains(&c) || !c.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_are_read_as_go_reads_them() {
        for (text, good) in [
            ("ann@example.com", true),
            ("ann@localhost", true),
            (" ann@example.com ", true),
            ("ann.b+c@example.com", true),
            ("Ann <ann@example.com>", true),
            ("\"Ann B.\" <ann@example.com>", true),
            ("<ann@example.com>", true),
            ("Ann. B <ann@example.com>", true),
            ("ann@example.com (Ann)", true),
            ("ann@example.com (Ann (B\\))) ", true),
            ("\"a b\"@example.com", true),
            ("ann@[127.0.0.1]", true),
            ("ann@[::1]", true),
            ("änn@exämple.com", true),
            ("ann @example.com", false),
            ("ann@ example.com", true),
            ("group: ann@example.com;", true),
            ("group: <ann@example.com> (c), ;", false),
            ("group: a@b, c@d;", false),
            ("group: ;", false),
            ("", false),
            (" ", false),
            ("ann", false),
            ("ann@", false),
            ("@example.com", false),
            (".ann@example.com", false),
            ("ann.@example.com", false),
            ("a..b@example.com", false),
            ("ann@example.com.", false),
            ("ann@example_.com", true),
            ("ann@exam ple.com", false),
            ("ann@example.com, b@c", false),
            ("ann@example.com (Ann", false),
            ("Ann <ann@example.com", false),
            ("Ann ann@example.com", false),
            ("\"\"@example.com", false),
            ("\"a@example.com", false),
            ("ann@[example]", false),
            ("ann@[127.0.0.1", false),
            ("a\u{7f}@example.com", false),
        ] {
            assert_eq!(is_address(text), good, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_it_is_is_read(text in "[a-z@<>():;,.\"\\\\\\[\\] é]{0,30}") {
            is_address(&text);
        }
    }
}
