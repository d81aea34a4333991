//! Which APIs there are while an older version is emulated. The rules and the errors are those of upstream's deleted_kinds.go.

use super::runtime::keys;
use anyhow::bail;
use api::Registry;
use component_config::versions::Version;
use std::collections::HashSet;

/// What decides about APIs that came after the emulated version.
#[derive(Clone, Copy)]
pub struct Emulation {
    pub version: Version,
    /// --emulation-forward-compatible: resources come in their newer versions where an older one is served.
    pub forward: bool,
    /// --runtime-config-emulation-forward-compatible: what is turned on by name comes.
    pub named: bool,
}

impl Emulation {
    /// What is left of all APIs. `named` tells whether a key of --runtime-config is true.
    ///
    /// # Errors
    ///
    /// One is turned on by name, and came too late.
    pub fn leave(self, all: &Registry, named: impl Fn(&str) -> bool) -> anyhow::Result<Registry> {
        const HINT: &str = "Consider setting --runtime-config-emulation-forward-compatible=true";
        let rows: Vec<_> = all.iter().collect();
        let mut left = all.clone();
        let mut served = HashSet::new();
        // Versions with less priority go first: they decide about the others.
        for row in rows.iter().rev() {
            let came = Version::new(1, row.introduced());
            let (version, resource) = keys(row);
            let by_older = || self.forward && served.contains(&row.group_resource());
            let by_name = || self.named && (named(&resource) || named(&version));
            if came <= self.version || by_older() || by_name() {
                if !row.gvk.version.contains("alpha") {
                    served.insert(row.group_resource());
                }
                continue;
            }
            if named(&resource) {
                bail!(
                    "cannot enable resource {}/{}, Resource={} in runtime-config because it is introduced at {came} after the \
                     current version {}. {HINT}",
                    row.gvk.group,
                    row.gvk.version,
                    row.plural,
                    self.version
                );
            }
            left.remove(&row.gvr());
        }
        for row in rows {
            let (version, _) = keys(row);
            let group_version = row.gvk.group_version();
            let gone = !left
                .iter()
                .any(|other| other.gvk.group_version() == group_version);
            if gone && named(&version) {
                bail!(
                    "cannot enable version {version} in runtime-config because all the resources have been introduced after the \
                     current version {}. {HINT}",
                    self.version
                );
            }
        }
        Ok(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_version_comes_with_an_older_one_when_that_is_wanted() {
        let built_in = Registry::built_in();
        let row = |version: &str| {
            let row = built_in.resource("resource.k8s.io", "v1", "deviceclasses");
            let mut row = api::Resource::clone(row.unwrap());
            row.gvk.version = version.to_owned();
            row
        };
        for (older, forward, there) in [("v1beta1", true, 2), ("v1beta1", false, 1), ("v1alpha1", true, 1)] {
            let mut all = Registry::default();
            all.insert(row("v1"));
            all.insert(row(older));
            let emulation = Emulation {
                version: Version::new(1, 33),
                forward,
                named: false,
            };
            let left = emulation.leave(&all, |_| false).unwrap();
            assert_eq!(left.iter().count(), there, "{older} {forward}");
        }
    }
}
