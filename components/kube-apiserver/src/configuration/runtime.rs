//! Which groups, versions and resources are served: by the version that is emulated, and by --runtime-config.

use super::emulation::Emulation;
use anyhow::{Context, bail};
use api::{Features, Registry};
use component_config::kube_apiserver::{ApiServerFlags, RuntimeSetting};
use std::collections::BTreeMap;

/// Versions by how far they have come.
const LEVELS: [(&str, fn(&str) -> bool); 4] = [
    ("api/all", |_| true),
    ("api/ga", |version| {
        !version.contains("alpha") && !version.contains("beta")
    }),
    ("api/beta", |version| version.contains("beta")),
    ("api/alpha", |version| version.contains("alpha")),
];

/// The built-in kinds that the flags leave.
pub fn registry(flags: &ApiServerFlags, features: Features) -> anyhow::Result<Registry> {
    let emulation = Emulation {
        version: flags.version.emulated,
        forward: flags.emulation_forward_compatible,
        named: flags.runtime_config_emulation_forward_compatible,
    };
    let left = settle(&flags.serving.runtime_config, emulation, features).context("--runtime-config")?;
    Ok(left.readable_by(flags.version.min_compatibility.minor))
}

/// The row's keys in --runtime-config: `group/version`, `group/version/resource`; the core group is the empty word.
pub(super) fn keys(row: &api::Resource) -> (String, String) {
    let version = format!("{}/{}", row.gvk.group, row.gvk.version);
    let resource = format!("{version}/{}", row.plural);
    (version, resource)
}

/// Groups of keys that this implementation has nothing of.
fn unknown_groups<'a>(
    all: &Registry,
    keys: impl Iterator<Item = &'a &'a str>,
) -> anyhow::Result<Vec<&'a str>> {
    let mut unknown = Vec::new();
    for key in keys.filter(|key| !LEVELS.iter().any(|(level, _)| level == *key)) {
        let group = match key.split('/').collect::<Vec<_>>().as_slice() {
            [group, _] | [group, _, _] => *group,
            _ => bail!("runtime-config invalid key {key}"),
        };
        if !all.iter().any(|row| row.gvk.group == group) {
            unknown.push(group);
        }
    }
    Ok(unknown)
}

