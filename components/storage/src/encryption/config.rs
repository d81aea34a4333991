//! EncryptionConfiguration: read strictly, checked before anything starts.

use apimachinery::field::quote;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};

use super::kms::Kms;
use super::provider::{Cipher, NamedKey, Provider};
use super::selector::{Selector, selectors};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How long a key management service may take to answer, if the configuration doesn't say.
const KMS_TIMEOUT: Duration = Duration::from_secs(3);

/// Everything that is wrong with the configuration; never contains a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptionConfigError(pub Vec<Mistake>);

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    pub field: String,
    pub message: String,
}

impl std::error::Error for EncryptionConfigError {}

impl fmt::Display for EncryptionConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told: Vec<String> = self
            .0
            .iter()
            .map(|Mistake { field, message }| format!("{field}: {message}"))
            .collect();
        match told.as_slice() {
            [only] => write!(formatter, "EncryptionConfiguration: {only}"),
            several => write!(formatter, "EncryptionConfiguration: [{}]", several.join(", ")),
        }
    }
}

pub(super) type Outcome<T> = Result<T, Vec<Mistake>>;

fn wrong<T>(field: impl Into<String>, message: impl Into<String>) -> Outcome<T> {
    Err(vec![Mistake {
        field: field.into(),
        message: message.into(),
    }])
}

fn invalid<T>(field: impl Into<String>, value: &str, why: &str) -> Outcome<T> {
    wrong(field, format!("Invalid value: {}: {why}", quote(value)))
}

pub(super) fn required<T>(field: impl Into<String>, why: &str) -> Outcome<T> {
    wrong(field, format!("Required value: {why}"))
}

/// What stands for a secret in an error.
const REDACTED: &str = "REDACTED";

/// All of them, or what is wrong with any.
fn all<T>(outcomes: impl IntoIterator<Item = Outcome<T>>) -> Outcome<Vec<T>> {
    let (mut good, mut mistakes) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        match outcome {
            Ok(value) => good.push(value),
            Err(more) => mistakes.extend(more),
        }
    }
    match mistakes.is_empty() {
        true => Ok(good),
        false => Err(mistakes),
    }
}

/// Both, or what is wrong with either.
fn both<A, B>(first: Outcome<A>, second: Outcome<B>) -> Outcome<(A, B)> {
    match (first, second) {
        (Ok(first), Ok(second)) => Ok((first, second)),
        (first, second) => {
            let mistakes = first.err().into_iter().chain(second.err());
            Err(mistakes.flatten().collect())
        }
    }
}

