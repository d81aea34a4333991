//! In which order backends are tried for a new connection. Pure.

use crate::health::Status;

/// What the choice depends on.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    pub status: Status,
    pub preferred: bool,
    /// Open connections.
    pub active: usize,
}

/// Indexes of all candidates, best first: healthy before unknown before unhealthy, then the preferred one, then
/// fewest connections; equals start at a place that `random` picks. Unhealthy ones are tried as well,
/// because a probe can be wrong and there is nothing to lose.
pub fn order(candidates: &[Candidate], random: u64) -> Vec<usize> {
    let count = candidates.len();
    if count == 0 {
        return Vec::new();
    }
    let start = (random % count as u64) as usize;
    let mut indexes: Vec<usize> = (0..count).map(|offset| (start + offset) % count).collect();
    indexes.sort_by_key(|index| {
        let candidate = &candidates[*index];
        (candidate.status, !candidate.preferred, candidate.active)
    });
    indexes
}

#[cfg(test)]
mod tests {
    use super::*;
    use Status::*;

    fn candidates(rows: &[(Status, bool, usize)]) -> Vec<Candidate> {
        rows.iter()
            .map(|&(status, preferred, active)| Candidate {
                status,
                preferred,
                active,
            })
            .collect()
    }

    #[test]
    fn best_comes_first() {
        let table: &[(&[(Status, bool, usize)], u64, &[usize])] = &[
            (&[], 7, &[]),
            (
                &[(Healthy, false, 3), (Healthy, false, 1), (Healthy, false, 2)],
                0,
                &[1, 2, 0],
            ),
            (&[(Healthy, false, 0), (Healthy, true, 9)], 0, &[1, 0]),
            (&[(Healthy, false, 0), (Unhealthy, true, 0)], 1, &[0, 1]),
            (
                &[(Unhealthy, false, 0), (Unknown, false, 5), (Healthy, false, 9)],
                0,
                &[2, 1, 0],
            ),
            (
                &[(Healthy, false, 0), (Healthy, false, 0), (Healthy, false, 0)],
                2,
                &[2, 0, 1],
            ),
            (&[(Unhealthy, false, 0), (Unhealthy, false, 0)], 3, &[1, 0]),
        ];
        for (rows, random, expected) in table {
            assert_eq!(order(&candidates(rows), *random), *expected, "{rows:?} {random}");
        }
    }
}
