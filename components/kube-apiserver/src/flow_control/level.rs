//! One priority level: seats, and queues for those who find none free.
//!
//! While nobody waits, entering and leaving is a handful of atomic operations. The lock is for the crowd.

use super::asked::Asked;
use super::executing::Executing;
use super::objects::{PriorityLevelSpec, Queuing};
use super::queues::{QueueState, Queues, Waiting};
use super::retry_after::RetryAfter;
use super::tally::Tally;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Why a request gets no seat; the names are those of upstream's metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    QueueFull,
    ConcurrencyLimit,
    TimeOut,
}

impl Refusal {
    pub fn reason(self) -> &'static str {
        match self {
            Self::QueueFull => "queue-full",
            Self::ConcurrencyLimit => "concurrency-limit",
            Self::TimeOut => "time-out",
        }
    }
}

/// A priority level. Its identity outlives changes of its configuration.
#[derive(Debug)]
pub struct Level {
    pub name: String,
    /// No limits at all; seats are only counted.
    pub exempt: bool,
    limit: AtomicU32,
    in_use: AtomicU32,
    waiting: AtomicU32,
    /// Most seats wanted since it was last taken.
    high: AtomicU32,
    queued: AtomicBool,
    ids: AtomicU64,
    born: Instant,
    refusals: RetryAfter,
    pub tally: Tally,
    pub executing: Executing,
    crowd: Mutex<Option<Queues<Waiter>>>,
}

/// Who waits, and what for.
#[derive(Debug)]
struct Waiter {
    sender: oneshot::Sender<Seat>,
    asked: Asked,
}

/// Seats of one request; given up when dropped.
#[derive(Debug)]
pub struct Seat {
    level: Arc<Level>,
    seats: u32,
    queue: Option<usize>,
    since: Instant,
}

impl Seat {
    pub fn seats(&self) -> u32 {
        self.seats
    }

    pub fn since(&self) -> Instant {
        self.since
    }

    /// The queue from which it was given, if it had to be waited for.
    pub fn queue(&self) -> Option<usize> {
        self.queue
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.level
            .leave(self.seats, self.queue, self.since.elapsed().as_secs_f64());
    }
}

impl Level {
    pub fn new(name: &str, spec: &PriorityLevelSpec) -> Arc<Self> {
        let level = Self {
            name: name.to_owned(),
            exempt: spec.is_exempt(),
            limit: AtomicU32::new(0),
            in_use: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            high: AtomicU32::new(0),
            queued: AtomicBool::new(false),
            ids: AtomicU64::new(0),
            born: Instant::now(),
            refusals: RetryAfter::default(),
            tally: Tally::default(),
            executing: Executing::default(),
            crowd: Mutex::new(None),
        };
        level.configure(spec.queuing());
        Arc::new(level)
    }

    /// Queues as configured now; `None` refuses what has no seat at once.
    pub fn configure(&self, queuing: Option<Queuing>) {
        let mut crowd = self.crowd.lock();
        self.queued.store(queuing.is_some(), SeqCst);
        match (&mut *crowd, queuing) {
            (Some(queues), Some(queuing)) => queues.configure(queuing),
            (empty @ None, Some(queuing)) => *empty = Some(Queues::new(queuing)),
            // Those who wait are still served.
            (_, None) => {}
        }
    }

    /// Seats that may be in use from now on; takes in waiting requests if there are more.
    pub fn set_limit(self: &Arc<Self>, seats: u32) {
        self.limit.store(seats, SeqCst);
        self.let_in();
    }

    pub fn limit(&self) -> u32 {
        self.limit.load(SeqCst)
    }

    pub fn in_use(&self) -> u32 {
        self.in_use.load(SeqCst)
    }

    /// Requests that wait.
    pub fn waiting(&self) -> u32 {
        self.waiting.load(SeqCst)
    }

    /// Seats in use and waited for now, and the most since the last call.
    pub fn take_demand(&self) -> (u32, u32) {
        let waiting = if self.waiting() == 0 {
            0
        } else {
            self.crowd.lock().as_ref().map_or(0, Queues::waiting_seats)
        };
        let now = self.in_use() + waiting;
        (now, self.high.swap(now, SeqCst))
    }

    /// Requests that the queues may hold.
    pub fn room(&self) -> u32 {
        self.crowd.lock().as_ref().map_or(0, Queues::room)
    }

    fn note(&self, wanted: u32) {
        if wanted > self.high.load(SeqCst) {
            self.high.fetch_max(wanted, SeqCst);
        }
    }

    /// Takes seats if they are free. A request wider than the whole level runs when nothing else does; where it would have to
    /// wait, also only if the level has any (upstream's queue sets look at their queues while seats are free).
    fn take(&self, seats: u32) -> bool {
        let limit = self.limit();
        let mut used = self.in_use();
        loop {
            let fits = used.saturating_add(seats) <= limit || (used == 0 && (limit > 0 || !self.is_queued()));
            if !fits && !self.exempt {
                return false;
            }
            match self
                .in_use
                .compare_exchange_weak(used, used + seats, SeqCst, SeqCst)
            {
                Ok(_) => {
                    self.note(used + seats);
                    return true;
                }
                Err(now) => used = now,
            }
        }
    }

