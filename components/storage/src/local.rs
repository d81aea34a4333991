//! What each runtime has of its own: connections that it drives, and what wakes its tasks. A task that waits for one
//! on another thread has to be woken from there, which costs a system call each time.

use parking_lot::Mutex;
use tokio::runtime::{Handle, Id};

/// One `T` for each runtime that asked for one. They are few, so a list does.
pub(crate) struct PerRuntime<T>(Mutex<Vec<(Option<Id>, T)>>);

impl<T> Default for PerRuntime<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// The runtime that this is called on.
fn here() -> Option<Id> {
    Handle::try_current().ok().map(|runtime| runtime.id())
}

impl<T: Clone> PerRuntime<T> {
    /// What this runtime has.
    pub(crate) fn get(&self) -> Option<T> {
        let here = here();
        let all = self.0.lock();
        all.iter().find(|(id, _)| *id == here).map(|(_, own)| own.clone())
    }

    /// What this runtime has, made now if it has none.
    pub(crate) fn get_or_insert_with(&self, make: impl FnOnce() -> T) -> T {
        let here = here();
        let mut all = self.0.lock();
        if let Some((_, own)) = all.iter().find(|(id, _)| *id == here) {
            return own.clone();
        }
        let own = make();
        all.push((here, own.clone()));
        own
    }

    /// Gives this runtime another one.
    pub(crate) fn set(&self, own: T) {
        let here = here();
        let mut all = self.0.lock();
        all.retain(|(id, _)| *id != here);
        all.push((here, own));
    }

    /// Takes away what all have.
    pub(crate) fn clear(&self) {
        self.0.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_runtime_has_its_own() {
        let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (one, other) = (runtime(), runtime());
        let all = PerRuntime::default();
        let make = |text: &'static str| all.get_or_insert_with(|| text);
        assert_eq!(one.block_on(async { make("one") }), "one");
        assert_eq!(other.block_on(async { make("other") }), "other");
        assert_eq!(one.block_on(async { make("late") }), "one");
        assert_eq!(make("none"), "none", "outside of runtimes");
        one.block_on(async { all.set("new") });
        assert_eq!(one.block_on(async { all.get() }), Some("new"));
        assert_eq!(other.block_on(async { all.get() }), Some("other"));
        all.clear();
        assert_eq!(other.block_on(async { all.get() }), None);
    }
}
