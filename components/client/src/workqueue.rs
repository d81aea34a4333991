//! Keys to work on: deduplicated, never handed out twice at once, retried with jittered back-off.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use ahash::{AHashMap, AHashSet};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::time::DelayQueue;

/// First and longest wait before a failed key is tried again, as upstream's default rate limiter has it.
const BASE_DELAY: Duration = Duration::from_millis(5);
const MAX_DELAY: Duration = Duration::from_secs(1000);

struct State<T> {
    ready: VecDeque<T>,
    /// In `ready`, or to be put there when the worker that has it is done.
    dirty: AHashSet<T>,
    processing: AHashSet<T>,
    failures: AHashMap<T, u32>,
    /// The earliest deadline that was asked for, by key.
    delayed: AHashMap<T, tokio::time::Instant>,
    delays: VecDeque<(T, tokio::time::Instant)>,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    ready: Notify,
    delays: Notify,
}

/// Handle to a queue; clones share it.
pub struct Queue<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl<T: Clone + Eq + Hash + Send + 'static> Default for Queue<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Clone + Eq + Hash + Send + 'static> Queue<T> {
    pub fn new() -> Self {
        let state = State {
            ready: VecDeque::new(),
            dirty: AHashSet::new(),
            processing: AHashSet::new(),
            failures: AHashMap::new(),
            delayed: AHashMap::new(),
            delays: VecDeque::new(),
        };
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                ready: Notify::new(),
                delays: Notify::new(),
            }),
        }
    }

    /// Puts a key in, unless it is waiting already. A key that is being worked on comes again afterwards.
    pub fn add(&self, key: T) {
        let mut state = self.shared.state.lock();
        if !state.dirty.insert(key.clone()) || state.processing.contains(&key) {
            return;
        }
        state.ready.push_back(key);
        drop(state);
        self.shared.ready.notify_one();
    }

    /// Puts a key in after a while. Of several delays for a key the shortest counts.
    pub fn add_after(&self, key: T, delay: Duration) {
        if delay.is_zero() {
            return self.add(key);
        }
        let deadline = tokio::time::Instant::now() + delay;
        let mut state = self.shared.state.lock();
        if state
            .delayed
            .get(&key)
            .is_some_and(|earlier| *earlier <= deadline)
        {
            return;
        }
        state.delayed.insert(key.clone(), deadline);
        state.delays.push_back((key, deadline));
        drop(state);
        self.shared.delays.notify_one();
    }

    /// Puts a key in after its back-off: twice as long each time, plus up to a tenth of jitter.
    pub fn add_rate_limited(&self, key: T) {
        let failures = {
            let mut state = self.shared.state.lock();
            let failures = state.failures.entry(key.clone()).or_default();
            *failures += 1;
            *failures
        };
        self.add_after(key, backoff(failures).mul_f64(1.0 + rand::random::<f64>() / 10.0));
    }

    /// Ends a key's back-off after a success.
    pub fn forget(&self, key: &T) {
        self.shared.state.lock().failures.remove(key);
    }

    /// How many failures in a row a key has had.
    pub fn failures(&self, key: &T) -> u32 {
        self.shared
            .state
            .lock()
            .failures
            .get(key)
            .copied()
            .unwrap_or_default()
    }

    pub fn len(&self) -> usize {
        self.shared.state.lock().ready.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next key; [`Queue::done`] must be called with it.
    pub async fn next(&self) -> T {
        loop {
            if let Some(key) = self.take() {
                return key;
            }
            self.shared.ready.notified().await;
        }
    }

    fn take(&self) -> Option<T> {
        let mut state = self.shared.state.lock();
        let key = state.ready.pop_front()?;
        state.dirty.remove(&key);
        state.processing.insert(key.clone());
        let more = !state.ready.is_empty();
        drop(state);
        // A permit is stored once only; passing it on wakes the next of several waiting workers.
        if more {
            self.shared.ready.notify_one();
        }
        Some(key)
    }

    pub fn done(&self, key: &T) {
        let mut state = self.shared.state.lock();
        state.processing.remove(key);
        if state.dirty.contains(key) {
            state.ready.push_back(key.clone());
            drop(state);
            self.shared.ready.notify_one();
        }
    }

    /// Moves keys whose time has come; runs until cancelled.
    async fn run_delays(&self) {
        let mut queue: DelayQueue<T> = DelayQueue::new();
        loop {
            let fresh: Vec<_> = self.shared.state.lock().delays.drain(..).collect();
            for (key, deadline) in fresh {
                queue.insert_at(key, deadline);
            }
            tokio::select! {
                () = self.shared.delays.notified() => {}
                Some(expired) = std::future::poll_fn(|cx| queue.poll_expired(cx)), if !queue.is_empty() => {
                    let deadline = expired.deadline();
                    let key = expired.into_inner();
                    let due = {
                        let mut state = self.shared.state.lock();
                        // An earlier deadline has moved the key already, or a later one was replaced.
                        let due = state.delayed.get(&key).is_some_and(|wanted| *wanted <= deadline);
                        if due {
                            state.delayed.remove(&key);
                        }
                        due
                    };
                    if due {
                        self.add(key);
                    }
                }
            }
        }
    }
}

