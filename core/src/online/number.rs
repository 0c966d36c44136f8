//! The few functions that `core` lacks, made of operations that are equal on every target.

/// Magnitude.
#[must_use]
pub const fn abs(x: f64) -> f64 {
    f64::from_bits(x.to_bits() & !(1 << 63))
}

/// Square root of a number that is not negative, within one unit in the last place; 0 for anything else.
///
/// Newton's iteration from an estimate that halves the exponent: the estimate is within 6 %, each step
/// doubles the correct digits, so five reach 53 bits.
#[must_use]
pub fn sqrt(x: f64) -> f64 {
    if x.is_nan() || x <= 0.0 {
        return 0.0;
    }
    if x.is_infinite() {
        return x;
    }
    if x < f64::MIN_POSITIVE {
        // Subnormal: brought into the normal range by an even power of two, exactly.
        return sqrt(x * 18_014_398_509_481_984.0) / 134_217_728.0;
    }
    let mut root = f64::from_bits((x.to_bits() >> 1) + (1023_u64 << 51));
    for _ in 0..5 {
        root = 0.5 * (root + x / root);
    }
    root
}
