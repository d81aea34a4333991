//! What the server does every so often it does on one beat: waking up is most of what an idle process costs, so it wakes up once
//! for all of it.

use std::sync::LazyLock;
use std::time::Duration;
use tokio::time::Instant;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// When the last beat of a period was.
pub fn latest(period: Duration) -> Instant {
    latest_at(*START, START.elapsed(), period)
}

/// Waits for the next beat of a period: at most that long.
pub async fn next(period: Duration) {
    tokio::time::sleep_until(latest(period) + period).await;
}

fn latest_at(start: Instant, passed: Duration, period: Duration) -> Instant {
    let beats = passed.as_nanos() / period.as_nanos().max(1);
    start + period * u32::try_from(beats).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beats_are_multiples_of_the_period() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        for (passed, period, beats) in [
            (0.0, 10, 0),
            (9.999, 10, 0),
            (10.0, 10, 10),
            (25.0, 10, 20),
            (25.0, 30, 0),
        ] {
            let found = latest_at(start, Duration::from_secs_f64(passed), second * period);
            assert_eq!(found, start + second * beats, "{passed} {period}");
        }
    }
}
