//! Encryption at rest: which providers a resource uses, in which order. The stored form is upstream's.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;

use crate::error::StorageError;

mod config;
mod failure;
mod kms;
mod metrics;
mod provider;
mod selector;
#[cfg(test)]
mod tests;

pub use config::{EncryptionConfigError, Mistake};
use failure::Failure;
pub use kms::metrics as kms_metrics;
pub use metrics::register as register_metrics;
use metrics::{Uses, Way};
use provider::Provider;
use selector::Selector;

/// How encrypted values begin, whatever the provider.
const ENCRYPTED: &[u8] = b"k8s:enc:";
/// Bytes at the beginning of an encrypted value that tell its provider.
const HEAD: usize = 128;

/// Why another configuration is not taken up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReloadError {
    #[error(transparent)]
    Configuration(#[from] EncryptionConfigError),
    /// It may be taken up later.
    #[error("key management services: {0}")]
    Service(String),
}

/// Providers of every resource. The default stores plain text and refuses to read encrypted values. Copies share
/// what [`Transformers::reload`] changes.
#[derive(Clone)]
pub struct Transformers {
    current: Arc<ArcSwap<Rules>>,
}

/// One configuration.
struct Rules {
    /// Goes up with each configuration, so that objects read under another one are known.
    generation: u32,
    rules: Vec<(Selector, Providers)>,
    services: Vec<Arc<Provider>>,
    otherwise: Providers,
}

impl Rules {
    fn new(generation: u32, rules: Vec<(Vec<Selector>, Vec<Provider>)>) -> Self {
        let mut merged: Vec<(Selector, Providers)> = Vec::new();
        let mut services: Vec<Arc<Provider>> = Vec::new();
        for (selectors, providers) in rules {
            let providers: Vec<Arc<Provider>> = providers.into_iter().map(Arc::new).collect();
            let asked = providers
                .iter()
                .filter(|provider| matches!(***provider, Provider::Kms(_)));
            services.extend(asked.cloned());
            for selector in selectors {
                let known = merged.iter_mut().find(|(known, _)| *known == selector);
                match known {
                    // What one entry has written is read by the next one's providers as well.
                    Some((_, known)) => known.0.extend(providers.iter().cloned()),
                    None => merged.push((selector, Providers(providers.clone()))),
                }
            }
        }
        Rules {
            generation,
            rules: merged,
            services,
            otherwise: Providers(vec![Arc::new(Provider::Identity)]),
        }
    }

    fn services(&self) -> impl Iterator<Item = &kms::Kms> {
        self.services.iter().filter_map(|provider| match &**provider {
            Provider::Kms(service) => Some(service),
            _ => None,
        })
    }

    /// All are asked, and all that fail are told.
    fn check(&self) -> Result<(), String> {
        let failures: Vec<String> = self
            .services()
            .enumerate()
            .filter_map(|(index, service)| {
                let failure = service.check().err();
                failure.map(|why| format!("kms-provider-{index}: {why}"))
            })
            .collect();
        match failures.as_slice() {
            [] => Ok(()),
            [only] => Err(only.clone()),
            several => Err(format!("[{}]", several.join(", "))),
        }
    }

    /// The first selector that names the resource counts, exactly or by wildcard. None stands behind a wider one.
    fn of(&self, name: &str) -> &Providers {
        let found = self.rules.iter().find(|(selector, _)| selector.matches(name));
        found.map_or(&self.otherwise, |(_, providers)| providers)
    }
}

impl Default for Transformers {
    fn default() -> Self {
        Transformers {
            current: Arc::new(ArcSwap::from_pointee(Rules::new(0, Vec::new()))),
        }
    }
}

impl Transformers {
    /// Reads an EncryptionConfiguration (apiserver.config.k8s.io/v1) in YAML or JSON.
    pub fn from_config(text: &str) -> Result<Self, EncryptionConfigError> {
        let rules = Rules::new(0, config::parse(text)?);
        Ok(Transformers {
            current: Arc::new(ArcSwap::from_pointee(rules)),
        })
    }

