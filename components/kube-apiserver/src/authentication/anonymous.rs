//! Who may come without credentials.

use component_config::kube_apiserver::authentication::AnonymousAuthConfig;

/// Whether, and for which paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anonymous {
    enabled: bool,
    /// Empty is all.
    paths: Vec<String>,
}

impl Anonymous {
    /// For all paths, or none.
    pub fn everywhere(enabled: bool) -> Self {
        Self {
            enabled,
            paths: Vec::new(),
        }
    }

    pub fn from_config(config: &AnonymousAuthConfig) -> Self {
        Self {
            enabled: config.enabled,
            paths: config
                .conditions
                .iter()
                .map(|condition| condition.path.clone())
                .collect(),
        }
    }

    /// Whether a request for the path may come from nobody.
    pub fn allows(&self, path: &str) -> bool {
        self.enabled && (self.paths.is_empty() || self.paths.iter().any(|allowed| allowed == path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let config: AnonymousAuthConfig =
            serde_yaml_ng::from_str("{enabled: true, conditions: [{path: /livez}]}").unwrap();
        let some = Anonymous::from_config(&config);
        assert!(some.allows("/livez") && !some.allows("/livez/ping") && !some.allows("/api"));
        assert!(Anonymous::everywhere(true).allows("/api"));
        assert!(!Anonymous::everywhere(false).allows("/livez"));
    }
}
