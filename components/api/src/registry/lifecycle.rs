//! Since when upstream has the built-in kinds.
use super::Resource;

/// Kinds that came after v1.33, the oldest version that is emulated: group, version, resource, minor of version 1.
const LATER: [(&str, &str, &str, u32); 7] = [
    (
        "admissionregistration.k8s.io",
        "v1",
        "mutatingadmissionpolicies",
        36,
    ),
    (
        "admissionregistration.k8s.io",
        "v1",
        "mutatingadmissionpolicybindings",
        36,
    ),
    ("resource.k8s.io", "v1", "deviceclasses", 34),
    ("resource.k8s.io", "v1", "resourceclaims", 34),
    ("resource.k8s.io", "v1", "resourceclaimtemplates", 34),
    ("resource.k8s.io", "v1", "resourceslices", 34),
    ("storage.k8s.io", "v1", "volumeattributesclasses", 34),
];

impl Resource {
    /// The minor of version 1 that the kind came with in this version of its group; 0 when it was there in every version
    /// that can be emulated, as everything is that a CustomResourceDefinition defines.
    pub fn introduced(&self) -> u32 {
        let same = |(group, version, plural, _): &(&str, &str, &str, u32)| {
            self.custom.is_none()
                && *group == self.gvk.group
                && *version == self.gvk.version
                && *plural == self.plural
        };
        LATER
            .iter()
            .find(|later| same(later))
            .map_or(0, |(.., minor)| *minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Registry;

    #[test]
    fn what_came_later_is_registered() {
        let registry = Registry::built_in();
        for (group, version, plural, minor) in LATER {
            let row = registry.resource(group, version, plural);
            assert_eq!(row.map(|row| row.introduced()), Some(minor), "{plural}");
        }
        let whole = registry.iter().filter(|row| row.gvk.group == "resource.k8s.io");
        assert!(whole.into_iter().all(|row| row.introduced() == 34));
        let pods = registry.resource("", "v1", "pods").unwrap();
        assert_eq!(pods.introduced(), 0);
    }
}
