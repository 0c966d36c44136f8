//! A new zero or span point for one channel of a RA-GAS sensor: which registers change, and what forbids it.
//!
//! Nothing is sent here. The shell shows the proposal to a person, writes exactly what was shown, and reads it
//! back.

use super::ra_gas::{Calibration, Channel};
use heapless::Vec;

/// Fewest counts between zero and span. Reasoning: below this, one count of the 10-bit converter is more than
/// 5 % of the span gas, which no threshold of the presets survives.
pub const COUNTS_MIN: u16 = 20;
/// How far the converter may move between proposal and confirmation. Reasoning: steady gas moves it by a count
/// or two; more means that the gas was changed or had not settled.
pub const COUNTS_MOVED_MAX: u16 = 4;

/// Which end of the line is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Point {
    /// Zero gas is at the sensor.
    Zero,
    /// Span gas is at the sensor.
    Span,
}

impl Point {
    /// The stable text of the API and the journal.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Zero => "zero",
            Self::Span => "span",
        }
    }
}

/// One register to write with function 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisterChange {
    /// Its number.
    pub register: u16,
    /// What the device holds now. Another value there at the time of writing stops everything.
    pub from: u16,
    /// What it shall hold.
    pub to: u16,
}

/// What a calibration would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Registers that change, in the order of writing. Empty = the device holds this already.
    pub changes: Vec<RegisterChange, 2>,
    /// The line after it.
    pub after: Calibration,
}

/// Why this gas cannot become a point of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Objection {
    /// The converter stands at a rail: a broken wire, not a reading.
    Rail,
    /// The span gas would not be stronger than the zero gas.
    Order,
    /// Zero and span would lie less than [`COUNTS_MIN`] apart.
    TooClose,
    /// The line would fall where it rose, or rise where it fell: zero and span gas were mixed up.
    Turned,
}

impl Objection {
    /// The stable code of the API.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Rail => "adc_rail",
            Self::Order => "span_not_above_zero",
            Self::TooClose => "points_too_close",
            Self::Turned => "slope_turned",
        }
    }
}

/// What makes the present reading of channel `number` (1 = NO2, 2 = CO) the `point` of `ppm` gas.
///
/// Register numbers: `10 * number` + 4 counts at zero, + 5 at span, + 6 ppm at zero, + 7 at span.
/// Source: `monitor.md` 2.1.
///
/// # Errors
/// Why it must not be done; the device would measure nonsense with it.
pub fn propose(
    channel: &Channel,
    number: u8,
    point: Point,
    ppm: u16,
) -> Result<Proposal, Objection> {
    if channel.on_rail() {
        return Err(Objection::Rail);
    }
    let before = channel.calibration;
    let mut after = before;
    match point {
        Point::Zero => (after.adc_zero, after.ppm_zero) = (channel.adc, ppm),
        Point::Span => (after.adc_span, after.ppm_span) = (channel.adc, ppm),
    }
    if after.ppm_zero >= after.ppm_span {
        return Err(Objection::Order);
    }
    if after.adc_zero.abs_diff(after.adc_span) < COUNTS_MIN {
        return Err(Objection::TooClose);
    }
    // A device that never had two points has no direction to compare with.
    let known = before.adc_zero != before.adc_span && before.ppm_zero < before.ppm_span;
    if known && (before.adc_zero < before.adc_span) != (after.adc_zero < after.adc_span) {
        return Err(Objection::Turned);
    }
    let base = u16::from(number) * 10;
    let (counts, gas) = match point {
        Point::Zero => (base + 4, base + 6),
        Point::Span => (base + 5, base + 7),
    };
    let all = match point {
        Point::Zero => [
            (counts, before.adc_zero, after.adc_zero),
            (gas, before.ppm_zero, after.ppm_zero),
        ],
        Point::Span => [
            (counts, before.adc_span, after.adc_span),
            (gas, before.ppm_span, after.ppm_span),
        ],
    };
    let changes = all
        .into_iter()
        .filter(|(_, from, to)| from != to)
        .map(|(register, from, to)| RegisterChange { register, from, to })
        .collect();
    Ok(Proposal { changes, after })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example column of the register map.
    const CO: Channel = Channel {
        adc: 107,
        range_min: 0,
        range_max: 300,
        calibration: Calibration {
            adc_zero: 112,
            adc_span: 760,
            ppm_zero: 0,
            ppm_span: 270,
        },
        config: 1,
    };
    const NO2: Channel = Channel {
        adc: 923,
        range_min: 0,
        range_max: 30,
        calibration: Calibration {
            adc_zero: 920,
            adc_span: 564,
            ppm_zero: 0,
            ppm_span: 20,
        },
        config: 1,
    };

    fn changes(channel: Channel, number: u8, point: Point, ppm: u16) -> Vec<(u16, u16, u16), 2> {
        let proposal = propose(&channel, number, point, ppm).unwrap_or_else(|e| panic!("{e:?}"));
        let flat = |c: &RegisterChange| (c.register, c.from, c.to);
        proposal.changes.iter().map(flat).collect()
    }

    #[test]
    fn the_registers_of_each_channel_and_point() {
        assert_eq!(changes(CO, 2, Point::Zero, 0)[..], [(24, 112, 107)]);
        assert_eq!(changes(NO2, 1, Point::Zero, 0)[..], [(14, 920, 923)]);
        let at_gas = Channel { adc: 700, ..CO };
        assert_eq!(changes(at_gas, 2, Point::Span, 270)[..], [(25, 760, 700)]);
        assert_eq!(
            changes(at_gas, 2, Point::Span, 250)[..],
            [(25, 760, 700), (27, 270, 250)]
        );
        assert_eq!(
            changes(Channel { adc: 112, ..CO }, 2, Point::Zero, 0)[..],
            []
        );
    }

    #[test]
    fn the_line_goes_through_the_gas_afterwards() {
        let at_gas = Channel { adc: 700, ..CO };
        let after = propose(&at_gas, 2, Point::Span, 250).map(|p| p.after);
        let calibrated = Channel {
            calibration: after.unwrap_or_default(),
            ..at_gas
        };
        assert_eq!(calibrated.convert().map(|ppm| ppm.as_milli()), Ok(250_000));
    }

    #[test]
    fn what_would_make_the_device_measure_nonsense_is_refused() {
        let refused = |channel: Channel, point, ppm| propose(&channel, 2, point, ppm).err();
        let at = |adc| Channel { adc, ..CO };
        assert_eq!(refused(at(0), Point::Zero, 0), Some(Objection::Rail));
        assert_eq!(refused(at(1023), Point::Span, 270), Some(Objection::Rail));
        assert_eq!(refused(at(112), Point::Zero, 270), Some(Objection::Order));
        assert_eq!(refused(at(700), Point::Span, 0), Some(Objection::Order));
        assert_eq!(
            refused(at(131), Point::Span, 270),
            Some(Objection::TooClose)
        );
        assert_eq!(refused(at(132), Point::Span, 270), None);
        assert_eq!(refused(at(90), Point::Span, 270), Some(Objection::Turned));
        assert_eq!(refused(at(790), Point::Zero, 0), Some(Objection::Turned));
    }

    #[test]
    fn a_device_without_a_line_gets_one() {
        let blank = Channel {
            calibration: Calibration::default(),
            ..CO
        };
        // One point makes no line yet; the span must come first, because the zero alone would not be below it.
        assert_eq!(propose(&blank, 2, Point::Zero, 0), Err(Objection::Order));
        assert!(propose(&blank, 2, Point::Span, 270).is_ok());
    }
}
