//! EncryptionConfiguration: read strictly, checked before anything starts.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::kms::Kms;
use super::provider::{Cipher, NamedKey, Provider};
use std::path::PathBuf;
use std::time::Duration;

/// How long a key management service may take to answer, if the configuration doesn't say.
const KMS_TIMEOUT: Duration = Duration::from_secs(3);

/// What is wrong with the configuration; never contains a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("EncryptionConfiguration: {field}: {message}")]
pub struct EncryptionConfigError {
    pub field: String,
    pub message: String,
}

fn wrong<T>(field: impl Into<String>, message: impl Into<String>) -> Result<T, EncryptionConfigError> {
    Err(EncryptionConfigError {
        field: field.into(),
        message: message.into(),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Configuration {
    api_version: String,
    kind: String,
    #[serde(default)]
    resources: Vec<Resources>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resources {
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    providers: Vec<ProviderConfig>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProviderConfig {
    aesgcm: Option<Keys>,
    aescbc: Option<Keys>,
    secretbox: Option<Keys>,
    identity: Option<Identity>,
    kms: Option<KmsConfig>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    #[serde(default)]
    keys: Vec<Key>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    #[serde(default)]
    name: String,
    #[serde(default)]
    secret: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct KmsConfig {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    endpoint: String,
    #[serde(default)]
    timeout: Option<String>,
    /// Of version 1 only.
    cachesize: Option<serde_json::Value>,
}

/// A resource by name, all of a group, or all.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Selector {
    resource: String,
    group: String,
}

impl std::fmt::Display for Selector {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.resource.as_str(), self.group.as_str()) {
            ("*", "") => formatter.write_str("*."),
            (resource, "") => formatter.write_str(resource),
            (resource, group) => write!(formatter, "{resource}.{group}"),
        }
    }
}

impl Selector {
    fn parse(text: &str) -> Self {
        let (resource, group) = text.split_once('.').unwrap_or((text, ""));
        Selector {
            resource: resource.to_owned(),
            group: group.to_owned(),
        }
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        let (resource, group) = name.split_once('.').unwrap_or((name, ""));
        (self.resource == "*" || self.resource == resource)
            && (self.group == group || (self.group == "*" && self.resource == "*"))
    }

    /// The earlier selector that takes all that this one selects.
    fn mask<'a>(&self, earlier: &[&'a Selector]) -> Option<&'a Selector> {
        let of_group = |other: &Selector| other.resource == "*" && other.group == self.group;
        let mut masks = earlier
            .iter()
            .filter(|other| of_group(other) || other.is_everything());
        masks.next().copied()
    }

    fn is_everything(&self) -> bool {
        self.resource == "*" && self.group == "*"
    }

    fn overlaps(&self, other: &Selector) -> bool {
        self.is_everything()
            || other.is_everything()
            || (self.group == other.group && (self.resource == "*" || other.resource == "*"))
    }
}

pub(super) fn parse(text: &str) -> Result<Vec<(Vec<Selector>, Vec<Provider>)>, EncryptionConfigError> {
    // Errors of the parser quote what they found, which may be a secret; the place is enough.
    let config: Configuration = serde_yaml_ng::from_str(text).or_else(|error| {
        let place = match error.location() {
            Some(at) => format!("line {}, column {}", at.line(), at.column()),
            None => "the file".to_owned(),
        };
        let text = error.to_string();
        let message = match text.contains("unknown field") || text.contains("missing field") {
            true => text,
            false => "not of the expected form".to_owned(),
        };
        wrong(place, message)
    })?;
    if (config.api_version.as_str(), config.kind.as_str())
        != ("apiserver.config.k8s.io/v1", "EncryptionConfiguration")
    {
        return wrong(
            "apiVersion",
            "expected apiserver.config.k8s.io/v1, kind EncryptionConfiguration",
        );
    }
    if config.resources.is_empty() {
        return wrong("resources", "at least one entry is required");
    }
    let entries = config
        .resources
        .into_iter()
        .enumerate()
        .map(|(index, entry)| {
            let field = format!("resources[{index}]");
            let selectors = selectors(&format!("{field}.resources"), &entry.resources)?;
            if entry.providers.is_empty() {
                return wrong(format!("{field}.providers"), "at least one provider is required");
            }
            let providers = entry
                .providers
                .into_iter()
                .enumerate()
                .map(|(index, provider)| provider_of(format!("{field}.providers[{index}]"), provider))
                .collect::<Result<_, _>>()?;
            Ok((selectors, providers))
        })
        .collect::<Result<Vec<_>, _>>()?;
    check_masks(&entries)?;
    check_names(&entries)?;
    Ok(entries)
}

/// Stored values name their service, so no two may have the same name.
fn check_names(entries: &[(Vec<Selector>, Vec<Provider>)]) -> Result<(), EncryptionConfigError> {
    let mut seen: Vec<&str> = Vec::new();
    for (entry, (_, providers)) in entries.iter().enumerate() {
        for (index, provider) in providers.iter().enumerate() {
            let Provider::Kms(service) = provider else {
                continue;
            };
            if seen.contains(&service.name()) {
                return wrong(
                    format!("resources[{entry}].providers[{index}].kms.name"),
                    format!(
                        "duplicate KMS provider name {}, names must be unique",
                        service.name()
                    ),
                );
            }
            seen.push(service.name());
        }
    }
    Ok(())
}

