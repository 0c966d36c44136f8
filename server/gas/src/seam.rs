//! Where bus threads and the evaluation thread meet.
//!
//! A bus thread polls at its own pace and knows nothing of alarms; the evaluation thread decides and knows
//! nothing of frames. Between them: an [`Inbox`] towards the evaluation, [`Images`] towards the relays, and a
//! [`BusReport`] for whoever looks.

use crate::errand::Errands;
use leitstand_core::gas::analog::RegisterFormat;
use leitstand_core::gas::{BoardIndex, BusIndex, CellIndex, Input, OutputIndex};
use leitstand_core::hal::{PortError, SerialPort};
use leitstand_core::time::Instant;
use leitstand_kit::{Clock, Heartbeat};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Opens the serial line of one bus, again and again after a loss. The binary provides it, so that this crate
/// knows no platform.
pub type OpenPort = Box<dyn FnMut() -> Result<Box<dyn SerialPort>, PortError> + Send>;

/// Finds the line of a bus, for every configuration of a run. `None` = there is no such line here.
pub type FindPort = Arc<dyn Fn(&BusSpec) -> Option<OpenPort> + Send + Sync>;

/// Asks for an orderly stop of the gateway and names the command that then turns the machine off (empty = none).
/// Must return at once: the evaluation calls it.
pub type Shutdown = Arc<dyn Fn(&[String]) + Send + Sync>;

/// Inputs that wait for the evaluation thread. Reasoning: 64 cells a second and as many read-backs fit in four
/// seconds of a stalled thread, and a thread that stalls longer is restarted. Full = the newest is dropped and
/// counted; the silence rule then turns the loss into a fault.
pub const INBOX_MAX: usize = 512;

/// Parity of a serial line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Parity {
    /// 8N1.
    #[default]
    None,
    /// 8E1.
    Even,
    /// 8O1.
    Odd,
}

/// Who turns an RS-485 transceiver around.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rts {
    /// The kernel's RS-485 mode with RTS low while sending, where the port has that mode; other adapters
    /// direct themselves.
    #[default]
    LowOnSend,
    /// The same with RTS high while sending.
    HighOnSend,
    /// RTS is left alone.
    None,
}

/// One bus and what is on it.
#[derive(Clone, Debug, PartialEq)]
pub struct BusSpec {
    /// Position in the plan.
    pub index: BusIndex,
    /// Id in the configuration.
    pub id: String,
    /// Path of the serial device.
    pub device: String,
    /// Bits per second.
    pub baud: u32,
    /// Parity.
    pub parity: Parity,
    /// Direction control.
    pub rts: Rts,
    /// How long to wait for an answer.
    pub timeout: Duration,
    /// Further tries within the same poll.
    pub retries: u8,
    /// Target time for a scan of the whole bus.
    pub scan: Duration,
    /// Devices in the order they are polled.
    pub devices: Vec<DeviceSpec>,
}

/// One device on a bus.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceSpec {
    /// Id of the sensor or board in the configuration.
    pub id: String,
    /// Slave address, 1..=247.
    pub address: u8,
    /// What it is and where its values go.
    pub kind: DeviceKind,
}

/// Kinds of devices.
#[derive(Clone, Debug, PartialEq)]
pub enum DeviceKind {
    /// RA-GAS combi sensor: 30 registers, two cells.
    RaGas {
        /// `[NO2 (channel 1), CO (channel 2)]`; `None` = not configured.
        cells: [Option<CellIndex>; 2],
    },
    /// Analog module with 4-20 mA inputs.
    Analog {
        /// Register layout.
        profile: AnalogProfile,
        /// Channel (from 1) and its cell.
        channels: Vec<(u8, CellIndex)>,
    },
    /// Relay module with four outputs.
    MrDo4 {
        /// Its image in [`Images`].
        board: BoardIndex,
        /// The outputs at pins 1..=4, for read-back reports.
        outputs: [Option<OutputIndex>; 4],
    },
}

/// Register layout of an analog module.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AnalogProfile {
    /// Modbus function, 3 (holding) or 4 (input registers).
    pub function: u8,
    /// Register of channel 1.
    pub start: u16,
    /// Registers from one channel to the next.
    pub stride: u16,
    /// Number format.
    pub format: RegisterFormat,
    /// Factor to mA.
    pub scale: f32,
    /// Added after scaling, in mA.
    pub offset: f32,
}

/// What a bus thread is given.
pub struct BusLink {
    /// Where readings go.
    pub inbox: Inbox,
    /// What the relay modules shall show.
    pub images: Images,
    /// Where it says how it is doing, at least once a scan.
    pub report: Arc<Mutex<BusReport>>,
    /// Registers that people want written.
    pub errands: Errands,
    /// The process's clock.
    pub clock: Clock,
    /// Beaten every cycle, degraded while the port is gone, finished on stop.
    pub heartbeat: Heartbeat,
    /// Set when the thread shall write the images once more and end, within a second.
    pub stop: Arc<AtomicBool>,
}

/// What wakes the evaluation thread.
#[derive(Debug)]
pub(crate) enum Wake {
    /// An input from outside, stamped by its sender.
    Input(Instant, Input),
    /// A person's command.
    Command(Box<crate::task::Order>),
    /// The gateway looked at itself.
    SelfTest(Vec<crate::view::CheckResult>),
    /// Look at the stop flag.
    Look,
    /// What happens when the evaluation has a defect.
    #[cfg(test)]
    Panic,
}

