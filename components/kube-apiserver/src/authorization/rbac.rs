//! Role-based access control, evaluated over an index of the stored roles and bindings.

pub mod escalation;
pub mod index;
pub mod rules;

use arc_swap::ArcSwap;
use index::RbacIndex;
use std::sync::Arc;
use tokio::sync::watch;

/// The current index, swapped when roles or bindings change.
#[derive(Default)]
pub struct Rbac {
    index: ArcSwap<RbacIndex>,
    /// Whether there has been an index yet: a server that has just started knows no role.
    built: watch::Sender<bool>,
}

impl Rbac {
    pub fn current(&self) -> Arc<RbacIndex> {
        self.index.load_full()
    }

    pub fn replace(&self, index: RbacIndex) {
        self.index.store(Arc::new(index));
        self.built
            .send_if_modified(|built| !std::mem::replace(built, true));
    }

    pub fn is_built(&self) -> bool {
        *self.built.borrow()
    }

    /// Comes with the first index.
    pub async fn built(&self) {
        // The sender is here, so that waiting can't fail.
        let _ = self.built.subscribe().wait_for(|built| *built).await;
    }
}
