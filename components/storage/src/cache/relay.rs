//! News of changes for each runtime: the feed wakes one task there, and that one wakes all the watches of its thread.

use tokio::sync::watch;

use super::resource::CLOSED;
use crate::local::PerRuntime;

#[derive(Default)]
pub(super) struct Relays(PerRuntime<watch::Sender<u64>>);

impl Relays {
    /// Follows `source` by way of this runtime's relay.
    pub(super) fn subscribe(&self, source: &watch::Sender<u64>) -> watch::Receiver<u64> {
        if tokio::runtime::Handle::try_current().is_err() {
            return source.subscribe();
        }
        let relay = self.0.get_or_insert_with(|| start(source));
        if *relay.borrow() == CLOSED && *source.borrow() != CLOSED {
            // Its task has ended, the resource has not.
            let relay = start(source);
            self.0.set(relay.clone());
            return relay.subscribe();
        }
        relay.subscribe()
    }
}

fn start(source: &watch::Sender<u64>) -> watch::Sender<u64> {
    let from = source.subscribe();
    let relay = watch::Sender::new(*from.borrow());
    // Nobody waits for it: however it ends, those who follow are told.
    tokio::spawn(forward(from, Relay(relay.clone())));
    relay
}

/// Tells the followers that there is no more news when the task that brings it ends, also by a panic: their watches end
/// then, and the next ones get another relay.
struct Relay(watch::Sender<u64>);

impl Drop for Relay {
    fn drop(&mut self) {
        self.0.send_replace(CLOSED);
    }
}

/// Ends with the resource.
async fn forward(mut from: watch::Receiver<u64>, to: Relay) {
    loop {
        let value = *from.borrow_and_update();
        to.0.send_if_modified(|last| std::mem::replace(last, value) != value);
        if value == CLOSED || from.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn followers_on_every_runtime_see_the_last_change_and_the_end() {
        let source = watch::Sender::new(1);
        let relays = Relays::default();
        let runtime = || {
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .build()
                .unwrap()
        };
        let runtimes = [runtime(), runtime()];
        let mut followers: Vec<_> = runtimes
            .iter()
            .map(|runtime| runtime.block_on(async { relays.subscribe(&source) }))
            .collect();
        for value in [2, 3, CLOSED] {
            source.send_replace(value);
            for (runtime, follower) in runtimes.iter().zip(&mut followers) {
                let seen = runtime.block_on(follower.wait_for(|seen| *seen == value));
                assert_eq!(*seen.unwrap(), value);
            }
        }
    }

    #[tokio::test]
    async fn a_relay_that_panicked_ends_its_watches_and_is_replaced() {
        let source = watch::Sender::new(1);
        let relays = Relays::default();
        let relay = watch::Sender::new(1);
        relays.0.set(relay.clone());
        let mut follower = relays.subscribe(&source);
        let panicking = tokio::spawn(async move {
            let _relay = Relay(relay);
            panic!("on purpose");
        });
        assert!(panicking.await.unwrap_err().is_panic());
        assert_eq!(*follower.wait_for(|seen| *seen == CLOSED).await.unwrap(), CLOSED);
        let mut follower = relays.subscribe(&source);
        source.send_replace(2);
        assert_eq!(*follower.wait_for(|seen| *seen == 2).await.unwrap(), 2);
    }
}
