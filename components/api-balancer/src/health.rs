//! When a backend counts as healthy, and when its connections are cut. Pure.

/// What one probe found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The API server said that it is ready.
    Ready,
    /// The host accepts connections, but the API server is slow, not ready, or not the one we trust.
    NotReady,
    /// No TCP connection could be made.
    Unreachable,
}

/// How a backend stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    Healthy,
    /// Not probed yet.
    #[default]
    Unknown,
    Unhealthy,
}

/// What has to be done with the connections of a backend after a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    Keep,
    /// The host is gone: nothing will come over them any more.
    Cut,
    /// The server has not been ready for long: they are better off on another, if there is one.
    CutIfAnotherIsHealthy,
}

/// Failed probes in a row after which a backend is no longer chosen.
pub const FAILURES_UNTIL_UNHEALTHY: u32 = 2;
/// Failed probes in a row after which the connections to a reachable backend are moved. More than above: a
/// server under load or in its shutdown must not lose requests that it would still have answered.
pub const FAILURES_UNTIL_MOVED: u32 = 6;

/// State of one backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    pub status: Status,
    /// Failed probes in a row.
    pub failures: u32,
}

impl Health {
    /// Takes in the outcome of one probe.
    pub fn step(&mut self, outcome: Outcome) -> Connections {
        if outcome == Outcome::Ready {
            *self = Health {
                status: Status::Healthy,
                failures: 0,
            };
            return Connections::Keep;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures < FAILURES_UNTIL_UNHEALTHY {
            return Connections::Keep;
        }
        self.status = Status::Unhealthy;
        match outcome {
            Outcome::Unreachable => Connections::Cut,
            _ if self.failures >= FAILURES_UNTIL_MOVED => Connections::CutIfAnotherIsHealthy,
            _ => Connections::Keep,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Connections::*;
    use Outcome::*;

    #[test]
    fn outcomes_lead_to_states() {
        let table: &[(&[Outcome], Status, Connections)] = &[
            (&[], Status::Unknown, Keep),
            (&[Ready], Status::Healthy, Keep),
            (&[Ready, Unreachable], Status::Healthy, Keep),
            (&[Ready, Unreachable, Unreachable], Status::Unhealthy, Cut),
            (&[Ready, NotReady, Unreachable], Status::Unhealthy, Cut),
            (&[Ready, NotReady, NotReady], Status::Unhealthy, Keep),
            (&[Ready, NotReady, Ready, NotReady], Status::Healthy, Keep),
            (&[NotReady; 6], Status::Unhealthy, CutIfAnotherIsHealthy),
            (&[Unreachable, Unreachable, Ready], Status::Healthy, Keep),
        ];
        for (outcomes, status, connections) in table {
            let mut health = Health::default();
            let last = outcomes
                .iter()
                .map(|outcome| health.step(*outcome))
                .last()
                .unwrap_or(Keep);
            assert_eq!((health.status, last), (*status, *connections), "{outcomes:?}");
        }
    }
}
