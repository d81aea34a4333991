//! --runtime-config: which groups, versions and resources are served.

use anyhow::{Context, bail};
use api::{Features, Registry};
use component_config::kube_apiserver::RuntimeSetting;
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

/// The built-in kinds that the settings leave. What is more exact goes before what is less.
pub fn registry(settings: &[RuntimeSetting], features: Features) -> anyhow::Result<Registry> {
    settle(settings, features).context("--runtime-config")
}

fn settle(settings: &[RuntimeSetting], features: Features) -> anyhow::Result<Registry> {
    let all = Registry::with_features(features);
    // The last word about a key counts.
    let settings: BTreeMap<&str, bool> = settings
        .iter()
        .map(|one| (one.key.as_str(), one.enabled))
        .collect();
    let names = |row: &api::Resource| {
        let group = if row.gvk.group.is_empty() {
            "api"
        } else {
            &row.gvk.group
        };
        let version = format!("{group}/{}", row.gvk.version);
        let resource = format!("{version}/{}", row.plural);
        (version, resource)
    };
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
            let (version, resource) = names(row);
            version == *key || resource == *key
        });
        if !known {
            bail!("{key}: no such group/version or group/version/resource is in this implementation");
        }
    }
    let enabled = |row: &api::Resource| {
        let (version, resource) = names(row);
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

    fn served(settings: &[(&str, bool)]) -> anyhow::Result<Registry> {
        let settings: Vec<RuntimeSetting> = settings
            .iter()
            .map(|(key, enabled)| RuntimeSetting {
                key: (*key).to_owned(),
                enabled: *enabled,
            })
            .collect();
        registry(&settings, Features::default())
    }

    #[test]
    fn the_most_exact_setting_counts() {
        for (settings, cron_jobs, jobs, pods) in [
            (&[][..], true, true, true),
            (&[("batch/v1", false)], false, false, true),
            (&[("batch/v1/cronjobs", false)], false, true, true),
            (&[("batch/v1", false), ("batch/v1/jobs", true)], false, true, true),
            (&[("api/all", false), ("api/v1", true)], false, false, true),
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
    }

    #[test]
    fn a_version_that_others_are_stored_in_stays() {
        let error = served(&[("autoscaling/v2", false)]).unwrap_err();
        assert!(format!("{error:#}").contains("autoscaling/v2"), "{error:#}");
        let events = served(&[("api/v1/events", false)]).unwrap_err();
        assert!(format!("{events:#}").contains("events.k8s.io/v1"), "{events:#}");
        assert!(served(&[("autoscaling/v2", false), ("autoscaling/v1", false)]).is_ok());
    }
}