/// Null is an empty list.
fn listed<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Configuration {
    api_version: String,
    kind: String,
    #[serde(default, deserialize_with = "listed")]
    resources: Vec<Resources>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resources {
    #[serde(default, deserialize_with = "listed")]
    resources: Vec<String>,
    #[serde(default, deserialize_with = "listed")]
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
    #[serde(default, deserialize_with = "listed")]
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

/// One entry: resources, and their providers.
type Entry = (Vec<Selector>, Vec<Provider>);

pub(super) fn parse(text: &str) -> Result<Vec<Entry>, EncryptionConfigError> {
    read(text).map_err(EncryptionConfigError)
}

fn read(text: &str) -> Outcome<Vec<Entry>> {
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
    if !matches!(
        (config.api_version.as_str(), config.kind.as_str()),
        ("apiserver.config.k8s.io/v1", "EncryptionConfiguration")
            // As the first versions of the documentation had it; upstream reads it to this day.
            | ("v1", "EncryptionConfig")
    ) {
        return wrong(
            "apiVersion",
            "expected apiserver.config.k8s.io/v1, kind EncryptionConfiguration",
        );
    }
    if config.resources.is_empty() {
        return required("resources", "at least one resources is required");
    }
    let entries = all(config.resources.into_iter().enumerate().map(|(index, entry)| {
        let field = format!("resources[{index}]");
        let selectors = selectors(&format!("{field}.resources"), &entry.resources);
        both(
            selectors,
            providers(&format!("{field}.providers"), entry.providers),
        )
    }))?;
    both(check_masks(&entries), check_names(&entries))?;
    Ok(entries)
}

fn providers(field: &str, configs: Vec<ProviderConfig>) -> Outcome<Vec<Provider>> {
    if configs.is_empty() {
        return required(field, &format!("at least one {field} is required"));
    }
    let configs = configs.into_iter().enumerate();
    all(configs.map(|(index, config)| provider_of(format!("{field}[{index}]"), config)))
}

/// Stored values name their service, so no two may have the same name.
fn check_names(entries: &[Entry]) -> Outcome<()> {
    let mut seen: Vec<&str> = Vec::new();
    let mut mistakes = Vec::new();
    for (entry, (_, providers)) in entries.iter().enumerate() {
        for (index, provider) in providers.iter().enumerate() {
            let Provider::Kms(service) = provider else {
                continue;
            };
            if seen.contains(&service.name()) {
                mistakes.push(Mistake {
                    field: format!("resources[{entry}].providers[{index}].kms.name"),
                    message: format!(
                        "Invalid value: {}: duplicate KMS provider name {}, names must be unique",
                        quote(service.name()),
                        service.name()
                    ),
                });
            }
            seen.push(service.name());
        }
    }
    none_of(mistakes)
}

pub(super) fn none_of(mistakes: Vec<Mistake>) -> Outcome<()> {
    match mistakes.is_empty() {
        true => Ok(()),
        false => Err(mistakes),
    }
}

/// A selector behind a wildcard that takes all of it would never count, and its resources would not be as safe as its entry
/// says.
fn check_masks(entries: &[Entry]) -> Outcome<()> {
    let mut earlier: Vec<&Selector> = Vec::new();
    let mut mistakes = Vec::new();
    for (entry, (selectors, _)) in entries.iter().enumerate() {
        for (index, selector) in selectors.iter().enumerate() {
            if let Some(mask) = selector.mask(&earlier) {
                mistakes.push(Mistake {
                    field: format!("resources[{entry}].resources[{index}]"),
                    message: format!(
                        "resource {:?} is masked by earlier rule {:?}",
                        selector.to_string(),
                        mask.to_string()
                    ),
                });
            }
            earlier.push(selector);
        }
    }
    none_of(mistakes)
}

fn provider_of(field: String, config: ProviderConfig) -> Outcome<Provider> {
    let mut found = Vec::new();
    if let Some(service) = config.kms {
        found.push(kms(&format!("{field}.kms"), service).map(Provider::Kms));
    }
    for (name, cipher, keys) in [
        ("aesgcm", Cipher::AesGcm, config.aesgcm),
        ("aescbc", Cipher::AesCbc, config.aescbc),
        ("secretbox", Cipher::Secretbox, config.secretbox),
    ] {
        if let Some(keys) = keys {
            let keys = named_keys(&format!("{field}.{name}.keys"), cipher, keys.keys);
            found.push(keys.map(|keys| Provider::Cipher(cipher, keys)));
        }
    }
    if config.identity.is_some() {
        found.push(Ok(Provider::Identity));
    }
    let only = match found.len() {
        0 => wrong(
            &*field,
            "Invalid value: {\"AESGCM\":null,\"AESCBC\":null,\"Secretbox\":null,\"Identity\":null,\"KMS\":null}: provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity",
        ),
        1 => Ok(()),
        // Upstream shows it, with its secrets.
        _ => invalid(
            &*field,
            REDACTED,
            "more than one provider specified in a single element, should split into different list elements",
        ),
    };
    let ((), mut found) = both(only, all(found))?;
    match found.pop() {
        Some(provider) => Ok(provider),
        None => wrong(field, "a provider is required"),
    }
}

fn kms(field: &str, config: KmsConfig) -> Outcome<Kms> {
    let mut mistakes = Vec::new();
    let mut note = |outcome: Outcome<()>| mistakes.extend(outcome.err().into_iter().flatten());
    let member = |name: &str| format!("{field}.{name}");
    let name = config.name.as_str();
    if name.is_empty() {
        note(required(
            member("name"),
            "name is a mandatory field for a provider",
        ));
    } else if name.contains(':') {
        let why = format!("invalid KMS provider name {name}, must not contain ':'");
        note(invalid(member("name"), name, &why));
    }
    let timeout = match config.timeout.as_deref() {
        None => Some(KMS_TIMEOUT),
        Some(text) => duration(text).filter(|timeout| !timeout.is_zero()),
    };
    if timeout.is_none() {
        let given = config.timeout.as_deref().unwrap_or_default();
        note(invalid(
            member("timeout"),
            given,
            "timeout should be a positive value",
        ));
    }
    let endpoint = config.endpoint.as_str();
    let socket = socket(endpoint);
    if socket.is_none() {
        let scheme = endpoint.split_once(':').map_or("", |(scheme, _)| scheme);
        let why = match scheme {
            _ if endpoint.is_empty() => "endpoint is a mandatory field for a kms".to_owned(),
            "unix" => "must be of the form unix:///path".to_owned(),
            other => format!("unsupported scheme {other:?} for KMS provider, only unix is supported"),
        };
        note(invalid(member("endpoint"), endpoint, &why));
    }
    if let Some(given) = &config.cachesize {
        let message = format!("Invalid value: {given}: cachesize is not supported in v2");
        note(wrong(member("cachesize"), message));
    }
    if config.api_version != "v2" {
        let given = config.api_version.as_str();
        let why = format!("unsupported apiVersion {given:?} for KMS provider, only v2 is supported");
        note(invalid(member("apiVersion"), given, &why));
    }
    none_of(mistakes)?;
    let socket = socket.unwrap_or_default();
    Kms::new(&config.name, socket, timeout.unwrap_or(KMS_TIMEOUT)).or_else(|message| wrong(field, message))
}

/// Where a URL leads: to a path, or by `/@` to an abstract name.
fn socket(endpoint: &str) -> Option<PathBuf> {
    let rest = endpoint.strip_prefix("unix:")?;
    // A host means nothing to a socket.
    let path = match rest.strip_prefix("//") {
        Some(rest) => &rest[rest.find('/')?..],
        None => rest,
    };
    match path.strip_prefix("/@") {
        Some(name) => Some(PathBuf::from(format!("\0{name}"))),
        None => path.starts_with('/').then(|| PathBuf::from(path)),
    }
}

/// As Go writes them: `3s`, `1m30s`.
fn duration(text: &str) -> Option<Duration> {
    let nanoseconds = apimachinery::time::parse_duration(text).ok()?;
    u64::try_from(nanoseconds).ok().map(Duration::from_nanos)
}

fn named_keys(field: &str, cipher: Cipher, keys: Vec<Key>) -> Outcome<Vec<NamedKey>> {
    if keys.is_empty() {
        return required(field, "at least one keys is required");
    }
    all(keys.into_iter().enumerate().map(|(index, key)| {
        let field = format!("{field}[{index}]");
        let name = match key.name.is_empty() {
            true => required(format!("{field}.name"), "name is a mandatory field for a key"),
            false => Ok(()),
        };
        let field = format!("{field}.secret");
        let key = match STANDARD.decode(&key.secret) {
            _ if key.secret.is_empty() => required(field, "secret is a mandatory field for a key"),
            Ok(secret) => NamedKey::new(cipher, &key.name, &secret)
                .or_else(|message| invalid(field, REDACTED, &message)),
            Err(_) => invalid(field, REDACTED, "secrets must be base64 encoded"),
        };
        both(name, key).map(|((), key)| key)
    }))
}
