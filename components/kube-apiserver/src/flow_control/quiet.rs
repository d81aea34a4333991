//! Whether nobody wants anything, which costs those who come one look.

use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

/// Begun by the one who waits for its end; ended by whoever comes.
#[derive(Debug, Default)]
pub struct Quiet {
    on: AtomicBool,
    ended: Notify,
}

impl Quiet {
    pub fn begin(&self) {
        self.on.store(true, Ordering::SeqCst);
    }

    pub fn end(&self) {
        self.on.store(false, Ordering::SeqCst);
    }

    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::SeqCst)
    }

    /// Somebody has come.
    pub fn disturb(&self) {
        if self.is_on() {
            self.end();
            self.ended.notify_one();
        }
    }

    /// Waits for somebody.
    pub async fn ended(&self) {
        while self.is_on() {
            self.ended.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    #[tokio::test]
    async fn it_ends_with_the_first_who_comes() {
        let quiet = Quiet::default();
        assert!(quiet.ended().now_or_never().is_some());
        quiet.begin();
        assert!(quiet.ended().now_or_never().is_none());
        quiet.disturb();
        assert!(quiet.ended().now_or_never().is_some());
        // The notice of the last end is no end of this one.
        quiet.begin();
        assert!(quiet.ended().now_or_never().is_none());
    }
}
