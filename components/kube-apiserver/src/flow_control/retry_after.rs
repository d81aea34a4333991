//! How long refused clients of a level are asked to stay away: longer while many are refused, as TCP backs off.
//!
//! Upstream's rule (KEP-1040): with three refusals per second of the present answer it doubles, with less than one it falls by
//! a second.

use parking_lot::Mutex;
use std::collections::VecDeque;

/// Seconds; upstream's.
const LONGEST: u64 = 32;

/// What one level answers in `Retry-After`.
#[derive(Debug, Default)]
pub struct RetryAfter(Mutex<History>);

#[derive(Debug)]
struct History {
    /// Second and refusals in it, oldest first; the last is the present one.
    seconds: VecDeque<(u64, u64)>,
    answer: u64,
    raised: Option<u64>,
}

impl Default for History {
    fn default() -> Self {
        Self {
            seconds: VecDeque::new(),
            answer: 1,
            raised: None,
        }
    }
}

impl RetryAfter {
    /// Counts a refusal in second `now`; what to answer, in seconds.
    pub fn refused(&self, now: u64) -> u64 {
        let mut history = self.0.lock();
        match history.seconds.back_mut() {
            Some((second, refused)) if *second >= now => *refused += 1,
            _ => {
                history.consider(now);
                history.seconds.push_back((now, 1));
            }
        }
        history.answer
    }
}

impl History {
    /// Looks at the seconds before `now`, as many as clients are asked to stay away.
    fn consider(&mut self, now: u64) {
        while self
            .seconds
            .front()
            .is_some_and(|(second, _)| now - second > LONGEST)
        {
            self.seconds.pop_front();
        }
        let recent = self.seconds.iter().rev();
        let refused: u64 = recent
            .take_while(|(second, _)| now - second <= self.answer)
            .map(|(_, refused)| refused)
            .sum();
        // One crowd raises it once.
        let settled = self.raised.is_none_or(|raised| now - raised >= self.answer);
        if settled && refused >= 3 * self.answer {
            self.answer = (2 * self.answer).min(LONGEST);
            self.raised = Some(now);
        } else if refused < self.answer && self.answer > 1 {
            self.answer -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the last of `refusals` in each second from `first` is answered.
    fn answers(level: &RetryAfter, first: u64, refusals: &[u64]) -> Vec<u64> {
        let seconds = (first..).zip(refusals);
        seconds
            .map(|(second, count)| (0..*count).map(|_| level.refused(second)).last().unwrap_or(0))
            .collect()
    }

    #[test]
    fn it_doubles_under_a_flood_up_to_half_a_minute_and_falls_by_a_second_afterwards() {
        let level = RetryAfter::default();
        // Raised by the three of the second before, then not before two, four… seconds have passed.
        assert_eq!(
            answers(&level, 100, &[3, 10, 10, 10, 10, 10, 10, 10]),
            [1, 2, 2, 4, 4, 4, 4, 8]
        );
        assert_eq!(answers(&level, 108, &[10; 70]).last(), Some(&32));
        // Nobody was refused for an hour: a single refusal is told a little less each time.
        assert_eq!(answers(&level, 10_000, &[1, 1, 1]), [31, 30, 29]);
    }

    #[test]
    fn few_refusals_leave_it_at_a_second() {
        let level = RetryAfter::default();
        assert_eq!(answers(&level, 5, &[2, 2, 2, 2]), [1, 1, 1, 1]);
    }
}
