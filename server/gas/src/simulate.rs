//! Made-up values for trying out, by time alone: the same start gives the same curve.

use leitstand_core::time::Duration;

/// Shapes of simulated values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Half a period low, half a period high.
    Square,
    /// Rises over the period, then drops.
    Sawtooth,
    /// A quarter each low, rising, high, falling.
    Trapezoid,
    /// A new level every tenth of a period, without a pattern.
    Random,
    /// Always `low`.
    Constant,
}

/// A simulated cell. Values in thousandths of its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Shape.
    pub shape: Shape,
    /// Lowest value.
    pub low: i32,
    /// Highest value.
    pub high: i32,
    /// Length of one period.
    pub period: Duration,
    /// Makes cells of one sensor differ.
    pub seed: u64,
}

/// Names in the file with shape and, where it is fixed, the period in seconds.
pub const PROFILES: [(&str, Shape, Option<u32>); 6] = [
    ("square_15min", Shape::Square, Some(900)),
    ("square_30min", Shape::Square, Some(1800)),
    ("sawtooth", Shape::Sawtooth, None),
    ("trapezoid", Shape::Trapezoid, None),
    ("random", Shape::Random, None),
    ("constant", Shape::Constant, None),
];

impl Profile {
    /// The value `t` after the start, in thousandths of the unit.
    #[must_use]
    pub fn at(&self, t: Duration) -> i32 {
        let period = self.period.as_millis().max(1);
        let phase = i64::try_from(t.as_millis() % period).unwrap_or(0);
        let period = i64::try_from(period).unwrap_or(i64::MAX);
        let span = i64::from(self.high) - i64::from(self.low);
        let part = match self.shape {
            Shape::Constant => 0,
            Shape::Square => {
                if phase * 2 < period {
                    0
                } else {
                    span
                }
            }
            Shape::Sawtooth => span * phase / period,
            Shape::Trapezoid => {
                let quarter = (period / 4).max(1);
                match phase / quarter {
                    0 => 0,
                    1 => span * (phase - quarter) / quarter,
                    2 => span,
                    _ => (span * (period - phase) / quarter).min(span),
                }
            }
            Shape::Random => {
                let step = t.as_millis() / u128::try_from((period / 10).max(1)).unwrap_or(1);
                let n = mix(self.seed ^ u64::try_from(step).unwrap_or(0));
                // 1/1024 steps keep the product far from the edge of i64.
                span * i64::from((n >> 54) as u16) / 1023
            }
        };
        i32::try_from(i64::from(self.low) + part).unwrap_or(self.high)
    }
}

/// The finaliser of splitmix64.
const fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(shape: Shape) -> Profile {
        Profile {
            shape,
            low: 1_000,
            high: 9_000,
            period: Duration::from_secs(100),
            seed: 7,
        }
    }

    fn at(shape: Shape, seconds: &[u64]) -> Vec<i32> {
        let profile = profile(shape);
        seconds
            .iter()
            .map(|s| profile.at(Duration::from_secs(*s)))
            .collect()
    }

    #[test]
    fn shapes_are_as_drawn() {
        let times = [0, 25, 30, 49, 50, 75, 80, 99, 100];
        assert_eq!(
            at(Shape::Square, &times),
            [1000, 1000, 1000, 1000, 9000, 9000, 9000, 9000, 1000]
        );
        assert_eq!(
            at(Shape::Sawtooth, &times),
            [1000, 3000, 3400, 4920, 5000, 7000, 7400, 8920, 1000]
        );
        assert_eq!(
            at(Shape::Trapezoid, &times),
            [1000, 1000, 2600, 8680, 9000, 9000, 7400, 1320, 1000]
        );
        assert_eq!(at(Shape::Constant, &times), [1000; 9]);
    }

    #[test]
    fn random_values_stay_in_range_and_use_it() {
        let values = at(Shape::Random, &(0..4000).step_by(10).collect::<Vec<_>>());
        let (low, high) = (values.iter().min(), values.iter().max());
        assert!(low >= Some(&1000) && low < Some(&1400), "{low:?}");
        assert!(high <= Some(&9000) && high > Some(&8600), "{high:?}");
        assert_eq!(
            values,
            at(Shape::Random, &(0..4000).step_by(10).collect::<Vec<_>>())
        );
    }
}
