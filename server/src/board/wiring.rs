//! What hangs on lines and buses of this machine: output boards, mains sense, battery monitor.
//!
//! A device that is missing when the gateway starts, or goes later, is opened again and again; until then its
//! service sees a fault with the reason.

use leitstand_core::hal::{BatteryGauge, MainsSense, PortError};
use leitstand_core::units::{MicroAmp, MilliVolt};
use leitstand_gas::config::{GaugeConfig, GaugeKind, MainsConfig};
use leitstand_gas::register::{Bits, OpenRegister, OutputRegister, RegisterSpec, WiringFault};
use leitstand_hal_linux::gauge::{self, Chip, Gauge, Smbus};
use leitstand_hal_linux::mains::MainsLine;
use leitstand_hal_linux::register;
use leitstand_kit::words::with_causes;
use std::time::{Duration, Instant};

/// Pause between attempts to open what mains or battery hang on.
const REOPEN: Duration = Duration::from_secs(2);

/// Opens the output board of `spec`.
pub(super) fn register(spec: &RegisterSpec) -> OpenRegister {
    let wiring = register::Wiring {
        board: spec.id.clone(),
        chip: spec.chip.clone(),
        oe: spec.oe,
        latch: spec.latch,
        bits: match &spec.bits {
            Bits::Lines { ds, clock } => register::Bits::Lines {
                ds: *ds,
                clock: *clock,
            },
            Bits::Spi { device, clock_hz } => register::Bits::Spi {
                device: device.into(),
                clock_hz: *clock_hz,
            },
        },
    };
    Box::new(move || {
        let board = register::Board::open(&wiring).map_err(|error| fault(&error))?;
        Ok(Box::new(Lines(board)))
    })
}

struct Lines(register::Board);

impl OutputRegister for Lines {
    fn show(&mut self, image: u64) -> Result<(), WiringFault> {
        self.0.show(image).map_err(|error| fault(&error))
    }

    fn hold_off(&mut self) {
        if let Err(error) = self.0.hold_off() {
            tracing::error!(error = with_causes(&error), "output-enable does not obey");
        }
    }
}

fn fault(error: &register::BoardError) -> WiringFault {
    WiringFault(with_causes(error))
}

/// Something that is opened when it is needed and not there.
struct Reopened<T> {
    what: &'static str,
    open: Box<dyn FnMut() -> Result<T, String> + Send>,
    device: Option<T>,
    tried: Option<Instant>,
    complained: Option<String>,
}

impl<T> Reopened<T> {
    fn new(what: &'static str, open: impl FnMut() -> Result<T, String> + Send + 'static) -> Self {
        Self {
            what,
            open: Box::new(open),
            device: None,
            tried: None,
            complained: None,
        }
    }

    fn with<V>(
        &mut self,
        read: impl FnOnce(&mut T) -> Result<V, PortError>,
    ) -> Result<V, PortError> {
        if self.device.is_none() && self.tried.is_none_or(|at| at.elapsed() >= REOPEN) {
            self.tried = Some(Instant::now());
            match (self.open)() {
                Ok(device) => {
                    self.device = Some(device);
                    self.complained = None;
                }
                Err(why) => {
                    if self.complained.as_ref() != Some(&why) {
                        tracing::warn!(what = self.what, why, "not opened");
                        self.complained = Some(why);
                    }
                }
            }
        }
        let device = self.device.as_mut().ok_or(PortError::NotFound)?;
        let result = read(device);
        if matches!(result, Err(PortError::Gone)) {
            self.device = None;
        }
        result
    }
}

/// The contact of `[power.mains]`.
pub(super) fn mains(config: &MainsConfig) -> Box<dyn MainsSense> {
    let config = config.clone();
    Box::new(Mains(Reopened::new("mains sense", move || {
        MainsLine::open(&config.chip, config.line, config.active_low)
            .map_err(|error| with_causes(&error))
    })))
}

struct Mains(Reopened<MainsLine>);

impl MainsSense for Mains {
    fn mains_ok(&mut self) -> Result<bool, PortError> {
        self.0.with(MainsLine::mains_ok)
    }
}

/// The monitor of `[power.gauge]`.
pub(super) fn gauge(config: &GaugeConfig) -> Box<dyn BatteryGauge> {
    let wiring = gauge::Wiring {
        chip: match config.kind {
            GaugeKind::Ina219 => Chip::Ina219,
            GaugeKind::Ina226 => Chip::Ina226,
        },
        bus: config.bus.clone().into(),
        address: config.address,
        shunt_uohm: config.shunt_uohm,
    };
    Box::new(Battery(Reopened::new("battery monitor", move || {
        Gauge::open(&wiring).map_err(|error| with_causes(&error))
    })))
}

struct Battery(Reopened<Gauge<Smbus>>);

impl BatteryGauge for Battery {
    fn voltage(&mut self) -> Result<MilliVolt, PortError> {
        self.0.with(BatteryGauge::voltage)
    }

    fn current(&mut self) -> Result<Option<MicroAmp>, PortError> {
        self.0.with(BatteryGauge::current)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_board_that_is_not_there_names_cause_and_remedy() {
        let spec = RegisterSpec {
            board: leitstand_core::gas::BoardIndex(0),
            id: "relays".into(),
            chip: "no-such-chip".into(),
            oe: 1,
            latch: 4,
            bits: Bits::Lines { ds: 2, clock: 3 },
            outputs: vec![],
        };
        let fault = register(&spec)().err().unwrap().to_string();
        assert!(
            fault.contains("no GPIO chip is called `no-such-chip`"),
            "{fault}"
        );
        assert!(fault.contains("this machine has"), "{fault}");
    }

    #[test]
    fn what_goes_is_opened_again_and_unknown_meanwhile() {
        let mut opened = 0;
        let mut device = Reopened::new("test", move || {
            opened += 1;
            Ok(opened)
        });
        assert_eq!(device.with(|n| Ok(*n)), Ok(1));
        assert_eq!(
            device.with(|_| Err::<i32, _>(PortError::Gone)),
            Err(PortError::Gone)
        );
        assert_eq!(
            device.with(|n| Ok(*n)),
            Err(PortError::NotFound),
            "not at once"
        );
        device.tried = None;
        assert_eq!(device.with(|n| Ok(*n)), Ok(2));
    }
}
