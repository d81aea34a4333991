//! Services and workload controllers, for the selector that default spreading goes by.

use ahash::AHashMap;

use crate::model::Pod;
use crate::model::selector::{Labels, Selector};

#[derive(Default)]
pub struct Workloads {
    services: AHashMap<String, AHashMap<String, Labels>>,
    /// By kind (ReplicaSet, StatefulSet, ReplicationController), namespace and name.
    controllers: AHashMap<(&'static str, String, String), Selector>,
}

impl Workloads {
    /// Takes in a Service's selector; None when it is gone or selects nothing.
    pub fn set_service(&mut self, namespace: &str, name: &str, selector: Option<Labels>) {
        match selector.filter(|selector| !selector.is_empty()) {
            Some(selector) => {
                self.services
                    .entry(namespace.to_owned())
                    .or_default()
                    .insert(name.to_owned(), selector);
            }
            None => {
                if let Some(services) = self.services.get_mut(namespace) {
                    services.remove(name);
                    if services.is_empty() {
                        self.services.remove(namespace);
                    }
                }
            }
        }
    }

    pub fn set_controller(
        &mut self,
        kind: &'static str,
        namespace: &str,
        name: &str,
        selector: Option<Selector>,
    ) {
        let key = (kind, namespace.to_owned(), name.to_owned());
        match selector {
            Some(selector) => self.controllers.insert(key, selector),
            None => self.controllers.remove(&key),
        };
    }

    /// What the Services that select the pod and its controller select together. None when there are none.
    pub fn selector_of(&self, pod: &Pod) -> Option<Selector> {
        let mut equal = Labels::new();
        for selector in self
            .services
            .get(&pod.namespace)
            .into_iter()
            .flat_map(|services| services.values())
        {
            if selector
                .iter()
                .all(|(key, value)| pod.labels.get(key) == Some(value))
            {
                equal.extend(selector.iter().map(|(key, value)| (key.clone(), value.clone())));
            }
        }
        let mut selector = Selector::of_map(&equal);
        if let Some(owner) = &pod.controller {
            let kind = ["ReplicaSet", "StatefulSet", "ReplicationController"]
                .into_iter()
                .find(|kind| *kind == owner.kind);
            let owned = kind.and_then(|kind| {
                self.controllers
                    .get(&(kind, pod.namespace.clone(), owner.name.clone()))
            });
            if let Some(owned) = owned {
                selector = selector.and(owned.clone());
            }
        }
        (!selector.is_empty()).then_some(selector)
    }
}