/// What is more exact goes before what is less.
fn settle(settings: &[RuntimeSetting], emulation: Emulation, features: Features) -> anyhow::Result<Registry> {
    let all = Registry::with_features(features);
    // The last word about a key counts.
    let settings: BTreeMap<&str, bool> = settings
        .iter()
        .map(|one| (one.key.as_str(), one.enabled))
        .collect();
    if settings.len() == 1 && settings.get("api/all") == Some(&false) {
        bail!("invalid key with only api/all=false");
    }
    let unknown = unknown_groups(&all, settings.keys())?;
    if !unknown.is_empty() {
        bail!("unknown api groups {}", unknown.join(","));
    }
    for (key, enabled) in &settings {
        if let Some((level, _)) = LEVELS.iter().find(|(level, _)| level == key) {
            if *enabled && *level != "api/ga" {
                bail!(
                    "{level}=true would serve versions that are off by default, which are not in this implementation; name what is to be off"
                );
            }
            continue;
        }
        let known = all.iter().any(|row| {
            let (version, resource) = keys(row);
            version == *key || resource == *key
        });
        if !known {
            bail!("{key}: no such group/version or group/version/resource is in this implementation");
        }
    }
    let all = emulation.leave(&all, |key| settings.get(key).copied() == Some(true))?;
    let enabled = |row: &api::Resource| {
        let (version, resource) = keys(row);
        let level = || {
            let of_row = LEVELS.iter().filter(|(_, covers)| covers(&row.gvk.version));
            of_row.filter_map(|(level, _)| settings.get(level)).next_back()
        };
        let exact = settings
            .get(resource.as_str())
            .or_else(|| settings.get(version.as_str()));
        exact.or_else(level).copied().unwrap_or(true)
    };
    let mut left = all.clone();
    for row in all.iter().filter(|row| !enabled(row)) {
        left.remove(&row.gvr());
    }
    for row in left.iter().filter(|row| row.is_stored()) {
        // Two groups may store the same objects, as those of events do.
        let stored = left.iter().any(|other| {
            other.storage_prefix == row.storage_prefix && other.gvk.group_version() == row.storage_version
        });
        if !stored {
            bail!(
                "{} is served in {} and stored in {}, which can't be turned off alone",
                row.plural,
                row.gvk.group_version(),
                row.storage_version
            );
        }
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use component_config::versions::Version;

    fn served(settings: &[(&str, bool)]) -> anyhow::Result<Registry> {
        served_in(36, false, false, settings)
    }

    fn served_in(
        minor: u32,
        forward: bool,
        named: bool,
        settings: &[(&str, bool)],
    ) -> anyhow::Result<Registry> {
        let settings: Vec<RuntimeSetting> = settings
            .iter()
            .map(|(key, enabled)| RuntimeSetting {
                key: (*key).to_owned(),
                enabled: *enabled,
            })
            .collect();
        let version = Version::new(1, minor);
        settle(
            &settings,
            Emulation {
                version,
                forward,
                named,
            },
            Features::default(),
        )
    }

    /// Resources that not all versions have, by their shortest names.
    fn later(registry: &Registry) -> String {
        let all = [
            (
                "admissionregistration.k8s.io",
                "mutatingadmissionpolicies",
                "policies",
            ),
            ("resource.k8s.io", "resourceclaims", "claims"),
            ("resource.k8s.io", "deviceclasses", "devices"),
            ("storage.k8s.io", "volumeattributesclasses", "classes"),
        ];
        let there = all
            .iter()
            .filter(|(group, plural, _)| registry.resource(group, "v1", plural).is_some());
        there.map(|(.., name)| *name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_came_after_the_emulated_version_is_not_served_unless_it_is_asked_for() {
        let claims = &[("resource.k8s.io/v1/resourceclaims", true)][..];
        let group = &[("resource.k8s.io/v1", true)][..];
        for (minor, forward, named, settings, there) in [
            (36, false, false, &[][..], "policies claims devices classes"),
            (35, false, false, &[], "claims devices classes"),
            (34, false, false, &[], "claims devices classes"),
            (33, false, false, &[], ""),
            // No older version of theirs is here that could bring them.
            (33, true, false, &[], ""),
            (33, false, true, &[], ""),
            (33, false, true, claims, "claims"),
            (33, false, true, group, "claims devices"),
            (33, false, true, &[("api/ga", true)], ""),
            (
                35,
                false,
                true,
                &[("admissionregistration.k8s.io/v1", true)],
                "policies claims devices classes",
            ),
            // The version has older resources, so that it is no error to name it.
            (
                35,
                false,
                false,
                &[("admissionregistration.k8s.io/v1", true)],
                "claims devices classes",
            ),
            (34, false, false, claims, "claims devices classes"),
            (33, false, false, &[("resource.k8s.io/v1", false)], ""),
        ] {
            let registry = served_in(minor, forward, named, settings).unwrap();
            assert_eq!(later(&registry), there, "{minor} {forward} {named} {settings:?}");
            assert!(registry.resource("apps", "v1", "deployments").is_some());
        }
    }

    #[test]
    fn what_came_later_cannot_be_asked_for_without_a_word() {
        for (key, said) in [
            (
                "resource.k8s.io/v1/resourceclaims",
                "cannot enable resource resource.k8s.io/v1, Resource=resourceclaims in runtime-config because it is introduced \
                 at 1.34 after the current version 1.33. Consider setting --runtime-config-emulation-forward-compatible=true",
            ),
            (
                "resource.k8s.io/v1",
                "cannot enable version resource.k8s.io/v1 in runtime-config because all the resources have been introduced \
                 after the current version 1.33. Consider setting --runtime-config-emulation-forward-compatible=true",
            ),
        ] {
            let error = served_in(33, false, false, &[(key, true)]).unwrap_err();
            assert_eq!(error.to_string(), said);
        }
    }

    #[test]
    fn the_most_exact_setting_counts() {
        for (settings, cron_jobs, jobs, pods) in [
            (&[][..], true, true, true),
            (&[("batch/v1", false)], false, false, true),
            (&[("batch/v1/cronjobs", false)], false, true, true),
            (&[("batch/v1", false), ("batch/v1/jobs", true)], false, true, true),
            (&[("api/all", false), ("/v1", true)], false, false, true),
            (&[("api/ga", false)], false, false, false),
            (&[("events.k8s.io/v1", false)], true, true, true),
            (&[("api/all", false), ("api/ga", true)], true, true, true),
            (&[("api/beta", false), ("api/alpha", false)], true, true, true),
        ] {
            let registry = served(settings).unwrap();
            let has = |group, resource| registry.resource(group, "v1", resource).is_some();
            assert_eq!(has("batch", "cronjobs"), cron_jobs, "{settings:?}");
            assert_eq!(has("batch", "jobs"), jobs, "{settings:?}");
            assert_eq!(has("", "pods"), pods, "{settings:?}");
        }
    }

    #[test]
    fn what_is_not_here_cannot_be_turned_on_or_off() {
        for key in ["api/all", "api/alpha", "api/beta"] {
            assert!(served(&[(key, true)]).is_err(), "{key}");
        }
        for key in ["nonsense", "apps/v7", "batch/v1/nonsense", "api/legacy"] {
            assert!(served(&[(key, false)]).is_err(), "{key}");
        }
        for (settings, said) in [
            (&[("api/all", false)][..], "invalid key with only api/all=false"),
            (&[("api/v1", true)], "unknown api groups api"),
            (&[("a/v1", true), ("b/v1/x", false)], "unknown api groups a,b"),
            (&[("v1", true)], "runtime-config invalid key v1"),
        ] {
            assert_eq!(served(settings).unwrap_err().to_string(), said);
        }
    }

    #[test]
    fn a_version_that_others_are_stored_in_stays() {
        let error = served(&[("autoscaling/v2", false)]).unwrap_err();
        assert!(format!("{error:#}").contains("autoscaling/v2"), "{error:#}");
        let events = served(&[("/v1/events", false)]).unwrap_err();
        assert!(format!("{events:#}").contains("events.k8s.io/v1"), "{events:#}");
        assert!(served(&[("autoscaling/v2", false), ("autoscaling/v1", false)]).is_ok());
    }
}
