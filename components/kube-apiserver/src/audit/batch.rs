//! Events on their way to a backend that takes them together.

use serde_json::Value;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{Receiver, Sender, channel, error::TrySendError};
use tokio::time::Instant as Tick;

/// Settings of `--audit-*-batch-*`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Batching {
    /// Events that may wait; more are dropped.
    pub buffer: usize,
    pub max_size: usize,
    pub max_wait: Duration,
    /// Batches per second, and how many at once after a pause; `None` is without limit.
    pub throttle: Option<(f64, u32)>,
}

/// Tokens that come in at a rate, up to a burst.
#[derive(Clone, Debug)]
pub struct Bucket {
    rate: f64,
    burst: f64,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    pub fn new(rate: f64, burst: u32, now: Instant) -> Self {
        Self {
            rate,
            burst: f64::from(burst),
            tokens: f64::from(burst),
            at: now,
        }
    }

    /// Takes a token; the time until it is there.
    pub fn take(&mut self, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.tokens = (self.tokens + passed * self.rate).min(self.burst) - 1.0;
        if self.tokens >= 0.0 || self.rate <= 0.0 {
            Duration::ZERO
        } else {
            Duration::from_secs_f64(-self.tokens / self.rate)
        }
    }
}

/// Where events are put in.
#[derive(Clone, Debug)]
pub struct Intake(Sender<Value>);

/// Where batches come out.
#[derive(Debug)]
pub struct Batches {
    receiver: Receiver<Value>,
    /// What was taken out for the next batch. With its times kept here so that nothing is lost, waited for or paid twice when
    /// waiting is given up.
    pending: Vec<Value>,
    /// When the batch goes even if it isn't full.
    complete_at: Option<Tick>,
    /// When the bucket lets the complete batch go.
    goes_at: Option<Tick>,
    settings: Batching,
    bucket: Option<Bucket>,
}

/// A buffer with its two ends.
pub fn buffer(settings: Batching) -> (Intake, Batches) {
    let (sender, receiver) = channel(settings.buffer.max(1));
    let bucket = settings
        .throttle
        .map(|(rate, burst)| Bucket::new(rate, burst, Tick::now().into_std()));
    let batches = Batches {
        receiver,
        pending: Vec::new(),
        complete_at: None,
        goes_at: None,
        settings,
        bucket,
    };
    (Intake(sender), batches)
}

impl Intake {
    /// Whether there was room.
    pub fn put(&self, event: Value) -> bool {
        match self.0.try_send(event) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => false,
        }
    }
}

impl Batches {
    /// The next batch; `None` once all intakes are gone and everything was taken out.
    pub async fn next(&mut self) -> Option<Vec<Value>> {
        if self.pending.is_empty() {
            self.pending.push(self.receiver.recv().await?);
        }
        let goes_at = match self.goes_at {
            Some(at) => at,
            None => {
                self.complete().await;
                let now = Tick::now();
                let pause = self.bucket.as_mut().map(|bucket| bucket.take(now.into_std()));
                *self.goes_at.insert(now + pause.unwrap_or_default())
            }
        };
        tokio::time::sleep_until(goes_at).await;
        (self.complete_at, self.goes_at) = (None, None);
        Some(std::mem::take(&mut self.pending))
    }

    /// Takes out events until the batch is full or has waited long enough.
    async fn complete(&mut self) {
        let deadline = *self
            .complete_at
            .get_or_insert_with(|| Tick::now() + self.settings.max_wait);
        while self.pending.len() < self.settings.max_size.max(1) {
            match tokio::time::timeout_at(deadline, self.receiver.recv()).await {
                Ok(Some(event)) => self.pending.push(event),
                Ok(None) | Err(_) => break,
            }
        }
    }

    /// No more events are taken in; those that wait still come out.
    pub fn close(&mut self) {
        self.receiver.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[tokio::test(start_paused = true)]
    async fn batches_fill_up_or_wait_so_long() {
        let (intake, mut batches) = buffer(Batching {
            buffer: 4,
            max_size: 3,
            max_wait: Duration::from_secs(30),
            throttle: None,
        });
        for number in 0..4 {
            assert!(intake.put(json!(number)));
        }
        assert!(!intake.put(json!(4)), "the buffer is full");
        assert_eq!(batches.next().await.unwrap().len(), 3);
        let began = tokio::time::Instant::now();
        assert_eq!(batches.next().await.unwrap(), [json!(3)]);
        assert_eq!(began.elapsed(), Duration::from_secs(30));
        assert!(intake.put(json!(5)));
        drop(intake);
        assert_eq!(batches.next().await.unwrap(), [json!(5)]);
        assert_eq!(batches.next().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_costs_one_token_however_often_it_is_waited_for() {
        let (intake, mut batches) = buffer(Batching {
            buffer: 4,
            max_size: 1,
            max_wait: Duration::from_secs(30),
            throttle: Some((1.0, 1)),
        });
        let began = Tick::now();
        for number in 0..3 {
            assert!(intake.put(json!(number)));
        }
        for number in 0..3 {
            let mut given_up = 0;
            let batch = loop {
                match tokio::time::timeout(Duration::from_millis(300), batches.next()).await {
                    Ok(batch) => break batch,
                    Err(_) => given_up += 1,
                }
            };
            assert_eq!(batch.unwrap(), [json!(number)]);
            assert_eq!(given_up, if number == 0 { 0 } else { 3 });
            let second = Duration::from_secs(number);
            assert!((second..second + Duration::from_millis(10)).contains(&began.elapsed()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_incomplete_batch_waits_no_longer_when_waiting_is_given_up() {
        let (intake, mut batches) = buffer(Batching {
            buffer: 4,
            max_size: 2,
            max_wait: Duration::from_secs(30),
            throttle: None,
        });
        assert!(intake.put(json!(1)));
        let began = Tick::now();
        let given_up = tokio::time::timeout(Duration::from_secs(20), batches.next()).await;
        assert!(given_up.is_err());
        assert_eq!(batches.next().await.unwrap(), [json!(1)]);
        assert_eq!(began.elapsed(), Duration::from_secs(30));
    }

    #[test]
    fn a_bucket_lets_a_burst_through_and_then_its_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10.0, 2, start);
        assert_eq!(bucket.take(start), Duration::ZERO);
        assert_eq!(bucket.take(start), Duration::ZERO);
        assert_eq!(bucket.take(start).as_millis(), 100);
        assert_eq!(bucket.take(start).as_millis(), 200);
        let later = start + Duration::from_secs(5);
        assert_eq!(bucket.take(later), Duration::ZERO);
    }
}
