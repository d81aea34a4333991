//! What --feature-gates may say: this server has upstream's features as upstream sets them by default.

/// One `Name=bool`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureGate {
    pub name: String,
    pub enabled: bool,
}

/// Features of upstream's API server that are off by default and not here, so nobody can turn them on.
const ABSENT: &[&str] = &[
    "AllAlpha",
    "AllBeta",
    "AllowUnsafeMalformedObjectDeletion",
    "CBORServingAndStorage",
    "ClusterTrustBundle",
    "CoordinatedLeaderElection",
];

/// Parses one gate; a feature that can't be turned on is refused, since ignoring that would change behaviour. Gates of
/// other components are taken: upstream's components share one list.
pub fn parse(text: &str) -> Result<FeatureGate, String> {
    let Some((name, value)) = text.split_once('=') else {
        return Err(format!("missing bool value for {text}"));
    };
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(format!("unrecognized feature gate: {name}"));
    }
    let enabled = match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
        "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
        _ => return Err(format!("invalid value of {name}={value}; use true or false")),
    };
    if enabled && ABSENT.contains(&name) {
        return Err(format!("feature {name} is not in this implementation; remove it"));
    }
    Ok(FeatureGate {
        name: name.to_owned(),
        enabled,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_are_booleans_and_what_is_not_there_cannot_be_turned_on() {
        for (text, taken) in [
            ("NodeSwap=true", true),
            ("AllAlpha=false", true),
            ("CBORServingAndStorage=false", true),
            ("AllAlpha=true", false),
            ("CBORServingAndStorage=true", false),
            ("NodeSwap", false),
            ("NodeSwap=on", false),
            ("=true", false),
            ("a b=true", false),
        ] {
            assert_eq!(parse(text).is_ok(), taken, "{text}");
        }
    }
}
