//! What storage has to know of a resource.

use std::fmt;
use std::sync::Arc;

/// A field that field selectors of a resource may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldSpec {
    /// As selectors spell it, such as `spec.nodeName`.
    pub name: String,
    /// Where the value is; the first path with a non-empty value counts.
    pub paths: Vec<Vec<String>>,
    /// The value when no path has one, such as `false` for `spec.hostNetwork`.
    pub default: String,
}

impl FieldSpec {
    /// A field whose selector name is its path.
    pub fn path(name: &str) -> Self {
        FieldSpec {
            name: name.to_owned(),
            paths: vec![name.split('.').map(str::to_owned).collect()],
            default: String::new(),
        }
    }

    /// The same with a value for absent fields.
    pub fn with_default(name: &str, default: &str) -> Self {
        FieldSpec {
            default: default.to_owned(),
            ..FieldSpec::path(name)
        }
    }
}

/// A stored value as this server knows its object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    pub json: Vec<u8>,
    /// Stored otherwise than [`StoredDecoder::encode`] would have it.
    pub is_outdated: bool,
}

/// Reads stored values of a resource as they are known now: protobuf (as upstream writes it) too, objects of servers
/// that knew of fewer defaults, and older versions. Some kinds are written in one of these.
pub trait StoredDecoder: Send + Sync + 'static {
    /// The object with its defaults, in the version in which this server works with it. None when the value is that already.
    fn decode(&self, stored: &[u8]) -> Result<Option<Decoded>, String>;

    /// What is stored for an object's JSON.
    fn encode(&self, json: Vec<u8>) -> Result<Vec<u8>, String> {
        Ok(json)
    }
}

/// Whom the cache of a resource is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheFor {
    /// Clients, and the server itself.
    #[default]
    All,
    /// The server itself, which follows the resource. Clients read from the backend.
    Server,
    /// Nobody, unless somebody begins to follow the resource later. Clients read from the backend.
    Nobody,
}

/// One resource as storage sees it.
#[derive(Clone)]
pub struct ResourceSpec {
    /// Group resource as EncryptionConfiguration names it: `secrets`, `deployments.apps`, `widgets.example.com`.
    pub name: String,
    /// Path below the etcd prefix: `pods`, `services/specs`, `example.com/widgets`.
    pub path: String,
    /// Whether keys carry a namespace.
    pub namespaced: bool,
    /// Fields that selectors use besides metadata.name and metadata.namespace.
    pub fields: Vec<FieldSpec>,
    /// Reads values; without it they are JSON, and served as they are.
    pub decoder: Option<Arc<dyn StoredDecoder>>,
    pub cache: CacheFor,
}

impl fmt::Debug for ResourceSpec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ResourceSpec")
            .field("name", &self.name)
            .field("path", &self.path)
            .finish()
    }
}
