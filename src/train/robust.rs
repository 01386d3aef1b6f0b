//! Losses in which large errors count less than their squares.

/// How the size of an error enters the loss: of a force (eV/Å) or of an energy (eV/atom).
///
/// Source: Huber, Ann. Math. Stat. 35, 73 (1964); Cauchy's is the logarithm of 1 plus the square.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum RobustLoss {
    /// The square, as GPUMD's `nep` has it.
    #[default]
    Square,
    /// The square up to this size, then its tangent.
    Huber(f64),
    /// D² ln(1 + Δ²/D²) with this D: labels that are simply wrong hardly count.
    Cauchy(f64),
}

impl RobustLoss {
    /// The same loss with a size no smaller than this.
    pub(super) fn at_least(self, size: f64) -> Self {
        match self {
            Self::Square => Self::Square,
            Self::Huber(d) => Self::Huber(d.max(size)),
            Self::Cauchy(d) => Self::Cauchy(d.max(size)),
        }
    }

    /// What stands for a squared error.
    pub(super) fn value(self, square: f64) -> f64 {
        match self {
            Self::Huber(d) if square > d * d => d * (2.0 * square.sqrt() - d),
            Self::Cauchy(d) => d * d * (square / (d * d)).ln_1p(),
            _ => square,
        }
    }

    /// Its derivative with respect to the squared error.
    pub(super) fn slope(self, square: f64) -> f64 {
        match self {
            Self::Huber(d) if square > d * d => d / square.sqrt(),
            Self::Cauchy(d) => 1.0 / (1.0 + square / (d * d)),
            _ => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_derivatives_and_small_errors_are_squares() {
        for loss in [
            RobustLoss::Square,
            RobustLoss::Huber(0.5),
            RobustLoss::Cauchy(0.5),
        ] {
            for square in [1e-3, 0.2, 0.3, 4.0, 100.0] {
                let h = 1e-6 * square;
                let slope = (loss.value(square + h) - loss.value(square - h)) / (2.0 * h);
                assert!(
                    (slope - loss.slope(square)).abs() < 1e-6,
                    "{loss:?} {square}"
                );
            }
            assert!((loss.value(1e-8) - 1e-8).abs() < 1e-14);
        }
        assert!(RobustLoss::Huber(0.5).value(100.0) < 10.0);
    }
}
