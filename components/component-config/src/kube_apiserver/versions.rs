//! `--emulated-version` and `--min-compatibility-version`: this server is of one version and can't act as an older one.

/// The version that this program is of.
pub const OWN: &str = "1.36";
/// The oldest servers beside which it may run in a cluster, as upstream's has it.
pub const OLDEST_COMPATIBLE: &str = "1.35";

/// The version of `text`, which may stand behind the component's name: `kube=1.36`.
fn version(text: &str) -> Result<&str, String> {
    let text = text.trim();
    match text.split_once('=') {
        None => Ok(text),
        Some(("kube", version)) => Ok(version.trim()),
        Some((other, _)) => Err(format!("component not registered: {other}; use kube")),
    }
}

fn same(given: &str, wanted: &str) -> bool {
    let given = given.strip_prefix('v').unwrap_or(given);
    given == wanted || given.strip_suffix(".0") == Some(wanted)
}

/// # Errors
///
/// Another version is to be emulated: features and APIs would have to be those of that version.
pub fn emulated(text: &str) -> Result<String, String> {
    let version = version(text)?;
    if same(version, OWN) {
        return Ok(OWN.to_owned());
    }
    Err(format!(
        "emulation of version {version} is not supported; this server is {OWN} only: leave the flag out, or turn off single \
         features and APIs with --feature-gates and --runtime-config"
    ))
}

/// # Errors
///
/// The server is to be compatible with other versions than it is.
pub fn least_compatible(text: &str) -> Result<String, String> {
    let version = version(text)?;
    if same(version, OLDEST_COMPATIBLE) {
        return Ok(OLDEST_COMPATIBLE.to_owned());
    }
    Err(format!(
        "minimum compatibility version {version} is not supported; this server is compatible with {OLDEST_COMPATIBLE} and {OWN}: \
         leave the flag out"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_version_can_be_emulated() {
        for text in ["1.36", "v1.36", "kube=1.36", "kube=v1.36.0"] {
            assert_eq!(emulated(text).as_deref(), Ok(OWN), "{text}");
        }
        for (text, said) in [
            ("1.35", "1.35 is not supported"),
            ("kube=1.37", "1.37 is not supported"),
            ("wardle=1.2", "component not registered: wardle"),
            ("", "not supported"),
        ] {
            let error = emulated(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
        assert!(least_compatible("kube=1.35").is_ok() && least_compatible("1.34").is_err());
    }
}
