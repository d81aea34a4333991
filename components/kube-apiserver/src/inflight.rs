//! How many requests run at once; more wait a little and are then told to come back.

use apimachinery::ApiError;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A quarter of the default request timeout, as upstream's queues.
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// Requests that may wait per seat; bounds memory when clients are faster than the server.
const QUEUE_PER_SEAT: usize = 8;

/// Two pools, so that reads can't starve writes.
pub struct InFlight {
    reading: Pool,
    mutating: Pool,
}

struct Pool {
    seats: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    most_waiting: usize,
    total: usize,
}

impl Pool {
    fn new(seats: usize) -> Self {
        let seats = if seats == 0 { Semaphore::MAX_PERMITS } else { seats };
        Self {
            seats: Arc::new(Semaphore::new(seats)),
            waiting: Arc::default(),
            most_waiting: seats.saturating_mul(QUEUE_PER_SEAT),
            total: seats,
        }
    }

    async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(seat) = Arc::clone(&self.seats).try_acquire_owned() {
            return Some(seat);
        }
        let _queued = Queued::enter(&self.waiting, self.most_waiting)?;
        tokio::time::timeout(LONGEST_WAIT, Arc::clone(&self.seats).acquire_owned())
            .await
            .ok()?
            .ok()
    }
}

/// A place in the queue; given up when dropped, also when the client hangs up.
struct Queued(Arc<AtomicUsize>);

impl Queued {
    fn enter(waiting: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let place = Self(Arc::clone(waiting));
        (waiting.fetch_add(1, Ordering::Relaxed) < most).then_some(place)
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl InFlight {
    /// Seats for reading and for mutating requests; 0 is no limit.
    pub fn new(reading: usize, mutating: usize) -> Self {
        Self {
            reading: Pool::new(reading),
            mutating: Pool::new(mutating),
        }
    }

    /// Waits for a seat, which is given up when dropped.
    pub async fn enter(&self, mutating: bool) -> Result<OwnedSemaphorePermit, ApiError> {
        let pool = if mutating { &self.mutating } else { &self.reading };
        pool.enter()
            .await
            .ok_or_else(|| ApiError::too_many_requests("Too many requests, please try again later.", 1))
    }

    /// Seats taken now: reading, mutating.
    pub fn taken(&self) -> (usize, usize) {
        let taken = |pool: &Pool| pool.total.saturating_sub(pool.seats.available_permits());
        (taken(&self.reading), taken(&self.mutating))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_seat_after_the_last_is_refused_after_waiting() {
        let limits = InFlight::new(1, 1);
        let seat = limits.enter(false).await.unwrap();
        assert!(limits.enter(true).await.is_ok());
        assert_eq!(limits.enter(false).await.unwrap_err().code(), 429);
        drop(seat);
        assert!(limits.enter(false).await.is_ok());
    }
}
