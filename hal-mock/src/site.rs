//! The simulated site: what is on the far side of all cables, driven by a [`Scenario`] and by hand.
//!
//! Four RA-GAS combi sensors (addresses 1 to 4) and two MR-DO4 relay modules (34, 35) on one line paced like
//! 9600 baud, a board with ten buttons, mains and a battery. The gateway sees only bytes on pseudo-terminals,
//! at stable names below [`Options::dir`]: `rs485` and `panel-wall`.
//!
//! Terms: *held* a value given by hand instead of by the scenario. *Target* something that can be faulty.

use crate::bus::{self, Bus};
use crate::fault::Fault;
use crate::mr_do4::MrDo4;
use crate::panel::{self, BoardThread};
use crate::ra_gas::RaGas;
use crate::rs485::{Device, Rs485};
use crate::scenario::{Fans, LEVELS, Phase, Scenario};
use leitstand_core::hal::{BatteryGauge, MainsSense, PortError};
use leitstand_core::modbus::Address;
use leitstand_core::modbus::line::Line;
use leitstand_core::panel::{ButtonId, PanelSize};
use leitstand_core::time::Duration;
use leitstand_core::units::{MicroAmp, MilliVolt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::{fmt, io};

/// Highest gas that can be held at a cell, in ppm. Reasoning: beyond every range, so that over-range can be
/// shown.
pub const HELD_PPM_MAX: f64 = 1_000.0;
/// Buttons of the simulated board.
pub const BUTTONS: u8 = 10;
/// Addresses of the relay modules. Relay 2 and 3 of the first are the fans.
const RELAY_MODULES: [u8; 2] = [34, 35];
const FAN_LOW: usize = 1;
const FAN_HIGH: usize = 2;
/// How often the world moves on. Reasoning: ten times as often as a sensor is polled.
const TICK: Duration = Duration::from_millis(100);

/// Everything that can be faulty, by its id in the demo's configuration.
pub const TARGETS: [&str; 8] = [
    "level1", "level2", "level3", "level4", "relays_a", "relays_b", "rs485", "wall",
];
/// The kind of fault of a cable itself.
pub const UNPLUGGED: &str = "unplugged";

/// Every kind of fault: those of devices, and the pulled plug of a cable.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    Fault::ALL.into_iter().map(Fault::name).chain([UNPLUGGED])
}

/// Gas of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gas {
    /// Carbon monoxide.
    Co,
    /// Nitrogen dioxide.
    No2,
}

/// A cell: `co_1` is the carbon monoxide of the first level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// 0 to [`LEVELS`] - 1.
    pub level: usize,
    /// Which of the two.
    pub gas: Gas,
}

impl Cell {
    /// All cells, level by level.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..LEVELS).flat_map(|level| [Gas::Co, Gas::No2].map(|gas| Self { level, gas }))
    }

    /// Its id in the demo's configuration.
    #[must_use]
    pub fn id(self) -> String {
        let gas = match self.gas {
            Gas::Co => "co",
            Gas::No2 => "no2",
        };
        format!("{gas}_{}", self.level + 1)
    }

    /// The cell with this id.
    #[must_use]
    pub fn by_id(id: &str) -> Option<Self> {
        Self::all().find(|c| c.id() == id)
    }
}

/// Why something was not done. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No cell or target has this id.
    NoSuchTarget,
    /// No fault has this name.
    NoSuchKind,
    /// This target cannot have this fault.
    DoesNotFit,
    /// The value is outside what can be simulated.
    OutOfRange,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSuchTarget => "nothing in the simulated site has this name",
            Self::NoSuchKind => "no fault has this name",
            Self::DoesNotFit => "this cannot happen to that",
            Self::OutOfRange => "the value is outside what can be simulated",
        })
    }
}

/// What happens to the button board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoardAction {
    /// The cable is pulled.
    Unplug,
    /// The cable is put back.
    Replug,
    /// The firmware starts anew.
    Reboot,
}

/// How to set the site up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which day it is.
    pub seed: u64,
    /// How fast the day passes: 1 = as the clock.
    pub speed: f64,
    /// Folder for the stable names of the devices; it must exist.
    pub dir: PathBuf,
}

