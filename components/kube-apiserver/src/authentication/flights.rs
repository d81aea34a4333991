//! Questions under way, each asked once however many wait for its answer.

use ahash::AHashMap;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};
use parking_lot::Mutex;

/// By key, as long as somebody waits.
pub struct Flights<T: Clone> {
    asked: Mutex<AHashMap<[u8; 32], WeakShared<BoxFuture<'static, T>>>>,
}

impl<T: Clone> Default for Flights<T> {
    fn default() -> Self {
        Self {
            asked: Mutex::default(),
        }
    }
}

impl<T: Clone + Send + Sync + 'static> Flights<T> {
    /// The answer to the question with this key; `ask` is only used if it isn't under way. Who goes away leaves it to the
    /// others.
    pub async fn join<F>(&self, key: [u8; 32], ask: impl FnOnce() -> F) -> T
    where
        F: Future<Output = T> + Send + 'static,
    {
        // Dropped behind the answer, by everybody.
        let _leaving = Leaving { flights: self, key };
        let answer = self.answer(key, ask);
        answer.await
    }

    fn answer<F>(&self, key: [u8; 32], ask: impl FnOnce() -> F) -> Shared<BoxFuture<'static, T>>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut asked = self.asked.lock();
        if let Some(running) = asked.get(&key).and_then(WeakShared::upgrade) {
            return running;
        }
        let running = ask().boxed().shared();
        asked.extend(running.downgrade().map(|weak| (key, weak)));
        running
    }
}

struct Leaving<'f, T: Clone> {
    flights: &'f Flights<T>,
    key: [u8; 32],
}

impl<T: Clone> Drop for Leaving<'_, T> {
    fn drop(&mut self) {
        let mut asked = self.flights.asked.lock();
        if asked
            .get(&self.key)
            .is_some_and(|running| running.upgrade().is_none())
        {
            asked.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Semaphore;

    #[tokio::test]
    async fn a_question_is_asked_once_at_a_time() {
        let flights = Arc::new(Flights::<usize>::default());
        let (asked, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let join = |key: u8| {
            let (flights, asked, gate) = (Arc::clone(&flights), Arc::clone(&asked), Arc::clone(&gate));
            async move {
                let ask = || async move {
                    let number = asked.fetch_add(1, Ordering::SeqCst);
                    drop(gate.acquire().await);
                    number
                };
                flights.join([key; 32], ask).await
            }
        };
        let mut first = Box::pin(join(1));
        assert!(futures::poll!(&mut first).is_pending());
        let mut others: Vec<_> = (0..3).map(|_| Box::pin(join(1))).collect();
        for other in &mut others {
            assert!(futures::poll!(other).is_pending());
        }
        let mut different = Box::pin(join(2));
        assert!(futures::poll!(&mut different).is_pending());
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        // Who asked goes away; those who wait don't.
        drop(first);
        gate.add_permits(1);
        assert_eq!(futures::future::join_all(others).await, [0, 0, 0]);
        assert_eq!(different.await, 1);
        assert!(flights.asked.lock().is_empty());
        assert_eq!(join(1).await, 2, "nothing is kept");
    }
}
