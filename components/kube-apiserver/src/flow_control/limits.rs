//! How all seats are shared out between priority levels, in rest and by demand.

/// Seats of one level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The level's share of all seats.
    pub nominal: u32,
    /// What it keeps when it lends all it may.
    pub lower: u32,
    /// What it has when it borrows all it may.
    pub upper: u32,
}

/// What a level's configuration says about sharing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    pub shares: u32,
    pub lendable_percent: u32,
    pub borrowing_limit_percent: Option<u32>,
}

fn percent(of: u32, percent: u32) -> u32 {
    let hundredths = u64::from(of) * u64::from(percent);
    u32::try_from((hundredths + 50) / 100).unwrap_or(u32::MAX)
}

/// The levels' limits out of `total` seats.
pub fn nominal(total: u32, levels: &[Shares]) -> Vec<Limits> {
    let sum: u64 = levels.iter().map(|level| u64::from(level.shares)).sum();
    levels
        .iter()
        .map(|level| {
            let nominal = (u64::from(total) * u64::from(level.shares)).div_ceil(sum.max(1));
            let nominal = u32::try_from(nominal).unwrap_or(u32::MAX);
            Limits {
                nominal,
                lower: nominal - percent(nominal, level.lendable_percent),
                upper: match level.borrowing_limit_percent {
                    Some(limit) => nominal.saturating_add(percent(nominal, limit)),
                    None => nominal.saturating_add(total),
                },
            }
        })
        .collect()
}

/// What a level wanted lately.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Want {
    pub limits: Limits,
    /// Most seats wanted at one moment.
    pub high: f64,
    /// Smoothed mean and deviation.
    pub smooth: f64,
    /// Takes what it wants; the others share the rest.
    pub exempt: bool,
}

/// How all seats are shared out now.
#[derive(Clone, Debug, PartialEq)]
pub struct Allocation {
    /// Of each level.
    pub seats: Vec<u32>,
    /// Part of what it aims at that every level gets which isn't at one of its limits.
    pub fair: f64,
}

/// A level aims at no less, so that it has a part of what nobody wants.
const LEAST_TARGET: f64 = 0.001;

impl Want {
    /// What the level is entitled to.
    fn least(&self) -> f64 {
        let wanted = match self.exempt {
            true => self.high,
            false => self.high.min(f64::from(self.limits.nominal)),
        };
        wanted.max(f64::from(self.limits.lower))
    }

    /// Seats that it aims at.
    pub fn target(&self) -> f64 {
        self.least().max(self.smooth)
    }

    fn aim(&self) -> f64 {
        self.target().max(LEAST_TARGET)
    }
}

/// The seats that each level may use now: lenders give what they don't need, borrowers share it by their demand. What is
/// shared out is the sum of the nominal limits, as with upstream, which takes what exempt levels use from it only to see
/// whether there is enough.
pub fn allocate(wants: &[Want]) -> Allocation {
    let total: f64 = wants.iter().map(|want| f64::from(want.limits.nominal)).sum();
    let sum = |of: &dyn Fn(&Want) -> f64, exempt: bool| -> f64 {
        let those = wants.iter().filter(|want| want.exempt == exempt);
        those.map(of).sum()
    };
    let lower = |want: &Want| f64::from(want.limits.lower);
    let left = total - sum(&Want::least, true);
    let (lowers, leasts) = (sum(&lower, false), sum(&Want::least, false));
    let given = |fair: f64, seats: &dyn Fn(&Want) -> f64| {
        let of = |want: &Want| round(if want.exempt { want.least() } else { seats(want) });
        Allocation {
            seats: wants.iter().map(of).collect(),
            fair,
        }
    };
    if left <= lowers {
        return given(0.0, &lower);
    }
    if left <= leasts {
        let part = (left - lowers) / (leasts - lowers);
        return given(0.0, &|want| lower(want) + (want.least() - lower(want)) * part);
    }
    let upper = |want: &Want| f64::from(want.limits.upper);
    if total >= sum(&upper, false) {
        let limited = wants.iter().filter(|want| !want.exempt);
        let fair = limited.map(|want| upper(want) / want.aim()).fold(0.0, f64::max);
        return given(fair, &upper);
    }
    let seats = |want: &Want, fraction: f64| (fraction * want.aim()).max(want.least()).min(upper(want));
    // The sum grows with the fraction, so the fair one is found by halving.
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    while sum(&|want| seats(want, high), false) < total {
        high *= 2.0;
    }
    for _ in 0..64 {
        let middle = f64::midpoint(low, high);
        if sum(&|want| seats(want, middle), false) < total {
            low = middle;
        } else {
            high = middle;
        }
    }
    given(high, &|want| seats(want, high))
}

