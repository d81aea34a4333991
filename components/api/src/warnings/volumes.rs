//! Volumes of pods: plugins that are gone, and files that are written over each other.
use super::{plugins, storage};
use crate::value::{at, list, text};
use apimachinery::field::quote;
use serde_json::Value;

/// About the volumes of a spec, which is at `path`.
pub(super) fn check(spec: &Value, path: &str, warnings: &mut Vec<String>) {
    let volumes = list(spec, &["volumes"]);
    for (index, volume) in volumes.iter().enumerate() {
        warnings.extend(plugins::of_pod(volume, || format!("{path}.volumes[{index}]")));
        let claim = at(volume, &["ephemeral", "volumeClaimTemplate", "spec"]);
        if claim.is_object() {
            let path = || format!("{path}.volumes[{index}].ephemeral.volumeClaimTemplate.spec");
            storage::claim_spec(claim, path, warnings);
        }
    }
    for volume in volumes {
        overlapping(volume, warnings);
    }
}

/// Where a file of a volume goes, and from where it comes when there are several sources.
#[derive(Clone, PartialEq)]
struct File<'a> {
    path: &'a str,
    source: String,
}

impl std::fmt::Display for File<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&quote(self.path))?;
        if !self.source.is_empty() {
            write!(formatter, " ({})", self.source)?;
        }
        Ok(())
    }
}

/// Of one file and another before it, the one written later wins, or neither can be written.
fn overlapping(volume: &Value, warnings: &mut Vec<String>) {
    let name = || quote(text(volume, &["name"]));
    for (field, kind, source) in [
        ("configMap", "ConfigMap", "name"),
        ("secret", "Secret", "secretName"),
        ("downwardAPI", "DownwardAPI", ""),
    ] {
        let holder = at(volume, &[field]);
        for collision in collisions(files(holder, "")) {
            let shown = described(kind, source, holder);
            warnings.push(format!(
                "volume {} ({shown}): overlapping paths: {collision}",
                name()
            ));
        }
    }
    let mut all = Vec::new();
    for source in list(volume, &["projected", "sources"]) {
        if source.as_object().is_none_or(serde_json::Map::is_empty) {
            warnings.push(format!("volume {} (Projected) has no sources provided", name()));
            continue;
        }
        all.extend(projected(source));
    }
    for collision in collisions(all) {
        warnings.push(format!(
            "volume {} (Projected): overlapping paths: {collision}",
            name()
        ));
    }
}

fn described(kind: &str, source: &str, holder: &Value) -> String {
    if source.is_empty() {
        kind.to_owned()
    } else {
        format!("{kind} {}", quote(text(holder, &[source])))
    }
}

fn files<'a>(holder: &'a Value, source: &str) -> Vec<File<'a>> {
    let items = list(holder, &["items"]).iter();
    let file = |item: &'a Value| file(text(item, &["path"]), source);
    items.map(file).collect()
}

fn file<'a>(path: &'a str, source: &str) -> File<'a> {
    File {
        path: path.trim_end_matches('/'),
        source: source.to_owned(),
    }
}

/// The files of one source of a projected volume.
fn projected(source: &Value) -> Vec<File<'_>> {
    for (field, kind, name) in [
        ("configMap", "ConfigMap", "name"),
        ("secret", "Secret", "name"),
        ("downwardAPI", "DownwardAPI", ""),
    ] {
        let holder = at(source, &[field]);
        if holder.is_object() {
            return files(holder, &described(kind, name, holder));
        }
    }
    let token = at(source, &["serviceAccountToken"]);
    if token.is_object() {
        return vec![file(text(token, &["path"]), "ServiceAccountToken")];
    }
    let bundle = at(source, &["clusterTrustBundle"]);
    if bundle.is_object() {
        let by_name = at(bundle, &["name"]).as_str();
        let name = by_name.unwrap_or_else(|| text(bundle, &["signerName"]));
        let source = format!("ClusterTrustBundle {}", quote(name));
        return vec![file(text(bundle, &["path"]), &source)];
    }
    let certificate = at(source, &["podCertificate"]);
    [
        ("certificateChainPath", "PodCertificate chain"),
        ("keyPath", "PodCertificate key"),
        ("credentialBundlePath", "PodCertificate credential bundle"),
    ]
    .into_iter()
    .map(|(field, source)| file(text(certificate, &[field]), source))
    .filter(|file| !file.path.is_empty())
    .collect()
}

/// `"a" with "b"` for each file and those before it that are the same, or a folder of the other.
fn collisions(files: Vec<File<'_>>) -> Vec<String> {
    let within = |file: &str, folder: &str| {
        file.strip_prefix(folder)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let mut found = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let before = files[..index].iter().filter(|other| {
            !file.path.is_empty()
                && !other.path.is_empty()
                && (within(file.path, other.path) || within(other.path, file.path))
        });
        found.extend(before.map(|other| format!("{file} with {other}")));
    }
    found
}
