//! Brightness by PWM on the output-enable line, which is active low.

use embedded_hal::pwm::SetDutyCycle;
use leitstand_core::panel::chain::oe_compare;

/// The output-enable line. Dark until the first [`show`](Self::show): a chain shows noise at power-on.
#[derive(Debug)]
pub struct Dimmer<P> {
    pwm: P,
    /// Percent in force; `None` = dark.
    shown: Option<u8>,
}

impl<P: SetDutyCycle> Dimmer<P> {
    /// Takes the line and holds it at dark.
    pub fn new(mut pwm: P) -> Self {
        // A PWM that refuses shows at the next `show`, which tries again.
        let _ = pwm.set_duty_cycle_fully_on();
        Self { pwm, shown: None }
    }

    /// Shows the LEDs with `percent` brightness, 0..=100. Costs nothing when it is that already. Call it after
    /// the first image stands behind the latch, not before.
    pub fn show(&mut self, percent: u8) {
        if self.shown == Some(percent) {
            return;
        }
        let max = u32::from(self.pwm.max_duty_cycle());
        let duty = u32::from(oe_compare(percent)) * max / 255;
        if self.pwm.set_duty_cycle(duty as u16).is_ok() {
            self.shown = Some(percent);
        }
    }

    /// All LEDs off at once, whatever the chain holds.
    pub fn darken(&mut self) {
        self.shown = None;
        let _ = self.pwm.set_duty_cycle_fully_on();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use core::convert::Infallible;
    use embedded_hal::pwm::ErrorType;
    use std::vec::Vec;

    struct Recorder<'a>(&'a mut Vec<u16>, u16);

    impl ErrorType for Recorder<'_> {
        type Error = Infallible;
    }

    impl SetDutyCycle for Recorder<'_> {
        fn max_duty_cycle(&self) -> u16 {
            self.1
        }

        fn set_duty_cycle(&mut self, duty: u16) -> Result<(), Infallible> {
            self.0.push(duty);
            Ok(())
        }
    }

    #[test]
    fn dark_until_the_first_image_and_inverted() {
        let mut duties = Vec::new();
        let mut dimmer = Dimmer::new(Recorder(&mut duties, 255));
        [0, 50, 50, 100]
            .into_iter()
            .for_each(|percent| dimmer.show(percent));
        dimmer.darken();
        dimmer.show(100);
        assert_eq!(duties, [255, 255, 128, 0, 255, 0]);
    }

    #[test]
    fn any_resolution_will_do() {
        let mut duties = Vec::new();
        let mut dimmer = Dimmer::new(Recorder(&mut duties, 1023));
        [50, 100]
            .into_iter()
            .for_each(|percent| dimmer.show(percent));
        assert_eq!(duties, [1023, 513, 0]);
    }
}
