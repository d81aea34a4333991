//! Whether an answer is of the type that was asked for.

use serde_json::Value;

/// The type of a review that was sent.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub group: &'static str,
    pub version: &'a str,
    pub kind: &'static str,
}

impl Asked<'_> {
    /// Whether an answer says something. One of another version of the same kind says nothing, as upstream's client
    /// reads it; one of something else is an error. What names no type is taken for what was asked.
    pub fn is_answered_by(&self, answer: &Value) -> Result<bool, String> {
        let named = |field: &str| answer[field].as_str().unwrap_or("");
        let own = format!("{}/{}", self.group, self.version);
        let kind = Some(named("kind"))
            .filter(|kind| !kind.is_empty())
            .unwrap_or(self.kind);
        let api_version = Some(named("apiVersion"))
            .filter(|version| !version.is_empty())
            .unwrap_or(&own);
        if kind == self.kind && api_version == own {
            return Ok(true);
        }
        let known = ["v1", "v1beta1"].map(|version| format!("{}/{version}", self.group));
        if kind == self.kind && known.iter().any(|known| known == api_version) {
            return Ok(false);
        }
        Err(format!(
            "no kind {kind:?} is registered for version {api_version:?}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn answers_of_other_types() {
        let asked = Asked {
            group: "authentication.k8s.io",
            version: "v1",
            kind: "TokenReview",
        };
        for (answer, expected) in [
            (json!({}), Ok(true)),
            (json!({"kind": "TokenReview"}), Ok(true)),
            (
                json!({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1"}),
                Ok(true),
            ),
            (
                json!({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1beta1"}),
                Ok(false),
            ),
            (
                json!({"kind": "Pod", "apiVersion": "v1"}),
                Err("no kind \"Pod\" is registered for version \"v1\""),
            ),
            (
                json!({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v9"}),
                Err("no kind \"TokenReview\" is registered for version \"authentication.k8s.io/v9\""),
            ),
        ] {
            let found = asked.is_answered_by(&answer);
            assert_eq!(found, expected.map_err(str::to_owned), "{answer}");
        }
    }
}
