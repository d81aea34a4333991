//! Role-based access control, evaluated over an index of the stored roles and bindings.

pub mod escalation;
pub mod index;
pub mod rules;

use arc_swap::ArcSwap;
use index::RbacIndex;
use std::sync::Arc;

/// The current index, swapped when roles or bindings change.
#[derive(Default)]
pub struct Rbac {
    index: ArcSwap<RbacIndex>,
}

impl Rbac {
    pub fn current(&self) -> Arc<RbacIndex> {
        self.index.load_full()
    }

    pub fn replace(&self, index: RbacIndex) {
        self.index.store(Arc::new(index));
    }
}
