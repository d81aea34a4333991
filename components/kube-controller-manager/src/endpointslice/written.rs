//! What was written to slices and may not be in the informer yet.

use std::sync::Arc;

use ahash::AHashMap;
use client::informer::Key;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use parking_lot::Mutex;

use crate::owner::Meta as _;

/// By service: the version of each slice that the informer must have reached; none for a deleted one.
#[derive(Default)]
pub struct Written {
    slices: Mutex<AHashMap<Key, AHashMap<String, Option<u64>>>>,
}

impl Written {
    pub fn wrote(&self, service: &Key, slice: &EndpointSlice) {
        self.note(service, slice.name(), Some(version(slice)));
    }

    pub fn deleted(&self, service: &Key, slice: &EndpointSlice) {
        self.note(service, slice.name(), None);
    }

    fn note(&self, service: &Key, name: &str, version: Option<u64>) {
        self.slices
            .lock()
            .entry(service.clone())
            .or_default()
            .insert(name.to_owned(), version);
    }

    /// Whether `get` shows all that was written; what has been seen is forgotten.
    pub fn is_seen(&self, service: &Key, get: impl Fn(&str) -> Option<Arc<EndpointSlice>>) -> bool {
        let mut all = self.slices.lock();
        let Some(slices) = all.get_mut(service) else {
            return true;
        };
        slices.retain(|name, wanted| match (get(name), wanted) {
            (Some(known), Some(wanted)) => version(&known) < *wanted,
            (None, Some(_)) | (Some(_), None) => true,
            (None, None) => false,
        });
        slices.is_empty()
    }

    /// Somebody else deleted it, or the service has gone.
    pub fn forget_slice(&self, service: &Key, name: &str) {
        if let Some(slices) = self.slices.lock().get_mut(service) {
            slices.remove(name);
        }
    }

    pub fn forget(&self, service: &Key) {
        self.slices.lock().remove(service);
    }
}

fn version(slice: &EndpointSlice) -> u64 {
    slice
        .metadata
        .resource_version
        .as_deref()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}
