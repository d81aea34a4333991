//! What the caches know of device classes, pods and their claims.

use crate::server::Server;
use api::quota::{Devices, extended_owner};
use apimachinery::meta;
use serde_json::Value;
use std::sync::Arc;

const GROUP: &str = "resource.k8s.io";
/// Before the name of a class, it makes the extended resource that every class stands for.
const IMPLICIT: &str = "deviceclass.resource.kubernetes.io/";

pub(super) struct KnownDevices<'s> {
    pub server: &'s Server,
}

impl KnownDevices<'_> {
    fn class(&self, name: &str) -> Option<Arc<Value>> {
        self.server.stores.cached(GROUP, "deviceclasses", "", name)
    }
}

impl Devices for KnownDevices<'_> {
    fn extended_resource(&self, class: &str) -> Option<String> {
        let class = self.class(class)?;
        class["spec"]["extendedResourceName"].as_str().map(str::to_owned)
    }

    fn has_class_for(&self, resource: &str) -> bool {
        if let Some(class) = resource.strip_prefix(IMPLICIT) {
            return self.class(class).is_some();
        }
        let classes = self.server.stores.cached_list(GROUP, "deviceclasses", None);
        classes
            .iter()
            .any(|class| class["spec"]["extendedResourceName"] == resource)
    }

    fn pod(&self, namespace: &str, name: &str) -> Option<Value> {
        let pod = self.server.stores.cached("", "pods", namespace, name);
        pod.map(Arc::unwrap_or_clone)
    }

    fn claims_of(&self, namespace: &str, pod: &str) -> Vec<(String, String)> {
        let claims = self
            .server
            .stores
            .cached_list(GROUP, "resourceclaims", Some(namespace));
        claims
            .iter()
            .filter(|claim| extended_owner(claim) == Some(pod))
            .map(|claim| {
                (
                    meta::creation_timestamp(claim).to_owned(),
                    meta::name(claim).to_owned(),
                )
            })
            .collect()
    }
}