    /// A seat at once, when there is one and nobody waits for it.
    pub fn try_enter(self: &Arc<Self>, seats: u32) -> Option<Seat> {
        if !self.exempt && self.waiting() > 0 {
            return None;
        }
        self.take(seats).then(|| self.seat(seats, None))
    }

    fn seat(self: &Arc<Self>, seats: u32, queue: Option<usize>) -> Seat {
        self.tally.dispatched();
        Seat {
            level: Arc::clone(self),
            seats,
            queue,
            since: Instant::now(),
        }
    }

    /// Waits for seats in the flow's queues, at most for `patience`. `enqueued` is told the queue's length.
    pub async fn wait(
        self: &Arc<Self>,
        flow: u64,
        seats: u32,
        patience: Duration,
        asked: Asked,
        enqueued: impl FnOnce(usize),
    ) -> Result<Seat, Refusal> {
        let outcome = self.turn(flow, seats, patience, asked, enqueued).await;
        outcome.inspect_err(|refusal| self.tally.refused(*refusal))
    }

    async fn turn(
        self: &Arc<Self>,
        flow: u64,
        seats: u32,
        patience: Duration,
        asked: Asked,
        enqueued: impl FnOnce(usize),
    ) -> Result<Seat, Refusal> {
        if !self.queued.load(SeqCst) {
            return Err(Refusal::ConcurrencyLimit);
        }
        let (sender, mut receiver) = oneshot::channel();
        let id = self.ids.fetch_add(1, SeqCst);
        let place = {
            let mut crowd = self.crowd.lock();
            let Some(queues) = crowd.as_mut() else {
                return Err(Refusal::ConcurrencyLimit);
            };
            queues.advance(self.born.elapsed().as_secs_f64(), self.limit());
            let waiting = Waiting::new(id, flow, seats, Waiter { sender, asked });
            let queue = queues.enqueue(waiting).map_err(|_| Refusal::QueueFull)?;
            enqueued(queues.length(queue));
            self.waiting.fetch_add(1, SeqCst);
            self.note(self.in_use() + queues.waiting_seats());
            Place {
                level: self,
                queue,
                id,
            }
        };
        // Seats may have become free after the last look and before this request was seen waiting.
        self.let_in();
        match tokio::time::timeout(patience, &mut receiver).await {
            Ok(Ok(seat)) => Ok(seat),
            Ok(Err(_)) => Err(Refusal::TimeOut),
            Err(_) => {
                if place.withdraw() {
                    return Err(Refusal::TimeOut);
                }
                // Its turn came in the same moment.
                receiver.await.map_err(|_| Refusal::TimeOut)
            }
        }
    }

    /// Gives free seats to those whose turn it is.
    fn let_in(self: &Arc<Self>) {
        if self.waiting() == 0 {
            return;
        }
        let mut let_in = Vec::new();
        {
            let mut crowd = self.crowd.lock();
            let Some(queues) = crowd.as_mut() else { return };
            queues.advance(self.born.elapsed().as_secs_f64(), self.limit());
            while let Some(next) = queues.dispatch(|seats| self.take(seats)) {
                self.waiting.fetch_sub(1, SeqCst);
                let_in.push((next.payload.sender, self.seat(next.seats, Some(next.queue))));
            }
        }
        // Outside of the lock: a seat whose owner is gone comes back and is dropped, which takes the lock.
        for (sender, seat) in let_in {
            drop(sender.send(seat));
        }
    }

    fn leave(self: &Arc<Self>, seats: u32, queue: Option<usize>, seconds: f64) {
        if let Some(queue) = queue
            && let Some(queues) = self.crowd.lock().as_mut()
        {
            queues.advance(self.born.elapsed().as_secs_f64(), self.limit());
            queues.finished(queue, seats, seconds);
        }
        self.in_use.fetch_sub(seats, SeqCst);
        self.tally.ended();
        self.let_in();
    }

    /// Counts a refusal; for how many seconds the client is asked to stay away.
    pub fn refused(&self) -> u64 {
        self.refusals.refused(self.born.elapsed().as_secs())
    }

    /// State of the queues, for dumps, and the virtual time.
    pub fn queue_states(&self) -> (Vec<QueueState>, f64) {
        self.crowd.lock().as_ref().map_or_else(
            || (Vec::new(), 0.0),
            |queues| (queues.states().collect(), queues.virtual_now()),
        )
    }

    /// Requests that wait: queue, place in it, what they are.
    pub fn requests(&self) -> Vec<(usize, usize, Asked)> {
        let crowd = self.crowd.lock();
        let waiting = crowd.iter().flat_map(Queues::requests);
        waiting
            .map(|(queue, place, waiter)| (queue, place, waiter.asked.clone()))
            .collect()
    }