/// What is around the sensors, and the supply.
#[derive(Debug)]
struct World {
    scenario: Scenario,
    speed: f64,
    held: [[Option<f64>; 2]; LEVELS],
    /// Faults begun by hand, which the scenario must not end.
    silent_by_hand: [bool; LEVELS],
    mains_held: bool,
}

impl World {
    fn held(&self, cell: Cell) -> Option<f64> {
        self.held[cell.level][cell.gas as usize]
    }

    fn ppm(&self, cell: Cell) -> f64 {
        self.held(cell).unwrap_or_else(|| match cell.gas {
            Gas::Co => self.scenario.co(cell.level),
            Gas::No2 => self.scenario.no2(cell.level),
        })
    }
}

/// The running site. Everything ends when it is dropped.
pub struct Site {
    handle: Handle,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    _bus: Bus,
    _wall: BoardThread,
}

impl Site {
    /// Starts everything.
    ///
    /// # Errors
    /// The system has no pseudo-terminal or thread left, or the folder cannot be written.
    pub fn start(options: &Options) -> io::Result<Self> {
        let bus = Bus::start(line(), &options.dir.join("rs485"))?;
        let size = PanelSize::new(BUTTONS).expect("ten buttons are a panel");
        let wall = BoardThread::start(panel::Options::new(size), &options.dir.join("panel-wall"))?;
        let world = World {
            scenario: Scenario::new(options.seed),
            speed: options.speed,
            held: [[None; 2]; LEVELS],
            silent_by_hand: [false; LEVELS],
            mains_held: false,
        };
        let handle = Handle {
            world: Arc::new(Mutex::new(world)),
            bus: bus.handle(),
            wall: wall.handle(),
        };
        // Before the first poll, so that no reading shows an empty world.
        handle.tick(Duration::ZERO);
        let stop = Arc::new(AtomicBool::new(false));
        let (run, ended) = (handle.clone(), Arc::clone(&stop));
        let thread = std::thread::Builder::new()
            .name("sim-world".into())
            .stack_size(128 * 1024)
            .spawn(move || {
                let mut last = std::time::Instant::now();
                while !ended.load(Ordering::Relaxed) {
                    std::thread::sleep(TICK);
                    let now = std::time::Instant::now();
                    run.tick(now - last);
                    last = now;
                }
            })?;
        Ok(Self {
            handle,
            stop,
            thread: Some(thread),
            _bus: bus,
            _wall: wall,
        })
    }

    /// A handle for whoever makes things happen.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn line() -> Rs485 {
    let address = |n: u8| Address::new(n).expect("addresses of the demo are 1 to 247");
    let sensors = (1..=LEVELS as u8).map(|n| Device::RaGas(RaGas::new(address(n))));
    let modules = RELAY_MODULES.map(|n| Device::MrDo4(MrDo4::new(address(n))));
    Rs485::new(Line::RA_GAS, sensors.chain(modules).collect())
}

/// Makes things happen on the running site. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    world: Arc<Mutex<World>>,
    bus: bus::Handle,
    wall: panel::Handle,
}

/// The state of everything.
#[derive(Clone, Debug)]
pub struct View {
    /// What happens in the garage.
    pub phase: Phase,
    /// Seconds into this round.
    pub seconds: f64,
    /// Rounds that are over.
    pub rounds: u64,
    /// Each cell with its gas in ppm and the value it is held at.
    pub cells: Vec<(Cell, f64, Option<f64>)>,
    /// Whether mains is present.
    pub mains_ok: bool,
    /// Whether mains is held by hand.
    pub mains_held: bool,
    /// Battery voltage.
    pub battery: MilliVolt,
    /// Faults that are on: target and kind.
    pub faults: Vec<(&'static str, &'static str)>,
    /// What the relays make the fans do.
    pub fans: Fans,
}

impl Handle {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fans(&self) -> Fans {
        match self.bus.line().device(RELAY_MODULES[0]) {
            Some(Device::MrDo4(module)) => {
                let relays = module.relays();
                Fans {
                    low: relays[FAN_LOW],
                    high: relays[FAN_HIGH],
                }
            }
            _ => Fans::default(),
        }
    }

