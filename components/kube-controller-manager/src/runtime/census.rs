//! News of objects that came or went, for controllers that only count them: the garbage collector watches the metadata of
//! everything, so nobody else has to.

use parking_lot::RwLock;

use crate::discovery::Discovered;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Came,
    Gone,
}

type Listener = Box<dyn Fn(&Discovered, &str, Event) + Send + Sync>;

/// Who wants to know. Nothing is told while the garbage collector is off.
#[derive(Default)]
pub struct Census(RwLock<Vec<Listener>>);

impl Census {
    /// Calls `listener` with the resource, the namespace (empty for cluster-scoped objects) and what happened, inside of
    /// the watch: it must be quick.
    pub fn on_change(&self, listener: impl Fn(&Discovered, &str, Event) + Send + Sync + 'static) {
        self.0.write().push(Box::new(listener));
    }

    pub fn tell(&self, resource: &Discovered, namespace: &str, event: Event) {
        self.0
            .read()
            .iter()
            .for_each(|listener| listener(resource, namespace, event));
    }
}
