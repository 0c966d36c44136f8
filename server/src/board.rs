//! The only place that picks real or simulated hardware.
//!
//! Serial lines are the same for both: the simulated site is on the far side of pseudo-terminals, so that the
//! demo runs the real serial code.

#[cfg(feature = "gas")]
mod wiring;

#[cfg(feature = "gas")]
use leitstand_core::hal::{BatteryGauge, MainsSense};
use leitstand_core::hal::{PortError, SerialPort};
use leitstand_core::modbus::line::Line;
#[cfg(feature = "gas")]
use leitstand_hal_linux::rs485::{self, Direction};
use leitstand_hal_linux::serial::Port;
use std::path::Path;
use utoipa_axum::router::OpenApiRouter;

/// Opens a port, again and again after a loss. The services' own `OpenPort` types are this one.
pub(crate) type OpenPort = Box<dyn FnMut() -> Result<Box<dyn SerialPort>, PortError> + Send>;

/// The far side of all cables.
pub(crate) trait Board: Send {
    /// Whether nothing real is attached; every page then says so.
    fn simulated(&self) -> bool;

    /// The mains, where a sense line is wired.
    #[cfg(feature = "gas")]
    fn mains(&self, site: &leitstand_gas::site::GasSite) -> Option<Box<dyn MainsSense>>;

    /// The battery, where its wires are.
    #[cfg(feature = "gas")]
    fn battery(&self, site: &leitstand_gas::site::GasSite) -> Option<Box<dyn BatteryGauge>>;

    /// Finds output boards on shift registers.
    #[cfg(feature = "gas")]
    fn registers(&self) -> leitstand_gas::register::FindRegister;

    /// Routes that exist only with this board.
    fn routes(&self) -> OpenApiRouter {
        OpenApiRouter::new()
    }

    /// The gateway listens at `url`, which has no slash at its end.
    fn announce(&self, url: &str) {
        let _ = url;
    }
}

/// A Linux machine with what is plugged into it.
pub(crate) struct Linux;

impl Board for Linux {
    fn simulated(&self) -> bool {
        false
    }

    #[cfg(feature = "gas")]
    fn mains(&self, site: &leitstand_gas::site::GasSite) -> Option<Box<dyn MainsSense>> {
        site.mains.as_ref().map(wiring::mains)
    }

    #[cfg(feature = "gas")]
    fn battery(&self, site: &leitstand_gas::site::GasSite) -> Option<Box<dyn BatteryGauge>> {
        site.gauge.as_ref().map(wiring::gauge)
    }

    #[cfg(feature = "gas")]
    fn registers(&self) -> leitstand_gas::register::FindRegister {
        std::sync::Arc::new(|spec| Some(wiring::register(spec)))
    }
}

/// Opens the line of an RS-485 bus.
#[cfg(feature = "gas")]
pub(crate) fn bus_port(bus: &leitstand_gas::seam::BusSpec) -> OpenPort {
    use leitstand_core::modbus::line::Parity;
    let device = std::path::PathBuf::from(&bus.device);
    let parity = match bus.parity {
        leitstand_gas::seam::Parity::None => Parity::None,
        leitstand_gas::seam::Parity::Even => Parity::Even,
        leitstand_gas::seam::Parity::Odd => Parity::Odd,
    };
    let line = Line {
        baud: bus.baud,
        parity,
    };
    let direction = match bus.rts {
        leitstand_gas::seam::Rts::LowOnSend => Some(Direction::LowOnSend),
        leitstand_gas::seam::Rts::HighOnSend => Some(Direction::HighOnSend),
        leitstand_gas::seam::Rts::None => None,
    };
    let mut told = None;
    let id = bus.id.clone();
    Box::new(move || {
        let port = Port::open(&device, line)?;
        if let Some(direction) = direction {
            let turned = rs485::turn(&port, direction)
                .map_err(|error| PortError::Io(error.raw_os_error()))?;
            if told.replace(turned) != Some(turned) {
                tracing::info!(bus = id, ?turned, "direction of the RS-485 line");
            }
        }
        Ok(Box::new(port))
    })
}

/// Opens the port of a button board. The rule is looked up at every open: a board may come back under another
/// name.
#[cfg(feature = "panel")]
pub(crate) fn panel_port(rule: &str) -> OpenPort {
    let rule = rule.to_owned();
    // USB serial has no rate of its own; adapters of older boards expect this one.
    let line = Line {
        baud: 115_200,
        ..Line::RA_GAS
    };
    Box::new(move || {
        open(
            &leitstand_panel::port::resolve(&rule).ok_or(PortError::NotFound)?,
            line,
        )
    })
}

/// Opens a serial line once.
///
/// # Errors
/// See [`PortError`].
pub(crate) fn open(device: &Path, line: Line) -> Result<Box<dyn SerialPort>, PortError> {
    Ok(Box::new(Port::open(device, line)?))
}