/// The way into the evaluation thread. Cheap to clone.
#[derive(Clone)]
pub struct Inbox {
    sender: SyncSender<Wake>,
    dropped: Arc<AtomicU64>,
}

/// The reading end of an [`Inbox`] for tests of bus threads without an evaluation.
pub struct Outbox(Receiver<Wake>);

impl Outbox {
    /// The next input and when it happened; `None` when none comes within `timeout`.
    #[must_use]
    pub fn next(&self, timeout: Duration) -> Option<(Instant, Input)> {
        match self.0.recv_timeout(timeout) {
            Ok(Wake::Input(at, input)) => Some((at, input)),
            _ => None,
        }
    }
}

impl Inbox {
    /// An inbox with its reading end.
    #[must_use]
    pub fn channel(capacity: usize) -> (Self, Outbox) {
        let (sender, receiver) = std::sync::mpsc::sync_channel(capacity);
        (Self::new(sender), Outbox(receiver))
    }

    pub(crate) fn new(sender: SyncSender<Wake>) -> Self {
        Self {
            sender,
            dropped: Arc::default(),
        }
    }

    /// Hands over an input that happened at `at`. Never blocks; a full inbox drops it and counts.
    /// Answers false when the evaluation thread is gone: nobody will listen any more.
    pub fn send(&self, at: Instant, input: Input) -> bool {
        self.push(Wake::Input(at, input)).is_ok()
    }

    /// Inputs dropped because the inbox was full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Full counts as delivered here: the loss is counted and shows up as silence.
    pub(crate) fn push(&self, wake: Wake) -> Result<(), Gone> {
        match self.sender.try_send(wake) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(TrySendError::Disconnected(_)) => Err(Gone),
        }
    }

    /// For commands, whose sender must know that nobody will answer.
    pub(crate) fn order(&self, order: crate::task::Order) -> Result<(), Gone> {
        self.sender
            .try_send(Wake::Command(Box::new(order)))
            .map_err(|_| Gone)
    }
}

/// The evaluation thread does not listen.
#[derive(Debug)]
pub(crate) struct Gone;

/// One image a board: output n (from 1) is bit n - 1, 1 = energised. Written by the evaluation thread, read by
/// bus threads before every write. Cheap to clone; all zero (everything drops) until the first evaluation.
#[derive(Clone)]
pub struct Images(Arc<[AtomicU64]>);

impl Images {
    /// `boards` images, all off.
    #[must_use]
    pub fn new(boards: usize) -> Self {
        Self((0..boards).map(|_| AtomicU64::new(0)).collect())
    }

    /// What `board` shall show.
    ///
    /// # Panics
    /// When the plan has no such board.
    #[must_use]
    pub fn get(&self, board: BoardIndex) -> u64 {
        self.0[board.at()].load(Ordering::Acquire)
    }

    /// Replaces the image of `board`.
    pub fn set(&self, board: BoardIndex, image: u64) {
        if let Some(slot) = self.0.get(board.at()) {
            slot.store(image, Ordering::Release);
        }
    }

    /// Drops everything, the healthy signal included: the safe state.
    pub fn all_off(&self) {
        for slot in self.0.iter() {
            slot.store(0, Ordering::Release);
        }
    }
}

/// How a bus is doing, as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BusReport {
    /// Whether the port is open.
    pub open: bool,
    /// Duration of the last scan of the whole bus.
    pub cycle_ms: u32,
    /// Share of the cycle spent on devices that answer, 0..=1.
    pub efficiency: f32,
    /// By device, in the order of [`BusSpec::devices`].
    pub devices: Vec<DeviceReport>,
}

/// How a device is doing. Counters since the start of the thread.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeviceReport {
    /// State.
    pub state: DeviceState,
    /// Good polls.
    pub good: u64,
    /// Polls without an answer.
    pub timeout: u64,
    /// Answers with a wrong checksum.
    pub crc: u64,
    /// Modbus exceptions.
    pub exception: u64,
    /// Answers of the wrong length or kind.
    pub length: u64,
    /// Polls that a retry saved.
    pub recovered: u64,
    /// Worst age that a value can reach while the device answers, from the configuration of the bus.
    pub worst_age_ms: u32,
    /// Firmware as the device tells it.
    pub firmware: Option<String>,
}

/// State of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceState {
    /// Answers.
    Good,
    /// Missed a poll.
    Retrying,
    /// Asked now and then whether it is back; also before its first answer.
    #[default]
    Probe,
    /// Answers that it is busy; the old value stands with its age.
    Busy,
}

impl DeviceState {
    /// The stable text of the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Retrying => "retrying",
            Self::Probe => "probe",
            Self::Busy => "busy",
        }
    }
}

impl BusReport {
    /// The state before anything is known.
    #[must_use]
    pub fn for_devices(count: usize) -> Self {
        Self {
            devices: vec![DeviceReport::default(); count],
            ..Self::default()
        }
    }
}

/// A copy of a shared report. A thread that died while writing leaves the last whole values.
#[must_use]
pub fn look(report: &Mutex<BusReport>) -> BusReport {
    report
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}