fn round(seats: f64) -> u32 {
    // Never negative, and far below the type's limit: both ends are seats that were u32 before.
    seats.round().clamp(0.0, f64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(shares: u32, lendable: u32, borrowing: Option<u32>) -> Shares {
        Shares {
            shares,
            lendable_percent: lendable,
            borrowing_limit_percent: borrowing,
        }
    }

    #[test]
    fn seats_of_a_new_cluster() {
        // exempt, catch-all, global-default, leader-election, node-high, system, workload-high, workload-low
        let levels = [
            shares(0, 0, None),
            shares(5, 0, None),
            shares(20, 50, None),
            shares(10, 0, None),
            shares(40, 25, None),
            shares(30, 33, None),
            shares(40, 50, None),
            shares(100, 90, None),
        ];
        let found = nominal(600, &levels);
        let nominals: Vec<u32> = found.iter().map(|limits| limits.nominal).collect();
        assert_eq!(nominals, [0, 13, 49, 25, 98, 74, 98, 245]);
        let lowers: Vec<u32> = found.iter().map(|limits| limits.lower).collect();
        assert_eq!(lowers, [0, 13, 24, 25, 73, 50, 49, 24]);
        assert!(found.iter().all(|limits| limits.upper == limits.nominal + 600));
    }

    #[test]
    fn borrowing_may_be_limited() {
        let found = nominal(100, &[shares(1, 0, Some(50)), shares(1, 100, None)]);
        assert_eq!(
            found[0],
            Limits {
                nominal: 50,
                lower: 50,
                upper: 75
            }
        );
        assert_eq!(
            found[1],
            Limits {
                nominal: 50,
                lower: 0,
                upper: 150
            }
        );
    }

    #[test]
    fn idle_levels_lend_to_busy_ones() {
        let limits = |nominal: u32, lower: u32, upper: u32| Limits {
            nominal,
            lower,
            upper,
        };
        let want = |limits: Limits, high: f64, smooth: f64| Want {
            limits,
            high,
            smooth,
            exempt: false,
        };
        let exempt = |high: f64| Want {
            exempt: true,
            ..want(limits(0, 0, 100), high, high)
        };
        let table = [
            // Nobody wants anything: the seats are spread by what each keeps anyhow.
            (
                vec![
                    want(limits(50, 25, 100), 0.0, 0.0),
                    want(limits(50, 25, 100), 0.0, 0.0),
                ],
                vec![50, 50],
            ),
            // One busy, one idle: the busy one gets all that may be lent.
            (
                vec![
                    want(limits(50, 25, 100), 500.0, 500.0),
                    want(limits(50, 25, 100), 0.0, 0.0),
                ],
                vec![75, 25],
            ),
            // Both busy: back to nominal.
            (
                vec![
                    want(limits(50, 25, 100), 500.0, 500.0),
                    want(limits(50, 25, 100), 500.0, 500.0),
                ],
                vec![50, 50],
            ),
            // A borrowing limit holds.
            (
                vec![
                    want(limits(50, 25, 60), 500.0, 500.0),
                    want(limits(50, 25, 100), 0.0, 0.0),
                ],
                vec![60, 40],
            ),
            // What exempt levels use is nobody else's loss, until there is not enough for what others are entitled to.
            (
                vec![
                    exempt(20.0),
                    want(limits(50, 25, 100), 500.0, 500.0),
                    want(limits(50, 25, 100), 0.0, 0.0),
                ],
                vec![20, 75, 25],
            ),
            (
                vec![
                    exempt(30.0),
                    want(limits(50, 25, 100), 500.0, 500.0),
                    want(limits(50, 25, 100), 0.0, 0.0),
                ],
                vec![30, 45, 25],
            ),
            (
                vec![
                    exempt(70.0),
                    want(limits(50, 25, 100), 500.0, 500.0),
                    want(limits(50, 25, 100), 0.0, 0.0),
                ],
                vec![70, 25, 25],
            ),
        ];
        for (wants, expected) in table {
            assert_eq!(allocate(&wants).seats, expected, "{wants:?}");
        }
    }
}
