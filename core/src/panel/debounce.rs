//! # Debouncing
//!
//! Raw samples of all buttons in, presses and releases out. Pure: time is an argument.
//!
//! Two rules hold in both modes. A button that is held when the board starts gives no press; it arms after
//! it was seen released for one window, and is listed as stuck until then. Buttons do not influence each
//! other.
//!
//! Cost: a scan without a change is a few operations on 128-bit sets, whatever the number of buttons; only
//! buttons that move are looked at one by one.

use super::ButtonSet;
use crate::limits::PANEL_BUTTONS_MAX;
use crate::time::{Duration, Instant};

/// A button pressed for longer than this is reported as stuck. Source: panel specification 2.7.
pub const STUCK_AFTER: Duration = Duration::from_secs(120);

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
        Ok(Self {
            mode,
            window_ms: window_ms as u8,
        })
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
        Self {
            mode: Mode::Eager,
            window_ms: 30,
        }
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

/// What one scan brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Debounced releases.
    pub released: ButtonSet,
    /// Debounced presses.
    pub pressed: ButtonSet,
    /// Buttons that became stuck.
    pub stuck: ButtonSet,
}

/// The debouncer of all buttons of a panel.
#[derive(Clone, Debug)]
pub struct Debouncer {
    config: Config,
    /// The previous sample; `None` before the first scan.
    raw: Option<ButtonSet>,
    /// The debounced state.
    pressed: ButtonSet,
    /// Held since power-up and not armed yet; never in `pressed`.
    held: ButtonSet,
    /// In `pressed` for longer than [`STUCK_AFTER`].
    overdue: ButtonSet,
    /// When the raw sample of a button last changed, and when its press was adopted. Milliseconds that
    /// wrap: half the memory of an `Instant`, and every span measured here is far below 49 days.
    changed_ms: [u32; PANEL_BUTTONS_MAX],
    pressed_ms: [u32; PANEL_BUTTONS_MAX],
}

impl Debouncer {
    /// Before the first scan.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        Self {
            config,
            raw: None,
            pressed: ButtonSet::EMPTY,
            held: ButtonSet::EMPTY,
            overdue: ButtonSet::EMPTY,
            changed_ms: [0; PANEL_BUTTONS_MAX],
            pressed_ms: [0; PANEL_BUTTONS_MAX],
        }
    }

    /// The settings in force.
    #[must_use]
    pub const fn config(&self) -> Config {
        self.config
    }

    /// New settings from the next scan on. What is pressed stays pressed.
    pub const fn configure(&mut self, config: Config) {
        self.config = config;
    }

    /// The debounced state.
    #[must_use]
    pub const fn pressed(&self) -> ButtonSet {
        self.pressed
    }

    /// Buttons held since power-up or pressed for more than 120 s.
    #[must_use]
    pub const fn stuck(&self) -> ButtonSet {
        self.held.union(self.overdue)
    }

    /// Takes one sample of all buttons. Call it once a scan period.
    pub fn scan(&mut self, now: Instant, raw: ButtonSet) -> Changes {
        let now_ms = now.as_millis() as u32;
        let Some(before) = self.raw.replace(raw) else {
            self.held = raw;
            raw.iter()
                .for_each(|id| self.changed_ms[id.index()] = now_ms);
            return Changes {
                stuck: raw,
                ..Changes::default()
            };
        };
        for id in raw.symmetric_difference(before) {
            self.changed_ms[id.index()] = now_ms;
        }
        // Released for one window: armed. Not yet able to press in this scan, since it is released.
        self.held = self
            .held
            .difference(self.steady(now_ms, self.held.difference(raw)));

        let released = self.steady(now_ms, self.pressed.difference(raw));
        let candidates = raw.difference(self.pressed).difference(self.held);
        let pressed = match self.config.mode {
            Mode::Eager => candidates.intersection(before),
            Mode::Stable => self.steady(now_ms, candidates),
        };
        self.pressed = self.pressed.difference(released).union(pressed);
        self.overdue = self.overdue.difference(released);
        pressed
            .iter()
            .for_each(|id| self.pressed_ms[id.index()] = now_ms);
        Changes {
            released,
            pressed,
            stuck: self.overdue(now_ms),
        }
    }

    /// Those of `ids` whose raw sample did not change for one window.
    fn steady(&self, now_ms: u32, ids: ButtonSet) -> ButtonSet {
        let window = u32::from(self.config.window_ms);
        ids.iter()
            .filter(|id| now_ms.wrapping_sub(self.changed_ms[id.index()]) >= window)
            .collect()
    }

    /// Adds those pressed for too long to `overdue` and returns the new ones.
    fn overdue(&mut self, now_ms: u32) -> ButtonSet {
        let limit = STUCK_AFTER.as_millis() as u32;
        let candidates = self.pressed.difference(self.overdue);
        let new = candidates
            .iter()
            .filter(|id| now_ms.wrapping_sub(self.pressed_ms[id.index()]) > limit)
            .collect();
        self.overdue = self.overdue.union(new);
        new
    }
}

#[cfg(test)]
#[path = "debounce/tests.rs"]
mod tests;
