use std::fmt;

/// `v1.36.2`; what follows the numbers is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub major: u32,
    pub minor: u32,
    pub patch: u32,
}

impl Version {
    /// The first version in a text, such as a program's answer to `--version`.
    pub fn find(text: &str) -> Option<Version> {
        text.split_whitespace().find_map(Version::parse)
    }

    /// `1.36.2`, `v1.36.2-rc.1`, `3.5.16`.
    pub fn parse(word: &str) -> Option<Version> {
        let mut parts = word.trim_start_matches('v').split('.');
        let mut number = |last: bool| {
            let part = parts.next()?;
            let digits = part.bytes().take_while(u8::is_ascii_digit).count();
            if digits == 0 || (!last && digits != part.len()) {
                return None;
            }
            part[..digits].parse().ok()
        };
        Some(Version {
            major: number(false)?,
            minor: number(false)?,
            patch: number(true)?,
        })
    }

    /// How many minors `self` is ahead of `other`; None across majors.
    pub fn minors_ahead(self, other: Version) -> Option<i64> {
        (self.major == other.major).then(|| i64::from(self.minor) - i64::from(other.minor))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found() {
        for (text, expected) in [
            ("Kubernetes v1.36.2", Some("1.36.2")),
            ("etcd Version: 3.5.16\nGit SHA: abc", Some("3.5.16")),
            ("v1.37.0-rc.1", Some("1.37.0")),
            ("1.36", None),
            ("1.x.2", None),
            ("", None),
        ] {
            assert_eq!(
                Version::find(text).map(|found| found.to_string()).as_deref(),
                expected,
                "{text}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(?s).{0,60}") {
            let _ = Version::find(&text);
        }
    }
}
