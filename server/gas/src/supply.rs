//! The thread that looks at mains and battery. Gauges hang on slow buses and must not delay the evaluation.

use crate::seam::Inbox;
use leitstand_core::gas::Input;
use leitstand_core::hal::{BatteryGauge, MainsSense};
use leitstand_core::power::SupplyReading;
use leitstand_kit::{Clock, Heartbeat};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often mains is read. Reasoning: mains lost for 2 s is an event; a tenth of that is the error allowed.
const EVERY: Duration = Duration::from_millis(200);

/// What is wired, shared with the instances of the service that come after.
#[derive(Default)]
pub(crate) struct Wired {
    pub(crate) mains: Option<Box<dyn MainsSense>>,
    pub(crate) battery: Option<Box<dyn BatteryGauge>>,
}

/// Starts the thread; it ends within `EVERY` of `stop`.
pub(crate) fn spawn(
    wired: Arc<Mutex<Wired>>,
    inbox: Inbox,
    clock: Clock,
    heartbeat: Heartbeat,
    stop: Arc<AtomicBool>,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new()
        .name("gas-supply".into())
        .spawn(move || {
            let mut wired = wired.lock().unwrap_or_else(PoisonError::into_inner);
            while !stop.load(Ordering::Acquire) {
                let (reading, whole) = read(&mut wired);
                if whole {
                    heartbeat.clear();
                } else {
                    heartbeat.degrade("mains or battery cannot be read");
                }
                if !inbox.send(clock.now(), Input::Supply(reading)) {
                    break;
                }
                heartbeat.beat();
                std::thread::park_timeout(EVERY);
            }
            heartbeat.finish();
        })
}

/// One look, and whether everything wired could be read.
fn read(wired: &mut Wired) -> (SupplyReading, bool) {
    let mains = wired.mains.as_mut().map(|m| m.mains_ok());
    let voltage = wired.battery.as_mut().map(|b| b.voltage());
    let current = wired.battery.as_mut().map(|b| b.current());
    let whole = !matches!(mains, Some(Err(_)))
        && !matches!(voltage, Some(Err(_)))
        && !matches!(current, Some(Err(_)));
    let reading = SupplyReading {
        mains: mains.and_then(Result::ok),
        battery: voltage.and_then(Result::ok),
        current: current.and_then(Result::ok).flatten(),
        charger_fault: false,
    };
    (reading, whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use leitstand_core::hal::PortError;
    use leitstand_core::units::{MicroAmp, MilliVolt};

    mockall::mock! {
        Mains {}
        impl MainsSense for Mains { fn mains_ok(&mut self) -> Result<bool, PortError>; }
    }
    mockall::mock! {
        Gauge {}
        impl BatteryGauge for Gauge {
            fn voltage(&mut self) -> Result<MilliVolt, PortError>;
            fn current(&mut self) -> Result<Option<MicroAmp>, PortError>;
        }
    }

    #[test]
    fn what_cannot_be_read_is_unknown_and_never_zero() {
        let mut mains = MockMains::new();
        mains
            .expect_mains_ok()
            .once()
            .returning(|| Err(PortError::Io(5)));
        let mut battery = MockGauge::new();
        battery
            .expect_voltage()
            .once()
            .returning(|| Ok(MilliVolt(12_600)));
        battery.expect_current().once().returning(|| Ok(None));
        let (reading, whole) = read(&mut Wired {
            mains: Some(Box::new(mains)),
            battery: Some(Box::new(battery)),
        });
        assert!(!whole);
        let expected = SupplyReading {
            battery: Some(MilliVolt(12_600)),
            ..SupplyReading::default()
        };
        assert_eq!(reading, expected);
    }

    #[test]
    fn nothing_wired_is_nothing_wrong() {
        assert_eq!(
            read(&mut Wired::default()),
            (SupplyReading::default(), true)
        );
    }
}
