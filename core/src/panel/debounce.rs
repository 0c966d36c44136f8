//! Debouncing: raw samples of all buttons in, presses and releases out. Pure; time is an argument.

use core::time::Duration;

/// How a press is recognised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Press at the second consecutive pressed sample, release after an uninterrupted window. Fast; takes a
    /// burst of two samples for a press.
    #[default]
    Eager,
    /// Press and release after a window without any change. For noisy sites.
    Stable,
}

/// Checked settings of a debouncer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    mode: Mode,
    window_ms: u8,
}

impl Config {
    /// `window` is 5..=100 ms and at least two scans; `scan` is 1..=20 ms.
    ///
    /// # Errors
    /// Which bound is broken; the caller refuses the setting and keeps the old one.
    pub fn new(mode: Mode, window: Duration, scan: Duration) -> Result<Self, ConfigError> {
        if !(1..=20).contains(&scan.as_millis()) {
            return Err(ConfigError::Scan);
        }
        let window_ms = window.as_millis();
        if !(5..=100).contains(&window_ms) || window < 2 * scan {
            return Err(ConfigError::Window);
        }
        Ok(Self { mode, window_ms: window_ms as u8 })
    }

    /// How a press is recognised.
    #[must_use]
    pub const fn mode(self) -> Mode {
        self.mode
    }

    /// The window, 5..=100 ms.
    #[must_use]
    pub const fn window(self) -> Duration {
        Duration::from_millis(self.window_ms as u64)
    }
}

impl Default for Config {
    /// Eager, 30 ms.
    fn default() -> Self {
        Self { mode: Mode::Eager, window_ms: 30 }
    }
}

/// Which bound a setting breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// The scan period is outside 1..=20 ms.
    Scan,
    /// The window is outside 5..=100 ms or shorter than two scans.
    Window,
}
