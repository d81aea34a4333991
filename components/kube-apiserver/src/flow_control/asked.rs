//! What dumps tell of a request that waits.

use super::classify::Flow;
use super::estimate::Work;
use crate::identity::User;
use crate::request_info::RequestInfo;
use std::sync::Arc;
use std::time::Duration;

/// One request that waits. Made only for those that do.
#[derive(Clone, Debug)]
pub struct Asked {
    pub schema: String,
    /// What tells its flow from others of its schema.
    pub distinguisher: String,
    pub arrived: jiff::Timestamp,
    pub seats: u32,
    /// Seats that its consequences take, and for how long.
    pub after: Option<(u32, Duration)>,
    pub user: Arc<User>,
    pub info: Arc<RequestInfo>,
}

impl Asked {
    pub fn new(flow: &Flow, user: &Arc<User>, info: &Arc<RequestInfo>, work: &Work) -> Self {
        Self {
            schema: flow.name.clone(),
            distinguisher: flow.distinguish(user, info).to_owned(),
            arrived: jiff::Timestamp::now(),
            seats: work.seats,
            after: work.after,
            user: Arc::clone(user),
            info: Arc::clone(info),
        }
    }

    /// Most seats that it takes at once.
    pub fn widest(&self) -> u32 {
        self.after.map_or(self.seats, |(seats, _)| seats.max(self.seats))
    }

    /// What it is guessed to take, in seat-seconds: its own part `seconds`, and its consequences their time.
    pub fn work(&self, seconds: f64) -> f64 {
        let (seats, time) = self.after.unwrap_or_default();
        f64::from(self.seats) * seconds + f64::from(seats) * time.as_secs_f64()
    }

    #[cfg(test)]
    pub fn for_tests() -> Self {
        Self {
            schema: "s".to_owned(),
            distinguisher: "d".to_owned(),
            arrived: jiff::Timestamp::UNIX_EPOCH,
            seats: 1,
            after: None,
            user: Arc::default(),
            info: Arc::default(),
        }
    }
}
