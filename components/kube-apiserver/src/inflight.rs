//! How many requests run at once: by priority and fairness, or by two plain counts when that is switched off.

use crate::answer;
use crate::flow_control::Ticket;
use crate::flow_control::classify::Flow;
use crate::flow_control::estimate::Counts;
use crate::flow_control::level::Seat;
use crate::identity::{MASTERS, User};
use crate::request_info::{Query, RequestInfo};
use crate::server::Server;
use crate::serving::body::Response;
use crate::stores::Stores;
use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue, StatusCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const FLOW_HEADERS: [HeaderName; 2] = [
    HeaderName::from_static("x-kubernetes-pf-flowschema-uid"),
    HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid"),
];

/// Requests that run, and the plain limits.
pub struct InFlight {
    reading: Pool,
    mutating: Pool,
}

struct Pool {
    seats: Arc<Semaphore>,
    running: Arc<AtomicUsize>,
    waiting: Arc<AtomicUsize>,
}

impl Pool {
    fn new(seats: usize) -> Self {
        let seats = if seats == 0 { Semaphore::MAX_PERMITS } else { seats };
        Self {
            seats: Arc::new(Semaphore::new(seats)),
            running: Arc::default(),
            waiting: Arc::default(),
        }
    }
}

/// Counts a running request until dropped.
struct Running(Arc<AtomicUsize>);

impl Running {
    fn count(running: &Arc<AtomicUsize>) -> Self {
        running.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(running))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request's right to run; ends when dropped.
pub struct Pass {
    _running: Running,
    _permit: Option<OwnedSemaphorePermit>,
    ticket: Option<Ticket>,
}

impl Pass {
    /// Seats for what follows a write, and for how long.
    pub fn afterwards(&self) -> Option<(Seat, Duration)> {
        self.ticket.as_ref()?.afterwards()
    }
}

/// Whether a request may run, and the flow it was sorted into.
pub struct Entry {
    /// `None` if there is no seat for it.
    pub pass: Option<Pass>,
    flow: Option<Arc<Flow>>,
}

impl Entry {
    /// The answer to a request that got no seat.
    pub fn refusal(&self) -> Response {
        let seconds = self.flow.as_ref().map_or(1, |flow| flow.level.refused());
        let mut response = answer::text(
            StatusCode::TOO_MANY_REQUESTS,
            "Too many requests, please try again later.\n",
        );
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(seconds));
        response
    }

    /// Adds the headers that tell clients how their request was sorted.
    pub fn mark(&self, response: &mut Response) {
        let Some(flow) = &self.flow else { return };
        for (name, value) in FLOW_HEADERS.iter().zip(&flow.headers) {
            response.headers_mut().insert(name.clone(), value.clone());
        }
    }
}

impl InFlight {
    /// Reading and mutating requests that may run; 0 is no limit.
    pub fn new(reading: usize, mutating: usize) -> Self {
        Self {
            reading: Pool::new(reading),
            mutating: Pool::new(mutating),
        }
    }

    fn pool(&self, info: &RequestInfo) -> &Pool {
        if info.is_mutating() {
            &self.mutating
        } else {
            &self.reading
        }
    }

    /// The plain limits: no waiting, and no limit for those who repair clusters.
    fn enter(&self, user: &User, info: &RequestInfo) -> Option<Pass> {
        let pool = self.pool(info);
        let permit = Arc::clone(&pool.seats).try_acquire_owned().ok();
        (permit.is_some() || user.in_group(MASTERS)).then(|| Pass {
            _running: Running::count(&pool.running),
            _permit: permit,
            ticket: None,
        })
    }

    /// Requests that run now: reading, mutating.
    pub fn taken(&self) -> (usize, usize) {
        let taken = |pool: &Pool| pool.running.load(Ordering::Relaxed);
        (taken(&self.reading), taken(&self.mutating))
    }

    /// Requests that wait for their turn now: reading, mutating.
    pub fn waiting(&self) -> (usize, usize) {
        let waiting = |pool: &Pool| pool.waiting.load(Ordering::Relaxed);
        (waiting(&self.reading), waiting(&self.mutating))
    }
}

struct Stored<'a>(&'a Stores);

impl Counts for Stored<'_> {
    fn objects(&self, info: &RequestInfo) -> (usize, usize) {
        self.0
            .named(&info.group, &info.resource)
            .map_or((0, 0), |store| (store.objects(), store.bytes()))
    }

    fn watches(&self, info: &RequestInfo) -> usize {
        self.0
            .named(&info.group, &info.resource)
            .map_or(0, |store| store.watchers())
    }
}

/// Lets a request in; it may wait for its turn. `time` is what it has in all.
pub async fn enter(
    server: &Server,
    user: &Arc<User>,
    info: &Arc<RequestInfo>,
    query: &Query,
    time: Duration,
) -> Entry {
    let pool = server.inflight.pool(info);
    let free = || Pass {
        _running: Running::count(&pool.running),
        _permit: None,
        ticket: None,
    };
    // A connection that stays open keeps no seat; a watch has one until it has begun.
    let fairly = server.flow_control.as_deref();
    if info.is_long_running() && (info.verb != "watch" || fairly.is_none()) {
        return Entry {
            pass: Some(free()),
            flow: None,
        };
    }
    let Some(control) = fairly else {
        return Entry {
            pass: server.inflight.enter(user, info),
            flow: None,
        };
    };
    let waiting = || Running::count(&pool.waiting);
    match control
        .enter(user, info, query, &Stored(&server.stores), time, waiting)
        .await
    {
        // No schema takes it: only without the one that takes everything.
        None => Entry {
            pass: None,
            flow: None,
        },
        Some(admission) => Entry {
            pass: admission.outcome.ok().map(|ticket| Pass {
                ticket: Some(ticket),
                ..free()
            }),
            flow: Some(admission.flow),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_limits_refuse_at_once_and_spare_those_who_repair() {
        let limits = InFlight::new(1, 1);
        let user = User::default();
        let info = |verb: &str| RequestInfo {
            verb: verb.into(),
            ..RequestInfo::default()
        };
        let pass = limits.enter(&user, &info("get")).unwrap();
        assert!(limits.enter(&user, &info("create")).is_some());
        assert!(limits.enter(&user, &info("get")).is_none());
        assert!(limits.enter(&User::api_server(), &info("get")).is_some());
        assert_eq!(limits.taken(), (1, 0));
        drop(pass);
        assert!(limits.enter(&user, &info("get")).is_some());
    }
}