    /// Whether requests of this level may wait.
    pub fn is_queued(&self) -> bool {
        self.queued.load(SeqCst)
    }
}

/// A place in a queue; given up when the client hangs up.
struct Place<'a> {
    level: &'a Arc<Level>,
    queue: usize,
    id: u64,
}

impl Place<'_> {
    fn withdraw(&self) -> bool {
        let withdrawn = self
            .level
            .crowd
            .lock()
            .as_mut()
            .and_then(|queues| queues.withdraw(self.queue, self.id));
        if withdrawn.is_some() {
            self.level.waiting.fetch_sub(1, SeqCst);
            // Others may fit where this one did not.
            self.level.let_in();
        }
        withdrawn.is_some()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.withdraw() {
            self.level.tally.cancelled();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn level(limit: u32, queues: Option<(u32, u32)>) -> Arc<Level> {
        let response = match queues {
            Some((queues, length)) => {
                json!({"type": "Queue", "queuing": {"queues": queues, "handSize": 1, "queueLengthLimit": length}})
            }
            None => json!({"type": "Reject"}),
        };
        let spec = json!({"type": "Limited", "limited": {"limitResponse": response}});
        let level = Level::new("l", &serde_json::from_value(spec).unwrap());
        level.set_limit(limit);
        level
    }

    const PATIENCE: Duration = Duration::from_secs(15);

    #[tokio::test]
    async fn a_level_without_seats_lets_one_in_where_nobody_may_wait() {
        let refusing = level(0, None);
        let first = refusing.try_enter(1).unwrap();
        assert!(refusing.try_enter(1).is_none());
        drop(first);
        assert!(refusing.try_enter(1).is_some());
        assert!(level(0, Some((1, 1))).try_enter(1).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn requests_wait_are_refused_and_let_in() {
        let level = level(2, Some((1, 1)));
        let first = level.try_enter(1).unwrap();
        let _second = level.try_enter(1).unwrap();
        assert!(level.try_enter(1).is_none());
        let waiting = {
            let level = Arc::clone(&level);
            tokio::spawn(async move { level.wait(0, 1, PATIENCE, Asked::for_tests(), |_| ()).await })
        };
        while level.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(
            level
                .wait(0, 1, PATIENCE, Asked::for_tests(), |_| ())
                .await
                .unwrap_err(),
            Refusal::QueueFull
        );
        drop(first);
        let third = waiting.await.unwrap().unwrap();
        assert_eq!((level.in_use(), level.waiting()), (2, 0));
        assert_eq!(
            level
                .wait(0, 1, PATIENCE, Asked::for_tests(), |_| ())
                .await
                .unwrap_err(),
            Refusal::TimeOut
        );
        assert_eq!((level.in_use(), level.waiting()), (2, 0));
        drop(third);
        assert_eq!(level.in_use(), 1);
        let tallied = level.tally.so_far();
        assert_eq!((tallied.executing, tallied.dispatched), (1, 3));
        assert_eq!(
            (tallied.rejected, tallied.timed_out, tallied.cancelled),
            (1, 1, 0)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_hangs_up_leaves_no_trace() {
        let level = level(1, Some((4, 10)));
        let seat = level.try_enter(1).unwrap();
        let waiting = {
            let level = Arc::clone(&level);
            tokio::spawn(async move { level.wait(7, 1, PATIENCE, Asked::for_tests(), |_| ()).await })
        };
        while level.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        waiting.abort();
        assert!(waiting.await.is_err());
        assert_eq!(level.waiting(), 0);
        assert_eq!(level.tally.so_far().cancelled, 1);
        drop(seat);
        assert_eq!(level.in_use(), 0);
        assert!(level.try_enter(1).is_some());
    }

    #[tokio::test]
    async fn a_level_that_rejects_never_queues_and_a_wide_request_runs_alone() {
        let level = level(3, None);
        assert_eq!(
            level
                .wait(0, 1, PATIENCE, Asked::for_tests(), |_| ())
                .await
                .unwrap_err(),
            Refusal::ConcurrencyLimit
        );
        let wide = level.try_enter(10).unwrap();
        assert!(level.try_enter(1).is_none());
        drop(wide);
        let _one = level.try_enter(1).unwrap();
        assert!(level.try_enter(10).is_none());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_seat_is_lost_under_contention() {
        let level = level(3, Some((8, 1000)));
        let tasks: Vec<_> = (0..200u64)
            .map(|flow| {
                let level = Arc::clone(&level);
                tokio::spawn(async move {
                    for _ in 0..20 {
                        let seat = match level.try_enter(1) {
                            Some(seat) => seat,
                            None => level
                                .wait(flow, 1 + (flow % 2) as u32, PATIENCE, Asked::for_tests(), |_| ())
                                .await
                                .unwrap(),
                        };
                        assert!(level.in_use() <= 3);
                        tokio::task::yield_now().await;
                        drop(seat);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!((level.in_use(), level.waiting()), (0, 0));
    }
}
