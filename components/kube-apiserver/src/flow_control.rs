//! Priority and fairness: requests are sorted into flows and priority levels; each level has seats of its own, and
//! the flows of a crowded level take turns.

pub mod asked;
pub mod classify;
pub mod configuration;
pub mod controller;
pub mod debug;
pub mod demand;
pub mod estimate;
pub mod executing;
pub mod level;
pub mod limits;
pub mod metrics;
pub mod objects;
pub mod queues;
pub mod quiet;
pub mod retry_after;
pub mod rules;
pub mod shuffle;
pub mod status;
pub mod tally;

use crate::identity::User;
use crate::request_info::{Query, RequestInfo};
use arc_swap::ArcSwap;
use asked::Asked;
use classify::Flow;
use configuration::Configuration;
use estimate::Counts;
use executing::{Place, Running};
use futures::FutureExt;
use level::{Refusal, Seat};
use metrics::FlowControlMetrics;
use quiet::Quiet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A quarter of the time that a request has may pass in queues, as upstream's.
const PATIENCE: u32 = 4;

/// The configuration in use.
pub struct FlowControl {
    current: ArcSwap<Configuration>,
    pub metrics: FlowControlMetrics,
    /// All seats.
    total: u32,
    quiet: Quiet,
}

/// What flow control says of a request.
pub struct Admission {
    pub flow: Arc<Flow>,
    pub outcome: Result<Ticket, Refusal>,
}

/// A request's right to run; ends when dropped.
pub struct Ticket {
    flow: Arc<Flow>,
    seat: Seat,
    watch: bool,
    place: Place,
    /// Seats that the request's consequences take once it has been answered.
    pub after: Option<(u32, Duration)>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.flow.level.executing.remove(&self.place);
        self.flow
            .metrics
            .ended(self.seat.seats(), self.watch, self.seat.since().elapsed());
    }
}

impl Ticket {
    /// Seats for what follows the request, if there are any to hold and they are free: the answer isn't delayed.
    pub fn afterwards(&self) -> Option<(Seat, Duration)> {
        let (seats, time) = self.after?;
        Some((self.flow.level.try_enter(seats)?, time))
    }
}

impl FlowControl {
    /// Starts with the objects of a new cluster; the stored ones follow when the cache has them.
    pub fn new(total: usize) -> std::io::Result<Self> {
        let total = u32::try_from(total).unwrap_or(u32::MAX);
        let metrics = FlowControlMetrics::default();
        let (schemas, levels) = configuration::built_in()?;
        let current = Configuration::build(total, schemas, levels, None, &metrics);
        Ok(Self {
            current: ArcSwap::from_pointee(current),
            metrics,
            total,
            quiet: Quiet::default(),
        })
    }

    pub fn current(&self) -> Arc<Configuration> {
        self.current.load_full()
    }

    /// Finds the request's flow and waits for seats. `time` is what the request has in all.
    /// What `waiting` gives is kept while it waits.
    pub async fn enter<W>(
        &self,
        user: &Arc<User>,
        info: &Arc<RequestInfo>,
        query: &Query,
        counts: &impl Counts,
        time: Duration,
        waiting: impl FnOnce() -> W,
    ) -> Option<Admission> {
        let (flow, work) = {
            let current = self.current.load();
            let flow = Arc::clone(current.classifier.classify(user, info)?);
            let watches = estimate::told_of(info).then(|| counts.watches(info));
            if let Some(watches) = watches {
                flow.metrics.told(watches);
            }
            let work = if flow.level.exempt {
                estimate::Work::ONE
            } else {
                let most = current.most_seats(&flow.level.name);
                estimate::estimate(info, query, most, watches, counts)
            };
            (flow, work)
        };
        flow.metrics.wants(work.most());
        let entered = flow.level.try_enter(work.seats);
        // After the seats were noted: whoever is woken sees them.
        self.quiet.disturb();
        let (seat, arrived) = match entered {
            Some(seat) => {
                let waited = (!flow.level.exempt).then_some(Duration::ZERO);
                flow.metrics.began(work.seats, waited);
                let arrived = seat.since();
                (Ok(seat), arrived)
            }
            None => {
                let began = Instant::now();
                let waits = (flow.metrics.waits(work.seats), waiting());
                let hash = flow.hash(user, info);
                let asked = Asked::new(&flow, user, info, &work);
                let outcome = flow
                    .level
                    .wait(hash, work.seats, time / PATIENCE, asked, |length| {
                        flow.metrics.enqueued(length)
                    })
                    .boxed()
                    .await;
                drop(waits);
                match &outcome {
                    Ok(_) => flow.metrics.began(work.seats, Some(began.elapsed())),
                    Err(refusal) => flow.metrics.refused(*refusal, began.elapsed()),
                }
                (outcome, began)
            }
        };
        let outcome = seat.map(|seat| {
            let running = Running {
                flow: Arc::clone(&flow),
                user: Arc::clone(user),
                info: Arc::clone(info),
                queue: seat.queue(),
                seats: work.seats,
                after: work.after,
                arrived,
                began: seat.since(),
            };
            Ticket {
                flow: Arc::clone(&flow),
                seat,
                watch: info.verb == "watch",
                place: flow.level.executing.add(running),
                after: work.after,
            }
        });
        Some(Admission { flow, outcome })
    }
}
