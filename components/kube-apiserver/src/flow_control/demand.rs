//! How many seats a level wanted over the last period.

/// Weight of the past in the smoothed demand, per period; upstream's.
const SMOOTHING: f64 = 0.977;

/// Samples of one level's demand.
#[derive(Clone, Debug, Default)]
pub struct Demand {
    sum: f64,
    squares: f64,
    count: f64,
    pub high: f64,
    pub average: f64,
    pub deviation: f64,
    /// Follows rises at once and falls slowly.
    pub smooth: f64,
}

impl Demand {
    /// Seats wanted at one moment, and the most since the last sample.
    pub fn sample(&mut self, seats: u32, most: u32) {
        let seats = f64::from(seats);
        self.sum += seats;
        self.squares += seats * seats;
        self.count += 1.0;
        self.high = self.high.max(f64::from(most)).max(seats);
    }

    /// Looks at moments when nobody wanted a seat.
    pub fn rest(&mut self, looks: u32) {
        self.count += f64::from(looks);
    }

    /// Closes a period: the figures of it are set, and the next one starts.
    pub fn close(&mut self) {
        let count = self.count.max(1.0);
        self.average = self.sum / count;
        self.deviation = (self.squares / count - self.average * self.average)
            .max(0.0)
            .sqrt();
        let envelope = self.average + self.deviation;
        self.smooth = envelope.max(SMOOTHING * self.smooth + (1.0 - SMOOTHING) * envelope);
        (self.sum, self.squares, self.count) = (0.0, 0.0, 0.0);
    }

    /// Starts the next period's high mark, once the closed one was used.
    pub fn reset_high(&mut self) {
        self.high = 0.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demand_rises_at_once_and_falls_slowly() {
        let mut demand = Demand::default();
        for _ in 0..4 {
            demand.sample(10, 12);
        }
        demand.close();
        assert_eq!(
            (demand.average, demand.deviation, demand.high, demand.smooth),
            (10.0, 0.0, 12.0, 10.0)
        );
        demand.reset_high();
        demand.sample(0, 0);
        demand.close();
        assert!(demand.average == 0.0 && demand.smooth > 9.7, "{demand:?}");
        demand.sample(8, 8);
        demand.rest(3);
        demand.close();
        assert_eq!((demand.average, demand.high), (2.0, 8.0));
    }
}
