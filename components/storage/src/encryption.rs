//! Encryption at rest: which providers a resource uses, in which order. The stored form is upstream's.

use std::sync::Arc;

mod config;
mod provider;
#[cfg(test)]
mod tests;

pub use config::EncryptionConfigError;
use config::Selector;
use provider::Provider;

/// How encrypted values begin, whatever the provider.
const ENCRYPTED: &[u8] = b"k8s:enc:";

/// Providers of every resource. The default stores plain text and refuses to read encrypted values.
#[derive(Clone, Default)]
pub struct Transformers {
    rules: Arc<Vec<Rule>>,
}

struct Rule {
    resources: Vec<Selector>,
    transformer: Arc<ResourceTransformer>,
}

impl Transformers {
    /// Reads an EncryptionConfiguration (apiserver.config.k8s.io/v1) in YAML or JSON.
    pub fn from_config(text: &str) -> Result<Self, EncryptionConfigError> {
        let rules = config::parse(text)?
            .into_iter()
            .map(|(resources, providers)| Rule {
                resources,
                transformer: Arc::new(ResourceTransformer { providers }),
            })
            .collect();
        Ok(Transformers { rules: Arc::new(rules) })
    }

    /// What values of one resource go through; the first entry that names it counts, exactly or by wildcard.
    /// `name` as in [`crate::ResourceSpec::name`].
    pub(crate) fn for_resource(&self, name: &str) -> Arc<ResourceTransformer> {
        self.rules
            .iter()
            .find(|rule| rule.resources.iter().any(|selector| selector.matches(name)))
            .map(|rule| rule.transformer.clone())
            .unwrap_or_default()
    }
}

/// Providers of one resource: the first writes, all read.
pub(crate) struct ResourceTransformer {
    providers: Vec<Provider>,
}

impl Default for ResourceTransformer {
    fn default() -> Self {
        ResourceTransformer { providers: vec![Provider::Identity] }
    }
}

impl ResourceTransformer {
    /// Plain text, and whether it should be rewritten because another provider or key comes first now.
    pub(crate) fn decode(&self, key: &str, stored: Vec<u8>) -> Result<(Vec<u8>, bool), String> {
        let mut failures = Vec::new();
        for (position, provider) in self.providers.iter().enumerate() {
            if let Provider::Identity = provider {
                if !stored.starts_with(ENCRYPTED) {
                    return Ok((stored, position != 0));
                }
                failures.push("identity transformer tried to read encrypted data".to_owned());
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
            true => Err("no matching prefix found".to_owned()),
            false => Err(failures.join("; ")),
        }
    }

    /// What to store.
    pub(crate) fn encode(&self, key: &str, plain: Vec<u8>) -> Result<Vec<u8>, String> {
        match self.providers.first() {
            None | Some(Provider::Identity) => Ok(plain),
            Some(provider) => provider.encrypt(key, &plain),
        }
    }
}