    fn tick(&self, elapsed: Duration) {
        let fans = self.fans();
        let mut world = self.world();
        let span = elapsed.mul_f64(world.speed);
        world.scenario.advance(span, fans);
        let silent = world.scenario.silent_level();
        let mut line = self.bus.line();
        for level in 0..LEVELS {
            let Some(Device::RaGas(sensor)) = line.device(level as u8 + 1) else {
                continue;
            };
            let gas = |gas| world.ppm(Cell { level, gas });
            sensor.set_ppm(gas(Gas::No2), gas(Gas::Co));
            let is_silent = world.silent_by_hand[level] || silent == Some(level);
            sensor.fault(Fault::Silence, is_silent);
        }
    }

    /// The state of everything.
    #[must_use]
    pub fn view(&self) -> View {
        let fans = self.fans();
        let world = self.world();
        let mut faults = Vec::new();
        let line = self.bus.line();
        for (target, device) in TARGETS.into_iter().zip(line.devices()) {
            faults.extend(device.faults().iter().map(|f| (target, f.name())));
        }
        if !self.bus.is_plugged() {
            faults.push(("rs485", UNPLUGGED));
        }
        if !self.wall.is_plugged() {
            faults.push(("wall", UNPLUGGED));
        }
        View {
            phase: world.scenario.phase(),
            seconds: world.scenario.seconds(),
            rounds: world.scenario.rounds(),
            cells: Cell::all()
                .map(|c| (c, world.ppm(c), world.held(c)))
                .collect(),
            mains_ok: world.scenario.mains_ok(),
            mains_held: world.mains_held,
            battery: MilliVolt(world.scenario.battery_mv()),
            faults,
            fans,
        }
    }

    /// Holds the gas at a cell; `None` gives it back to the scenario.
    ///
    /// # Errors
    /// No such cell, or the value is outside 0 to [`HELD_PPM_MAX`].
    pub fn hold_cell(&self, id: &str, ppm: Option<f64>) -> Result<(), Refused> {
        let cell = Cell::by_id(id).ok_or(Refused::NoSuchTarget)?;
        if ppm.is_some_and(|v| !(0.0..=HELD_PPM_MAX).contains(&v)) {
            return Err(Refused::OutOfRange);
        }
        self.world().held[cell.level][cell.gas as usize] = ppm;
        self.tick(Duration::ZERO);
        Ok(())
    }

    /// Holds mains present or absent; `None` gives it back to the scenario.
    pub fn hold_mains(&self, ok: Option<bool>) {
        let mut world = self.world();
        world.mains_held = ok.is_some();
        world.scenario.hold_mains(ok);
    }

    /// Begins or ends a fault of one of [`TARGETS`].
    ///
    /// # Errors
    /// No such target or kind, or they do not go together.
    pub fn fault(&self, target: &str, kind: &str, on: bool) -> Result<(), Refused> {
        let at = TARGETS
            .iter()
            .position(|t| *t == target)
            .ok_or(Refused::NoSuchTarget)?;
        if !kinds().any(|k| k == kind) {
            return Err(Refused::NoSuchKind);
        }
        match (target, kind == UNPLUGGED) {
            ("rs485", true) => self.bus.plug(!on),
            ("wall", true) => self.wall.plug(!on),
            ("rs485" | "wall", false) => return Err(Refused::DoesNotFit),
            _ => return self.device_fault(at, kind, on),
        }
        Ok(())
    }

    fn device_fault(&self, at: usize, kind: &str, on: bool) -> Result<(), Refused> {
        let fault = Fault::by_name(kind).ok_or(Refused::DoesNotFit)?;
        if fault.is_of_a_sensor() && at >= LEVELS {
            return Err(Refused::DoesNotFit);
        }
        if fault == Fault::Silence && at < LEVELS {
            self.world().silent_by_hand[at] = on;
        }
        if let Some(device) = self.bus.line().devices_mut().nth(at) {
            device.fault(fault, on);
        }
        Ok(())
    }

    /// Presses and lets go of a button of the board, from 1.
    ///
    /// # Errors
    /// The board has no such button.
    pub fn press(&self, button: u32) -> Result<(), Refused> {
        let id = u8::try_from(button)
            .ok()
            .filter(|b| *b <= BUTTONS)
            .and_then(ButtonId::new);
        self.wall.tap(id.ok_or(Refused::OutOfRange)?);
        Ok(())
    }

    /// Pulls the board's cable, puts it back, or restarts the board.
    pub fn board(&self, action: BoardAction) {
        match action {
            BoardAction::Unplug => self.wall.plug(false),
            BoardAction::Replug => self.wall.plug(true),
            BoardAction::Reboot => self.wall.reboot(),
        }
    }