/// A selector behind a wildcard that takes all of it would never count, and its resources would not be as safe as its entry
/// says.
fn check_masks(entries: &[(Vec<Selector>, Vec<Provider>)]) -> Result<(), EncryptionConfigError> {
    let mut earlier: Vec<&Selector> = Vec::new();
    for (entry, (selectors, _)) in entries.iter().enumerate() {
        for (index, selector) in selectors.iter().enumerate() {
            if let Some(mask) = selector.mask(&earlier) {
                return wrong(
                    format!("resources[{entry}].resources[{index}]"),
                    format!(
                        "resource {:?} is masked by earlier rule {:?}",
                        selector.to_string(),
                        mask.to_string()
                    ),
                );
            }
            earlier.push(selector);
        }
    }
    Ok(())
}

fn selectors(field: &str, resources: &[String]) -> Result<Vec<Selector>, EncryptionConfigError> {
    if resources.is_empty() {
        return wrong(field, "at least one resource is required");
    }
    let mut selectors: Vec<Selector> = Vec::new();
    for (index, resource) in resources.iter().enumerate() {
        let field = format!("{field}[{index}]");
        let selector = Selector::parse(resource);
        let message = if resource.to_lowercase() != *resource {
            "resource name should not contain capital letters"
        } else if resource == "*" {
            "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources"
        } else if [
            "apiserveripinfo",
            "serviceipallocations",
            "servicenodeportallocations",
        ]
        .contains(&resource.as_str())
        {
            "resources which do not have REST API/s cannot be encrypted"
        } else if selector.group == "events.k8s.io" {
            "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead"
        } else if selector.group == "extensions" {
            "'extensions' group has been removed and cannot be used for encryption"
        } else if selector.group == "*" && selector.resource != "*" {
            "encrypting the same resource across groups is not supported"
        } else if selectors.contains(&selector) {
            "the same resource cannot be specified multiple times"
        } else if selectors.iter().any(|other| other.overlaps(&selector)) {
            "using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed"
        } else {
            selectors.push(selector);
            continue;
        };
        return wrong(field, format!("{resource:?}: {message}"));
    }
    Ok(selectors)
}

fn provider_of(field: String, config: ProviderConfig) -> Result<Provider, EncryptionConfigError> {
    let mut found = Vec::new();
    if let Some(service) = config.kms {
        found.push(Provider::Kms(kms(&format!("{field}.kms"), service)?));
    }
    for (name, cipher, keys) in [
        ("aesgcm", Cipher::AesGcm, config.aesgcm),
        ("aescbc", Cipher::AesCbc, config.aescbc),
        ("secretbox", Cipher::Secretbox, config.secretbox),
    ] {
        if let Some(keys) = keys {
            found.push(Provider::Cipher(
                cipher,
                named_keys(&format!("{field}.{name}.keys"), cipher, keys.keys)?,
            ));
        }
    }
    if config.identity.is_some() {
        found.push(Provider::Identity);
    }
    match (found.pop(), found.is_empty()) {
        (Some(provider), true) => Ok(provider),
        (Some(_), false) => wrong(
            field,
            "more than one provider in one element, split it into several",
        ),
        (None, _) => wrong(field, "expected one of aesgcm, aescbc, secretbox, kms, identity"),
    }
}

fn kms(field: &str, config: KmsConfig) -> Result<Kms, EncryptionConfigError> {
    if config.api_version != "v2" {
        return wrong(
            format!("{field}.apiVersion"),
            format!(
                "unsupported apiVersion {:?} for KMS provider, only v2 is supported",
                config.api_version
            ),
        );
    }
    if config.cachesize.is_some() {
        return wrong(format!("{field}.cachesize"), "cachesize is not supported in v2");
    }
    if config.name.is_empty() || config.name.contains(':') {
        return wrong(
            format!("{field}.name"),
            format!("{:?}: a name is required, and must not contain ':'", config.name),
        );
    }
    let Some(socket) = config
        .endpoint
        .strip_prefix("unix://")
        .filter(|path| path.starts_with('/'))
    else {
        return wrong(
            format!("{field}.endpoint"),
            format!("{:?}: must be of the form unix:///path", config.endpoint),
        );
    };
    let timeout = match config.timeout.as_deref() {
        None => KMS_TIMEOUT,
        Some(text) => match duration(text).filter(|timeout| !timeout.is_zero()) {
            Some(timeout) => timeout,
            None => {
                return wrong(
                    format!("{field}.timeout"),
                    format!("{text:?}: must be a positive duration"),
                );
            }
        },
    };
    Kms::new(&config.name, PathBuf::from(socket), timeout).or_else(|message| wrong(field, message))
}

/// `3s`, `500ms`, `1m`.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let number: f64 = text[..digits].parse().ok()?;
    let seconds = match &text[digits..] {
        "ms" => number / 1000.0,
        "s" => number,
        "m" => number * 60.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds).ok()
}

fn named_keys(field: &str, cipher: Cipher, keys: Vec<Key>) -> Result<Vec<NamedKey>, EncryptionConfigError> {
    if keys.is_empty() {
        return wrong(field, "at least one key is required");
    }
    keys.into_iter()
        .enumerate()
        .map(|(index, key)| {
            let field = format!("{field}[{index}]");
            if key.name.is_empty() {
                return wrong(format!("{field}.name"), "name is a mandatory field for a key");
            }
            if key.secret.is_empty() {
                return wrong(format!("{field}.secret"), "secret is a mandatory field for a key");
            }
            let Ok(secret) = STANDARD.decode(&key.secret) else {
                return wrong(format!("{field}.secret"), "secrets must be base64 encoded");
            };
            NamedKey::new(cipher, &key.name, &secret)
                .or_else(|message| wrong(format!("{field}.secret"), message))
        })
        .collect()
}
