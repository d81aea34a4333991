//! The index by controller over pods and over sets.

use std::sync::Arc;

use client::Informer;
use k8s_openapi::api::core::v1::Pod;
use kube::Resource;
use serde::de::DeserializeOwned;

use super::pods;
use crate::owner::controller_of;
use crate::runtime::Context;

const NAME: &str = "controller-uid";

/// The shared informer of a kind, indexed by the uid of each object's controller.
pub fn by_controller<K>(context: &Context) -> Informer<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
{
    let informer = context.informer::<K>();
    if !informer.has_index(NAME) {
        informer.add_index(NAME, |object: &K| vec![value(object)]);
    }
    informer
}

fn value<K: Resource>(object: &K) -> String {
    match controller_of(object.meta()) {
        Some(reference) => reference.uid.clone(),
        None => format!("none/{}", object.meta().namespace.as_deref().unwrap_or_default()),
    }
}

/// The objects that `uid` controls.
pub fn controlled<K>(informer: &Informer<K>, uid: &str) -> Vec<Arc<K>>
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
{
    informer.by_index(NAME, uid)
}

/// The objects of a namespace that nothing controls.
pub fn orphans<K>(informer: &Informer<K>, namespace: &str) -> Vec<Arc<K>>
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
{
    informer.by_index(NAME, &format!("none/{namespace}"))
}

const NODE: &str = "node";

/// The shared informer of pods, indexed by the node they are bound to.
pub fn pods_by_node(context: &Context) -> Informer<Pod> {
    let informer = context.informer::<Pod>();
    if !informer.has_index(NODE) {
        informer.add_index(NODE, |pod: &Pod| {
            pods::node_name(pod).map(str::to_owned).into_iter().collect()
        });
    }
    informer
}

pub fn pods_of_node(informer: &Informer<Pod>, node: &str) -> Vec<Arc<Pod>> {
    informer.by_index(NODE, node)
}
