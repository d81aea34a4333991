//! Questions under way, each asked once however many wait for its answer.

use ahash::AHashMap;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};
use parking_lot::Mutex;
use std::panic::AssertUnwindSafe;

/// Who asked panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the question failed unexpectedly")]
pub struct Panicked;

type Asking<T> = BoxFuture<'static, Result<T, Panicked>>;

/// By key, as long as somebody waits.
pub struct Flights<T: Clone> {
    asked: Mutex<AHashMap<[u8; 32], WeakShared<Asking<T>>>>,
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
    /// others. A panic is that of who asked: those who waited with it ask once more, by themselves.
    pub async fn join<F>(&self, key: [u8; 32], ask: impl Fn() -> F) -> Result<T, Panicked>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let (answer, own) = self.join_once(key, &ask).await;
        if own || answer.is_ok() {
            return answer;
        }
        self.join_once(key, &ask).await.0
    }

    /// The answer, and whether the question was asked for this call.
    async fn join_once<F>(&self, key: [u8; 32], ask: &impl Fn() -> F) -> (Result<T, Panicked>, bool)
    where
        F: Future<Output = T> + Send + 'static,
    {
        // Dropped behind the answer, by everybody.
        let _leaving = Leaving { flights: self, key };
        let (answer, own) = self.answer(key, ask);
        (answer.await, own)
    }

    fn answer<F>(&self, key: [u8; 32], ask: &impl Fn() -> F) -> (Shared<Asking<T>>, bool)
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut asked = self.asked.lock();
        let running = asked.get(&key).and_then(WeakShared::upgrade);
        // One that has panicked and that others still look at is not asked any more.
        if let Some(running) = running.filter(|running| !matches!(running.peek(), Some(Err(Panicked)))) {
            return (running, false);
        }
        // Nothing of it is looked at after a panic.
        let running = AssertUnwindSafe(ask()).catch_unwind();
        let running = running
            .map(|answer| answer.map_err(|_| Panicked))
            .boxed()
            .shared();
        asked.extend(running.downgrade().map(|weak| (key, weak)));
        (running, true)
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
                let ask = || {
                    let (asked, gate) = (Arc::clone(&asked), Arc::clone(&gate));
                    async move {
                        let number = asked.fetch_add(1, Ordering::SeqCst);
                        drop(gate.acquire().await);
                        number
                    }
                };
                flights.join([key; 32], ask).await.unwrap()
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

    /// Regression: a panic while one token was asked for was one for all who had come with it.
    #[tokio::test]
    async fn a_panic_is_only_that_of_who_asked() {
        let flights = Flights::<usize>::default();
        let (asked, gate) = (AtomicUsize::new(0), Arc::new(Semaphore::new(0)));
        let ask = || {
            let (number, gate) = (asked.fetch_add(1, Ordering::SeqCst), Arc::clone(&gate));
            async move {
                drop(gate.acquire().await);
                assert_ne!(number, 0, "the first question fails");
                number
            }
        };
        let mut joined: Vec<_> = (0..3).map(|_| Box::pin(flights.join([1; 32], ask))).collect();
        for join in &mut joined {
            assert!(futures::poll!(join).is_pending());
        }
        gate.add_permits(9);
        let answers = futures::future::join_all(joined).await;
        assert_eq!(answers[0], Err(Panicked));
        assert!(answers[1..].iter().all(Result::is_ok), "{answers:?}");
        assert!(flights.asked.lock().is_empty());
    }
}
