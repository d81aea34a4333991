//! Requests of a level that run, for dumps. Each of a few threads has a list of its own, so that none waits for another.

use super::classify::Flow;
use crate::identity::User;
use crate::request_info::RequestInfo;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const LISTS: usize = 16;

/// A request that runs.
#[derive(Clone, Debug)]
pub struct Running {
    pub flow: Arc<Flow>,
    pub user: Arc<User>,
    pub info: Arc<RequestInfo>,
    /// The queue in which it waited, if it had to.
    pub queue: Option<usize>,
    pub seats: u32,
    /// Seats that its consequences take, and for how long.
    pub after: Option<(u32, Duration)>,
    pub arrived: Instant,
    pub began: Instant,
}

#[derive(Debug, Default)]
struct List {
    places: Vec<Option<Running>>,
    free: Vec<usize>,
}

/// In memory of its own: threads that write to the same cache line do wait for each other.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Own(Mutex<List>);

/// Where a request is found.
#[derive(Debug)]
pub struct Place {
    list: usize,
    number: usize,
}

/// All that run.
#[derive(Debug, Default)]
pub struct Executing([Own; LISTS]);

impl Executing {
    pub fn add(&self, running: Running) -> Place {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static OWN: usize = THREADS.fetch_add(1, Ordering::Relaxed) % LISTS;
        }
        let list = OWN.with(|own| *own);
        let mut own = self.0[list].0.lock();
        let number = match own.free.pop() {
            Some(number) => {
                own.places[number] = Some(running);
                number
            }
            None => {
                own.places.push(Some(running));
                own.places.len() - 1
            }
        };
        Place { list, number }
    }

    /// Takes out what was added there.
    pub fn remove(&self, place: &Place) {
        let removed = {
            let mut list = self.0[place.list].0.lock();
            list.free.push(place.number);
            list.places[place.number].take()
        };
        // Outside of the lock.
        drop(removed);
    }

    /// All that run now, those that began first in front.
    pub fn all(&self) -> Vec<Running> {
        let mut all: Vec<Running> = Vec::new();
        for own in &self.0 {
            all.extend(own.0.lock().places.iter().flatten().cloned());
        }
        all.sort_by_key(|running| running.began);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow_control::FlowControl;
    use crate::flow_control::estimate::Counts;
    use crate::request_info::Query;

    struct Nothing;

    impl Counts for Nothing {
        fn objects(&self, _: &RequestInfo) -> (usize, usize) {
            (0, 0)
        }

        fn watches(&self, _: &RequestInfo) -> usize {
            0
        }
    }

    #[tokio::test]
    async fn requests_are_found_until_they_end() {
        let control = FlowControl::new(600).unwrap();
        let user = Arc::new(User {
            name: "u".into(),
            ..User::default()
        });
        let enter = async |name: &str| {
            let info = Arc::new(RequestInfo {
                is_resource: true,
                verb: "get".into(),
                resource: "pods".into(),
                name: name.to_owned(),
                ..RequestInfo::default()
            });
            let query = Query::parse(None);
            let time = Duration::from_secs(60);
            let entered = control.enter(&user, &info, &query, &Nothing, time, || ());
            entered.await.unwrap().outcome.unwrap()
        };
        let level = || Arc::clone(&control.current().levels["catch-all"].level);
        let names = || -> Vec<String> {
            let all = level().executing.all();
            all.iter().map(|running| running.info.name.clone()).collect()
        };
        let first = enter("a").await;
        let second = enter("b").await;
        assert_eq!(names(), ["a", "b"]);
        drop(first);
        assert_eq!(names(), ["b"]);
        let third = enter("c").await;
        assert_eq!(names(), ["b", "c"]);
        drop((second, third));
        assert!(names().is_empty());
    }
}
