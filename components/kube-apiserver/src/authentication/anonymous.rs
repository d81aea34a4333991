//! Who may come without credentials.

use component_config::kube_apiserver::authentication::AnonymousAuthConfig;

/// Whether, and for which paths. It stays as it was at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anonymous {
    enabled: bool,
    /// Empty is all.
    paths: Vec<String>,
    configured: Option<AnonymousAuthConfig>,
}

impl Anonymous {
    /// As a file says; without, for all paths or none.
    pub fn new(configured: Option<AnonymousAuthConfig>, otherwise: bool) -> Self {
        let conditions = configured.iter().flat_map(|config| &config.conditions);
        Self {
            enabled: configured.as_ref().map_or(otherwise, |config| config.enabled),
            paths: conditions.map(|condition| condition.path.clone()).collect(),
            configured,
        }
    }

    /// What the file said.
    pub fn configured(&self) -> Option<&AnonymousAuthConfig> {
        self.configured.as_ref()
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
        let some = Anonymous::new(Some(config), true);
        assert!(some.allows("/livez") && !some.allows("/livez/ping") && !some.allows("/api"));
        assert!(Anonymous::new(None, true).allows("/api"));
        assert!(!Anonymous::new(None, false).allows("/livez"));
    }
}
