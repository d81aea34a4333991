//! `--emulated-version` and `--min-compatibility-version`: which version a component behaves as, and beside which it may run.
//! The rules and the errors are those of upstream's component-base/compatibility.

mod flags;

pub use flags::VersionFlags;

use std::fmt;

/// A version without its patch, `major.minor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    pub major: u32,
    pub minor: u32,
}

impl Version {
    /// The version that these programs are of.
    pub const OWN: Self = Self::new(1, 36);
    /// The oldest that may be emulated, or that others in the cluster may be of.
    pub const OLDEST: Self = Self::new(1, 33);

    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    const fn before(self) -> Self {
        Self::new(self.major, self.minor - 1)
    }

    /// Reads `1.34`, `v1.34` and `1.34.0`; as upstream, what stands behind the numbers is nobody's business.
    fn parse(text: &str) -> Result<(Self, u32), String> {
        let illegal = || format!("illegal version string {text:?}");
        let numbers = text.trim_start();
        let numbers = numbers.strip_prefix('v').unwrap_or(numbers);
        let mut parts = Vec::new();
        let mut rest = numbers;
        loop {
            let end = rest
                .find(|character: char| !character.is_ascii_digit())
                .unwrap_or(rest.len());
            let (digits, behind) = rest.split_at(end);
            if digits.is_empty() {
                break;
            }
            if digits.len() > 1 && digits.starts_with('0') {
                return Err(illegal());
            }
            parts.push(digits.parse::<u32>().map_err(|_| illegal())?);
            match behind.strip_prefix('.') {
                Some(behind) => rest = behind,
                None => break,
            }
        }
        match parts.as_slice() {
            [major, minor, patch @ ..] => Ok((
                Self::new(*major, *minor),
                patch.first().copied().unwrap_or_default(),
            )),
            _ => Err(illegal()),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

/// What the two flags come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EffectiveVersion {
    /// Whose features and APIs there are.
    pub emulated: Version,
    /// The oldest version that other servers of the cluster may be of. What they don't know is not stored.
    pub min_compatibility: Version,
}

impl Default for EffectiveVersion {
    fn default() -> Self {
        Self::of(Version::OWN, None)
    }
}

impl EffectiveVersion {
    fn of(emulated: Version, min_compatibility: Option<Version>) -> Self {
        Self {
            emulated,
            min_compatibility: min_compatibility.unwrap_or(emulated.before().max(Version::OLDEST)),
        }
    }

    /// Whether another version than the own one is emulated.
    pub fn is_emulation(&self) -> bool {
        self.emulated != Version::OWN
    }

    /// From the values of the flags, each a version or `kube=version`.
    ///
    /// # Errors
    ///
    /// One is no version, of another component, twice there, or out of range.
    pub fn from_flags(emulated: &[String], min_compatibility: &[String]) -> Result<Self, String> {
        let own = Version::OWN;
        let effective = Self::of(one(emulated)?.unwrap_or(own), one(min_compatibility)?);
        let (floor, emulated) = (Version::OLDEST, effective.emulated);
        let mut wrong = Vec::new();
        if !(floor..=own).contains(&emulated) {
            wrong.push(format!(
                "emulation version {emulated} is not between [{floor}, {own}.0]"
            ));
        }
        let least = effective.min_compatibility;
        if !(floor..=emulated).contains(&least) {
            wrong.push(format!(
                "minCompatibilityVersion version {least} is not between [{floor}, {emulated}]"
            ));
        }
        match wrong.is_empty() {
            true => Ok(effective),
            false => Err(wrong.join(", ")),
        }
    }
}

/// The version of the one component that there is.
fn one(values: &[String]) -> Result<Option<Version>, String> {
    let mut found: Option<Version> = None;
    for value in values {
        let (component, text) = match value.split_once('=') {
            Some((component, text)) => (component.trim(), text.trim()),
            None => ("kube", value.as_str()),
        };
        let (version, patch) = Version::parse(text)?;
        if patch != 0 {
            return Err(format!(
                "patch version not allowed, got: {component}={version}.{patch}"
            ));
        }
        if component != "kube" {
            return Err(format!("component not registered: {component}"));
        }
        if let Some(other) = found {
            return Err(format!(
                "duplicate version flag, {component}={other} and {component}={version}"
            ));
        }
        found = Some(version);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effective(emulated: &str, min_compatibility: &str) -> Result<String, String> {
        let values = |text: &str| -> Vec<String> {
            text.split(',')
                .filter(|value| !value.is_empty())
                .map(str::to_owned)
                .collect()
        };
        EffectiveVersion::from_flags(&values(emulated), &values(min_compatibility))
            .map(|version| format!("{} {}", version.emulated, version.min_compatibility))
    }

    #[test]
    fn the_compatible_version_is_the_one_before_the_emulated_unless_told() {
        for (emulated, min_compatibility, both) in [
            ("", "", "1.36 1.35"),
            ("1.36", "", "1.36 1.35"),
            ("v1.36", "", "1.36 1.35"),
            ("kube=1.36.0", "", "1.36 1.35"),
            ("kube=1.35", "", "1.35 1.34"),
            ("1.34", "", "1.34 1.33"),
            ("1.33", "", "1.33 1.33"),
            ("", "1.36", "1.36 1.36"),
            ("", "kube=1.33", "1.36 1.33"),
            (" kube = 1.35 ", "1.35", "1.35 1.35"),
        ] {
            assert_eq!(
                effective(emulated, min_compatibility).as_deref(),
                Ok(both),
                "{emulated} {min_compatibility}"
            );
        }
    }

    #[test]
    fn nonsense_is_refused_in_upstreams_words() {
        for (emulated, min_compatibility, said) in [
            ("1.37", "", "emulation version 1.37 is not between [1.33, 1.36.0]"),
            (
                "1.32",
                "",
                "emulation version 1.32 is not between [1.33, 1.36.0], \
                 minCompatibilityVersion version 1.33 is not between [1.33, 1.32]",
            ),
            (
                "",
                "1.32",
                "minCompatibilityVersion version 1.32 is not between [1.33, 1.36]",
            ),
            (
                "1.34",
                "1.35",
                "minCompatibilityVersion version 1.35 is not between [1.33, 1.34]",
            ),
            ("wardle=1.2", "", "component not registered: wardle"),
            ("1.35.1", "", "patch version not allowed, got: kube=1.35.1"),
            (
                "1.35,kube=1.34",
                "",
                "duplicate version flag, kube=1.35 and kube=1.34",
            ),
            ("1.foo", "", "illegal version string \"1.foo\""),
            ("kube=", "", "illegal version string \"\""),
            ("1", "", "illegal version string \"1\""),
            ("1.035", "", "illegal version string \"1.035\""),
        ] {
            assert_eq!(
                effective(emulated, min_compatibility),
                Err(said.to_owned()),
                "{emulated} {min_compatibility}"
            );
        }
    }
}