    /// The sense line of the supply.
    #[must_use]
    pub fn mains(&self) -> Supply {
        Supply(self.clone())
    }

    /// The wires to the battery.
    #[must_use]
    pub fn battery(&self) -> Supply {
        Supply(self.clone())
    }
}

/// The simulated supply, as the gateway reads it.
#[derive(Clone, Debug)]
pub struct Supply(Handle);

impl MainsSense for Supply {
    fn mains_ok(&mut self) -> Result<bool, PortError> {
        Ok(self.0.world().scenario.mains_ok())
    }
}

impl BatteryGauge for Supply {
    fn voltage(&mut self) -> Result<MilliVolt, PortError> {
        Ok(MilliVolt(self.0.world().scenario.battery_mv()))
    }

    fn current(&mut self) -> Result<Option<MicroAmp>, PortError> {
        Ok(Some(MicroAmp(self.0.world().scenario.battery_ma() * 1_000)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn site() -> (Site, PathBuf) {
        let dir =
            std::env::temp_dir().join(format!("leitstand-site-{:?}", std::thread::current().id()));
        std::fs::create_dir_all(&dir).unwrap();
        let site = Site::start(&Options {
            seed: 1,
            speed: 1.0,
            dir: dir.clone(),
        })
        .unwrap();
        (site, dir)
    }

    #[test]
    fn hands_win_over_the_scenario_until_they_let_go() {
        let (site, dir) = site();
        let handle = site.handle();
        let shown = |id: &str| {
            handle
                .view()
                .cells
                .into_iter()
                .find(|(c, _, _)| c.id() == id)
                .map(|(_, ppm, held)| (ppm, held))
                .unwrap()
        };
        handle.hold_cell("co_2", Some(200.0)).unwrap();
        assert_eq!(shown("co_2"), (200.0, Some(200.0)));
        handle.hold_cell("co_2", None).unwrap();
        assert!(shown("co_2").0 < 100.0);
        assert_eq!(handle.hold_cell("co_9", None), Err(Refused::NoSuchTarget));
        assert_eq!(
            handle.hold_cell("co_1", Some(f64::NAN)),
            Err(Refused::OutOfRange)
        );
        drop(site);
        assert_eq!(
            std::fs::read_dir(&dir).unwrap().count(),
            0,
            "device names are left behind"
        );
        std::fs::remove_dir(&dir).unwrap();
    }

    #[test]
    fn faults_go_only_where_they_fit() {
        let (site, _) = site();
        let handle = site.handle();
        handle.fault("level3", "silence", true).unwrap();
        handle.tick(Duration::from_millis(100));
        assert_eq!(handle.view().faults, [("level3", "silence")]);
        handle.fault("level3", "silence", false).unwrap();
        assert_eq!(handle.view().faults, []);
        assert_eq!(
            handle.fault("relays_a", "wire_break", true),
            Err(Refused::DoesNotFit)
        );
        assert_eq!(
            handle.fault("rs485", "late", true),
            Err(Refused::DoesNotFit)
        );
        assert_eq!(
            handle.fault("level1", "unplugged", true),
            Err(Refused::DoesNotFit)
        );
        assert_eq!(
            handle.fault("level1", "rust", true),
            Err(Refused::NoSuchKind)
        );
        assert_eq!(
            handle.fault("attic", "silence", true),
            Err(Refused::NoSuchTarget)
        );
        assert_eq!(
            handle.fault("wall", "silence", true),
            Err(Refused::DoesNotFit)
        );
        handle.fault("rs485", UNPLUGGED, true).unwrap();
        handle.board(BoardAction::Unplug);
        assert_eq!(
            handle.view().faults,
            [("rs485", UNPLUGGED), ("wall", UNPLUGGED)]
        );
        assert_eq!(handle.press(11), Err(Refused::OutOfRange));
    }

    #[test]
    fn mains_by_hand_reaches_the_sense_line() {
        let (site, _) = site();
        let handle = site.handle();
        assert_eq!(handle.mains().mains_ok(), Ok(true));
        handle.hold_mains(Some(false));
        assert_eq!(handle.mains().mains_ok(), Ok(false));
        assert!(handle.battery().current().unwrap().unwrap().0 < 0);
    }
}
