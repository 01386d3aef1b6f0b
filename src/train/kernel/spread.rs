//! Running statistics of one number.

/// Count, mean and extremes of a number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub count: f64,
    pub sum: f64,
    pub square: f64,
    pub low: f64,
    pub high: f64,
}

impl Default for Spread {
    fn default() -> Self {
        Self {
            count: 0.0,
            sum: 0.0,
            square: 0.0,
            low: f64::INFINITY,
            high: f64::NEG_INFINITY,
        }
    }
}

impl Spread {
    /// Counts one number.
    pub fn add(&mut self, x: f64) {
        self.merge(&Self {
            count: 1.0,
            sum: x,
            square: x * x,
            low: x,
            high: x,
        });
    }

    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.square += other.square;
        self.low = self.low.min(other.low);
        self.high = self.high.max(other.high);
    }

    pub fn mean(&self) -> f64 {
        if self.count > 0.0 {
            self.sum / self.count
        } else {
            0.0
        }
    }

    pub fn deviation(&self) -> f64 {
        if self.count > 0.0 {
            let mean = self.mean();
            (self.square / self.count - mean * mean).max(0.0).sqrt()
        } else {
            0.0
        }
    }
}
