//! Named parameters of a model, with their range.

/// One parameter of a kind of model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What holds when it is not given.
    pub default: f64,
    /// Smallest allowed value.
    pub min: f64,
    /// Largest allowed value.
    pub max: f64,
    /// Whether it must be a whole number.
    pub whole: bool,
}

impl Parameter {
    /// A real number.
    #[must_use]
    pub const fn real(name: &'static str, default: f64, min: f64, max: f64) -> Self {
        Self {
            name,
            default,
            min,
            max,
            whole: false,
        }
    }

    /// A count.
    #[must_use]
    pub const fn count(name: &'static str, default: u32, min: u32, max: u32) -> Self {
        Self {
            name,
            default: default as f64,
            min: min as f64,
            max: max as f64,
            whole: true,
        }
    }

    /// Passes an allowed value on.
    ///
    /// # Errors
    /// [`ParameterError`] for a value out of range, a fraction where a count is meant, and NaN.
    pub fn check(&self, value: f64) -> Result<f64, ParameterError> {
        let fits = value >= self.min && value <= self.max;
        if fits && (!self.whole || f64::from(value as u32) == value) {
            Ok(value)
        } else {
            Err(ParameterError { parameter: *self })
        }
    }
}

/// A value that its parameter does not allow; the range stands in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ParameterError {
    /// Whose value it is.
    pub parameter: Parameter,
}