    /// Uses another configuration from now on; a bad one changes nothing, nor does one whose key management services
    /// don't answer. Blocks for their answers.
    pub fn reload(&self, text: &str) -> Result<(), ReloadError> {
        let rules = config::parse(text)?;
        let next = Rules::new(self.current.load().generation + 1, rules);
        next.check().map_err(ReloadError::Service)?;
        self.current.store(Arc::new(next));
        Ok(())
    }

    /// Whether there are key management services, which [`Transformers::check`] asks.
    pub fn has_services(&self) -> bool {
        self.current.load().services().next().is_some()
    }

    /// How the key management services are, by answers that are not old; follows changes of their keys. Blocks for their
    /// answers. The error names those that fail.
    pub fn check(&self) -> Result<(), String> {
        self.current.load_full().check()
    }

    /// Follows changes of the services' keys where nothing asks for their health. Blocks for their answers.
    pub fn follow(&self) {
        self.current.load_full().services().for_each(kms::Kms::follow);
    }

    /// What values of one resource go through; `name` as in [`crate::ResourceSpec::name`].
    pub(crate) fn for_resource(&self, name: &str) -> Arc<ResourceTransformer> {
        Arc::new(ResourceTransformer {
            name: name.to_owned(),
            transformers: self.clone(),
            uses: Uses::default(),
        })
    }
}

/// What the values of one resource go through.
#[derive(Default)]
pub(crate) struct ResourceTransformer {
    name: String,
    transformers: Transformers,
    uses: Uses,
}

impl ResourceTransformer {
    /// Plain text, and whether it should be rewritten because another provider or key comes first now.
    pub(crate) fn decode(&self, key: &str, stored: Vec<u8>) -> Result<(Vec<u8>, bool), StorageError> {
        let current = self.transformers.current.load();
        let providers = current.of(&self.name);
        if !stored.starts_with(ENCRYPTED) {
            return providers.decode(key, stored).map_err(|failure| failure.of(key));
        }
        let begun = Instant::now();
        let head = stored[..stored.len().min(HEAD)].to_vec();
        let outcome = providers.decode(key, stored);
        let elapsed = begun.elapsed();
        self.uses
            .count(&self.name, Way::FromStorage, &head, outcome.is_ok(), elapsed);
        outcome.map_err(|failure| failure.of(key))
    }

    /// What to store.
    pub(crate) fn encode(&self, key: &str, plain: Vec<u8>) -> Result<Vec<u8>, StorageError> {
        let begun = Instant::now();
        let current = self.transformers.current.load();
        let stored = current
            .of(&self.name)
            .encode(key, plain)
            .map_err(|failure| failure.of(key))?;
        self.uses
            .count(&self.name, Way::ToStorage, &stored, true, begun.elapsed());
        Ok(stored)
    }

    /// Number of the configuration in use.
    pub(crate) fn generation(&self) -> u32 {
        self.transformers.current.load().generation
    }
}

/// Providers of one resource: the first writes, all read.
struct Providers(Vec<Arc<Provider>>);

impl Providers {
    fn decode(&self, key: &str, stored: Vec<u8>) -> Result<(Vec<u8>, bool), Failure> {
        let mut failures: Vec<Failure> = Vec::new();
        for (position, provider) in self.0.iter().enumerate() {
            if let Provider::Identity = **provider {
                if !stored.starts_with(ENCRYPTED) {
                    return Ok((stored, position != 0));
                }
                failures.push("identity transformer tried to read encrypted data".into());
                continue;
            }
            // The same provider may be listed twice with different keys, so a failure isn't final.
            match provider.decrypt(key, &stored) {
                Some(Ok((plain, old_key))) => return Ok((plain, old_key || position != 0)),
                Some(Err(failure)) => failures.push(failure),
                None => {}
            }
        }
        match failures.is_empty() {
            true => Err("no matching prefix found".into()),
            false => Err(Failure::all(&failures)),
        }
    }

    fn encode(&self, key: &str, plain: Vec<u8>) -> Result<Vec<u8>, Failure> {
        match self.0.first().map(|provider| &**provider) {
            None | Some(Provider::Identity) => Ok(plain),
            Some(provider) => provider.encrypt(key, &plain),
        }
    }
}
