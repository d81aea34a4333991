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
        let relay = self.0.get_or_insert_with(|| {
            let from = source.subscribe();
            let relay = watch::Sender::new(*from.borrow());
            tokio::spawn(forward(from, relay.clone()));
            relay
        });
        relay.subscribe()
    }
}

/// Ends with the resource.
async fn forward(mut from: watch::Receiver<u64>, to: watch::Sender<u64>) {
    loop {
        let value = *from.borrow_and_update();
        to.send_if_modified(|last| std::mem::replace(last, value) != value);
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
}