fn backoff(failures: u32) -> Duration {
    BASE_DELAY
        .saturating_mul(
            1u32.checked_shl(failures.saturating_sub(1).min(31))
                .unwrap_or(u32::MAX),
        )
        .min(MAX_DELAY)
}

/// What a reconciliation asks for when it has not failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requeue {
    No,
    After(Duration),
}

/// Works the queue with `workers` tasks at once until `shutdown`. A failed key is logged and backs off.
pub async fn run<T, E, F, Fut>(
    name: &'static str,
    queue: Queue<T>,
    workers: usize,
    shutdown: CancellationToken,
    reconcile: F,
) where
    T: Clone + Debug + Eq + Hash + Send + Sync + 'static,
    E: std::fmt::Display + Send,
    F: Fn(T) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Requeue, E>> + Send,
{
    let mut tasks = tokio::task::JoinSet::new();
    let delays = queue.clone();
    let stop = shutdown.clone();
    tasks.spawn(async move {
        tokio::select! { () = stop.cancelled() => {}, () = delays.run_delays() => {} }
    });
    for _ in 0..workers.max(1) {
        let (queue, shutdown, reconcile) = (queue.clone(), shutdown.clone(), reconcile.clone());
        tasks.spawn(async move {
            loop {
                let key = tokio::select! { () = shutdown.cancelled() => return, key = queue.next() => key };
                let outcome = reconcile(key.clone()).await;
                match outcome {
                    Ok(requeue) => {
                        queue.forget(&key);
                        if let Requeue::After(delay) = requeue {
                            queue.add_after(key.clone(), delay);
                        }
                    }
                    Err(error) => {
                        tracing::warn!(controller = name, ?key, %error, "reconciliation failed, trying again");
                        queue.add_rate_limited(key.clone());
                    }
                }
                queue.done(&key);
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        // A panic in one reconciliation must not silently halve the workers: end the process instead.
        if let Err(error) = ended
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_key_is_handed_out_once_at_a_time_and_comes_again_when_it_changed() {
        let queue = Queue::new();
        queue.add("a");
        queue.add("a");
        let key = queue.next().await;
        queue.add("a");
        assert_eq!(queue.take(), None);
        queue.done(&key);
        assert_eq!(queue.take(), Some("a"));
        queue.done(&"a");
        assert_eq!(queue.take(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_back_off_and_the_shortest_delay_counts() {
        let queue = Queue::new();
        let shutdown = CancellationToken::new();
        let tries = Arc::new(AtomicUsize::new(0));
        let (counter, stop) = (tries.clone(), shutdown.clone());
        queue.add_after("a", Duration::from_secs(60));
        queue.add_after("a", Duration::from_secs(1));
        let begun = tokio::time::Instant::now();
        run("test", queue, 2, shutdown, move |_key| {
            let (counter, stop) = (counter.clone(), stop.clone());
            async move {
                if counter.fetch_add(1, Ordering::Relaxed) < 4 {
                    return Err("no");
                }
                stop.cancel();
                Ok(Requeue::No)
            }
        })
        .await;
        assert_eq!(tries.load(Ordering::Relaxed), 5);
        let took = begun.elapsed();
        assert!(
            took >= Duration::from_millis(1075) && took < Duration::from_millis(1200),
            "{took:?}"
        );
    }

    #[test]
    fn back_off_doubles_up_to_its_limit() {
        assert_eq!(backoff(1), Duration::from_millis(5));
        assert_eq!(backoff(4), Duration::from_millis(40));
        assert_eq!(backoff(40), MAX_DELAY);
    }
}
