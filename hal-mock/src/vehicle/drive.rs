//! Two small demonstrations of what a vehicle reports: it drives round a loop, its button is pressed now and then.

use leitstand_core::time::Instant;

use super::Device;

/// Module of the public example: a button with a lamp.
pub const EXAMPLE: u32 = 1000;
/// Module whose statuses are shown as they are.
pub const TRANSPARENT: u32 = 3;

/// Length of the loop in metres.
const LOOP_M: f64 = 1200.0;

/// A vehicle's own simulation: a battery, a position on a loop, a button.
#[derive(Clone, Debug)]
pub struct Tour {
    offset_m: f64,
    speed_mps: f64,
    stopped: bool,
    lit: bool,
    next_button: Instant,
    next_position: Instant,
    pressed: bool,
}

impl Tour {
    /// The vehicle with this number.
    #[must_use]
    pub fn new(number: u32) -> Self {
        Self {
            offset_m: 400.0 * f64::from(number),
            speed_mps: 4.0 + f64::from(number),
            stopped: false,
            lit: false,
            next_button: Instant::from_secs(3 + 2 * u64::from(number)),
            next_position: Instant::ZERO,
            pressed: false,
        }
    }

    /// Its devices: the button, and the drive.
    #[must_use]
    pub fn devices() -> Vec<Device> {
        let device = |module, role: &str, name: &str| Device {
            module,
            device_type: 0,
            role: role.into(),
            name: name.into(),
            priority: 0,
        };
        vec![
            device(EXAMPLE, "door", "button1"),
            device(TRANSPARENT, "drive", "autonomy"),
        ]
    }

    /// What changed until `now`: the device's place and its new status.
    pub fn poll(&mut self, now: Instant) -> Option<(usize, String)> {
        if self.next_button <= now {
            self.pressed = !self.pressed;
            let after = if self.pressed { 2 } else { 7 };
            self.next_button = now + std::time::Duration::from_secs(after);
            return Some((0, format!("{{\"pressed\": {}}}", self.pressed)));
        }
        if self.next_position <= now {
            self.next_position = now + std::time::Duration::from_secs(1);
            if !self.stopped {
                self.offset_m = (self.offset_m + self.speed_mps) % LOOP_M;
            }
            return Some((1, self.position()));
        }
        None
    }

    /// When [`poll`](Self::poll) has something next.
    #[must_use]
    pub fn next(&self) -> Instant {
        self.next_button.min(self.next_position)
    }

    /// A command for the device at `index`: the lamp, or `stop` and `go`.
    pub fn command(&mut self, module: u32, data: &[u8]) {
        let text = String::from_utf8_lossy(data);
        if module == EXAMPLE {
            self.lit = text.contains("true");
        } else if text.contains("stop") {
            self.stopped = true;
        } else if text.contains("go") {
            self.stopped = false;
        }
    }

    /// Whether the lamp of its button is lit.
    #[must_use]
    pub fn is_lit(&self) -> bool {
        self.lit
    }

    fn position(&self) -> String {
        let speed = if self.stopped { 0.0 } else { self.speed_mps };
        let angle = self.offset_m / LOOP_M * std::f64::consts::TAU;
        format!(
            "{{\"x_m\": {:.1}, \"y_m\": {:.1}, \"speed_mps\": {speed:.1}}}",
            190.0 * angle.cos(),
            190.0 * angle.sin()
        )
    }
}
