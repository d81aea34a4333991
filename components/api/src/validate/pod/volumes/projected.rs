//! Volumes that are put together from several sources.
use super::{keys, mode, reserved_path};
use crate::validate::internal;
use crate::validate::pod::environment;
use crate::validate::shared::{label_selector, texts};
use crate::validate::signer_name;
use crate::value::{at, int, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::names;
use serde_json::Value;
use std::collections::HashSet;

const TWICE: &str = "conflicting duplicate paths";

/// How long a token may last, in seconds.
const MIN_SECONDS: i64 = 600;
const MAX_SECONDS: i64 = 1 << 32;

/// Kinds of sources in the order in which upstream looks at them.
const KINDS: [&str; 6] = [
    "secret",
    "configMap",
    "downwardAPI",
    "serviceAccountToken",
    "clusterTrustBundle",
    "podCertificate",
];

/// Whether a token of a pod's volumes is projected to where it may not be.
pub(in crate::validate::pod) fn projects_tokens_elsewhere(spec: &Value) -> bool {
    let volumes = list(spec, &["volumes"]).iter();
    let mut sources = volumes.flat_map(|volume| list(volume, &["projected", "sources"]));
    sources.any(|source| {
        let file = text(source, &["serviceAccountToken", "path"]);
        !reserved_path(file, &Path::root()).is_empty()
    })
}

/// A volume of sources, in which tokens may be projected to `any_token_path`.
pub(super) fn check(value: &Value, any_token_path: bool, path: &Path) -> ErrorList {
    let mut errors: ErrorList = mode(value, "defaultMode", path).into_iter().collect();
    let mut places: HashSet<&str> = HashSet::new();
    for (index, source) in list(value, &["sources"]).iter().enumerate() {
        let own = path.child("sources").index(index);
        let mut count = 0;
        for kind in KINDS {
            let value = at(source, &[kind]);
            if value.is_null() {
                continue;
            }
            count += 1;
            let own = own.child(kind);
            errors.extend(match kind {
                "serviceAccountToken" => token(value, any_token_path, path, &own),
                _ => source_of(kind, value, &own),
            });
            // Each file is there once.
            let files: Vec<&str> = match kind {
                "serviceAccountToken" => Vec::new(),
                "clusterTrustBundle" => vec![text(value, &["path"])],
                "podCertificate" => ["credentialBundlePath", "keyPath", "certificateChainPath"]
                    .iter()
                    .map(|field| text(value, &[field]))
                    .filter(|file| !file.is_empty())
                    .collect(),
                _ => list(value, &["items"])
                    .iter()
                    .map(|item| text(item, &["path"]))
                    .filter(|file| !file.is_empty())
                    .collect(),
            };
            for file in files.into_iter().filter(|file| !places.insert(file)) {
                let shown = match kind {
                    "secret" | "configMap" => text(value, &["name"]),
                    _ => file,
                };
                errors.push(Error::invalid(path, shown, TWICE));
            }
        }
        match count {
            0 => errors.push(Error::required(&own, "must specify a projection type")),
            1 => {}
            _ => errors.push(Error::forbidden(
                &own,
                "may not specify more than 1 volume type per source",
            )),
        }
    }
    errors
}

fn source_of(kind: &str, value: &Value, path: &Path) -> ErrorList {
    match kind {
        "secret" | "configMap" => {
            let mut errors = ErrorList::new();
            if text(value, &["name"]).is_empty() {
                errors.push(Error::required(&path.child("name"), ""));
            }
            errors.extend(keys(value, path));
            errors
        }
        "downwardAPI" => list(value, &["items"])
            .iter()
            .flat_map(|file| environment::file(file, path))
            .collect(),
        "clusterTrustBundle" => trust_bundle(value, &Path::new(&format!("{path}PEM"))),
        _ => certificate(value, path),
    }
}

fn token(value: &Value, any_path: bool, volume: &Path, path: &Path) -> ErrorList {
    let seconds = int(value, &["expirationSeconds"]).unwrap_or(3600);
    let mut errors = ErrorList::new();
    let detail = if seconds < MIN_SECONDS {
        Some("may not specify a duration less than 10 minutes")
    } else {
        (seconds > MAX_SECONDS).then_some("may not specify a duration larger than 2^32 seconds")
    };
    errors.extend(detail.map(|detail| Error::invalid(&path.child("expirationSeconds"), seconds, detail)));
    // Upstream's path is the volume's.
    let file = text(value, &["path"]);
    if file.is_empty() {
        errors.push(Error::required(&volume.child("path"), ""));
    } else if !any_path {
        errors.extend(reserved_path(file, &volume.child("path")));
    }
    errors
}

/// The name of a bundle, which begins with that of its signer if it has one.
fn bundle_name(name: &str) -> Vec<String> {
    match name.rsplit_once(':') {
        Some(("", _)) => {
            vec!["ClusterTrustBundle without signer name must not have \":\" in its name".to_owned()]
        }
        Some((_, own)) => names::dns1123_subdomain(own),
        None => names::dns1123_subdomain(name),
    }
}

/// Upstream's path has a longer name than the field.
fn trust_bundle(value: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let (name, signer) = (at(value, &["name"]).as_str(), at(value, &["signerName"]).as_str());
    let selector = at(value, &["labelSelector"]);
    match (name, signer) {
        (Some(_), Some(_)) => errors.push(Error::invalid(
            path,
            internal::shown(internal::TRUST_BUNDLE, value),
            "only one of name and signerName may be used",
        )),
        (Some(name), None) => {
            if name.is_empty() {
                errors.push(Error::required(
                    &path.child("name"),
                    "must be a valid object name",
                ));
            }
            for message in bundle_name(name) {
                errors.push(Error::invalid(
                    &path.child("name"),
                    name,
                    format!("not a valid clustertrustbundlename: {message}"),
                ));
            }
            if !selector.is_null() {
                errors.push(Error::invalid(
                    &path.child("labelSelector"),
                    selector,
                    "labelSelector must be unset if name is specified",
                ));
            }
        }
        (None, Some(signer)) => {
            if signer.is_empty() {
                errors.push(Error::required(
                    &path.child("signerName"),
                    "must be a valid signer name",
                ));
            }
            errors.extend(signer_name(signer, &path.child("signerName")));
            errors.extend(label_selector(&path.child("labelSelector"), selector));
        }
        (None, None) => errors.push(Error::required(
            path,
            "either name or signerName must be specified",
        )),
    }
    let file = text(value, &["path"]);
    if file.is_empty() {
        errors.push(Error::required(&path.child("path"), ""));
    }
    errors.extend(reserved_path(file, &path.child("path")));
    errors
}

/// A certificate lasts an hour at least and ninety-one days at most, or a day if Kubernetes' own signers give it.
const MIN_CERTIFICATE: i64 = 3600;
const MAX_CERTIFICATE: i64 = 91 * 24 * 3600;
const MAX_KUBERNETES_CERTIFICATE: i64 = 24 * 3600;

fn certificate(value: &Value, path: &Path) -> ErrorList {
    const TYPES: &[&str] = &[
        "ECDSAP256",
        "ECDSAP384",
        "ECDSAP521",
        "ED25519",
        "RSA3072",
        "RSA4096",
    ];
    let mut errors = signer_name(text(value, &["signerName"]), &path.child("signerName"));
    errors.extend(crate::validate::shared::one_of(
        &path.child("keyType"),
        at(value, &["keyType"]),
        TYPES,
    ));
    if let Some(seconds) = int(value, &["maxExpirationSeconds"]) {
        let host = text(value, &["signerName"]).split('/').next().unwrap_or("");
        let most = if host == "kubernetes.io" || host.ends_with(".kubernetes.io") {
            MAX_KUBERNETES_CERTIFICATE
        } else {
            MAX_CERTIFICATE
        };
        let bound = match seconds {
            _ if seconds < MIN_CERTIFICATE => Some(format!(">= {MIN_CERTIFICATE}")),
            _ if seconds > most => Some(format!("<= {most}")),
            _ => None,
        };
        errors.extend(bound.map(|bound| {
            let why = format!("if provided, maxExpirationSeconds must be {bound}");
            Error::invalid(&path.child("maxExpirationSeconds"), seconds, why)
        }));
    }
    let mut given = 0;
    for field in ["credentialBundlePath", "keyPath", "certificateChainPath"] {
        let file = text(value, &[field]);
        given += usize::from(!file.is_empty());
        errors.extend(reserved_path(file, &path.child(field)));
    }
    if given == 0 {
        errors.push(Error::required(
            path,
            "specify at least one of credentialBundlePath, keyPath, and certificateChainPath",
        ));
    }
    for (key, _) in at(value, &["userAnnotations"]).as_object().into_iter().flatten() {
        errors.extend(texts(
            &path.child("userAnnotations"),
            key,
            names::qualified_name(key),
        ));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn certificates_last_as_long_as_their_signers_let_them() {
        let most = |most: u32| format!("if provided, maxExpirationSeconds must be <= {most}");
        let least = || "if provided, maxExpirationSeconds must be >= 3600".to_owned();
        for (signer, seconds, expected) in [
            ("example.com/a", json!(null), None),
            ("example.com/a", json!(3600), None),
            ("example.com/a", json!(7_862_400), None),
            ("example.com/a", json!(3599), Some(least())),
            ("example.com/a", json!(7_862_401), Some(most(7_862_400))),
            ("kubernetes.io/a", json!(86_400), None),
            ("kubernetes.io/a", json!(86_401), Some(most(86_400))),
            ("a.kubernetes.io/a", json!(86_401), Some(most(86_400))),
            ("akubernetes.io/a", json!(86_401), None),
        ] {
            let value = json!({"signerName": signer, "keyType": "ED25519", "keyPath": "k", "maxExpirationSeconds": seconds});
            let found: Vec<String> = certificate(&value, &Path::new("p"))
                .iter()
                .map(ToString::to_string)
                .collect();
            let expected: Vec<String> = expected
                .map(|why| format!("p.maxExpirationSeconds: Invalid value: {seconds}: {why}"))
                .into_iter()
                .collect();
            assert_eq!(found, expected, "{signer} {seconds}");
        }
    }
}
