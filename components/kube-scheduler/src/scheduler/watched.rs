//! Objects that are reduced while they are decoded, so that only what decisions look at stays in memory.

use std::borrow::Cow;
use std::sync::Arc;

use k8s_openapi::api::core::v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::{Deserialize, Deserializer};

use crate::model::{Node, Pod};

/// What an API object is reduced to.
pub trait Reduced: std::fmt::Debug + Send + Sync + 'static {
    type Object: Resource<DynamicType = ()> + for<'de> Deserialize<'de>;

    fn of(object: &Self::Object) -> Self;
}

impl Reduced for Pod {
    type Object = v1::Pod;

    fn of(object: &v1::Pod) -> Self {
        Self::of(object)
    }
}

impl Reduced for Node {
    type Object = v1::Node;

    fn of(object: &v1::Node) -> Self {
        Self::of(object)
    }
}

/// A reduced object with as much of its metadata as a watch needs.
#[derive(Debug)]
pub struct Watched<R> {
    metadata: ObjectMeta,
    pub reduced: Arc<R>,
}

impl<R> Clone for Watched<R> {
    fn clone(&self) -> Self {
        Self {
            metadata: self.metadata.clone(),
            reduced: self.reduced.clone(),
        }
    }
}

impl<'de, R: Reduced> Deserialize<'de> for Watched<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = R::Object::deserialize(deserializer)?;
        let meta = object.meta();
        let metadata = ObjectMeta {
            name: meta.name.clone(),
            namespace: meta.namespace.clone(),
            uid: meta.uid.clone(),
            resource_version: meta.resource_version.clone(),
            ..ObjectMeta::default()
        };
        Ok(Self {
            metadata,
            reduced: Arc::new(R::of(&object)),
        })
    }
}

impl<R: Reduced> Resource for Watched<R> {
    type DynamicType = ();
    type Scope = <R::Object as Resource>::Scope;

    fn kind(_: &()) -> Cow<'_, str> {
        R::Object::kind(&())
    }

    fn group(_: &()) -> Cow<'_, str> {
        R::Object::group(&())
    }

    fn version(_: &()) -> Cow<'_, str> {
        R::Object::version(&())
    }

    fn plural(_: &()) -> Cow<'_, str> {
        R::Object::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_reduced_while_it_is_decoded() {
        let object = serde_json::json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "p", "namespace": "n", "uid": "u", "resourceVersion": "7", "annotations": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "250m"}}}]},
        });
        let watched: Watched<Pod> = serde_json::from_value(object).expect("a pod");
        assert_eq!(watched.reduced.requests.actual.milli_cpu, 250);
        assert_eq!(watched.meta().resource_version.as_deref(), Some("7"));
        assert_eq!(watched.meta().annotations, None);
        assert_eq!(
            (Watched::<Pod>::plural(&()), Watched::<Node>::plural(&())),
            ("pods".into(), "nodes".into())
        );
    }
}
