//! What a car asks for and what it tells.

use super::{Answer, Command};
use crate::wire::Device;

/// What a car asks its owner to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Publish to the vehicle.
    Publish(Vec<u8>),
    /// Tell the vehicle that its session is over; a new Connect is welcome.
    Hint,
    /// Tell a module, in this order.
    Call(Call),
    /// Tell people.
    Fact(Fact),
}

/// What a module is told. The module is the one of the device, for an acknowledgement the one of the command.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// A device is there; answered by [`Input::Admitted`](super::Input::Admitted).
    Connected(Device),
    /// Its status.
    Status(Device, Vec<u8>),
    /// Its error.
    Error(Device, Vec<u8>),
    /// It is gone.
    Disconnected(Device, Leave),
    /// The vehicle took a command.
    Acknowledged(Command),
}

impl Call {
    /// The module that is told.
    #[must_use]
    pub fn module(&self) -> i32 {
        match self {
            Self::Connected(d) | Self::Status(d, _) | Self::Error(d, _) => d.module,
            Self::Disconnected(d, _) => d.module,
            Self::Acknowledged(c) => c.module,
        }
    }

    /// The device it is about.
    #[must_use]
    pub fn device(&self) -> &Device {
        match self {
            Self::Connected(d) | Self::Status(d, _) | Self::Error(d, _) => d,
            Self::Disconnected(d, _) => d,
            Self::Acknowledged(c) => &c.device,
        }
    }
}

/// How a device went; the numbers are those of the module interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// The vehicle said so.
    Announced = 0,
    /// The session ended.
    Timeout = 1,
    /// An error of the server.
    Error = 2,
}

/// Why a device goes no further than its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The car has no such module.
    NoSuchModule,
    /// The module does not know the device type.
    NoSuchType,
    /// The module answered `device_connected` with this code.
    Code(i32),
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoSuchModule => f.write_str("no such module"),
            Self::NoSuchType => f.write_str("unknown device type"),
            Self::Code(code) => write!(f, "refused by the module with {code}"),
        }
    }
}

/// Why a command was never sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// Too many wait.
    PushedOut,
    /// It was offered while none of its module's devices was connected.
    Stale,
    /// Its device belongs to another module.
    WrongModule,
    /// The car is stopped.
    Stopped,
}

impl Dropped {
    /// For labels and views.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PushedOut => "pushed_out",
            Self::Stale => "stale",
            Self::WrongModule => "wrong_module",
            Self::Stopped => "stopped",
        }
    }
}

/// Past-tense facts of a car.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// A Connect was taken.
    SessionStarted {
        /// Its id.
        id: String,
        /// As listed.
        devices: Vec<Device>,
    },
    /// The connect sequence is over.
    Running,
    /// A session is over.
    SessionEnded {
        /// Its id.
        id: String,
        /// Why.
        why: Ended,
        /// Statuses that were missing at some time, also for a moment.
        missing: u64,
        /// Statuses that never came.
        lost: u64,
    },
    /// A module took a device.
    DeviceConnected(Device),
    /// No module takes it.
    DeviceRefused(Device, Refused),
    /// The vehicle said that it is gone.
    DeviceDisconnected(Device),
    /// No module takes any device of the session.
    NoSupportedDevice,
    /// A status that is not a repetition arrived; late = after a higher number.
    Status {
        /// See there.
        late: bool,
    },
    /// A command left under this number.
    Sent(Command, u32),
    /// The vehicle took it.
    Acked(Command),
    /// The vehicle did not take it.
    RefusedByVehicle(Command, Answer),
    /// The session ended before the answer.
    Unanswered(Command),
    /// It waited too long.
    Expired(Command),
    /// It was never sent.
    Dropped(Command, Dropped),
    /// A message without effect.
    Ignored(Ignored),
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The broker is gone.
    BrokerLost,
    /// Another Connect took over.
    Replaced,
    /// A status of the connect sequence did not come in time.
    NoFirstStatus,
    /// A status of the connect sequence had another state than CONNECTING.
    WrongFirstStatus,
    /// An answer of the connect sequence did not come in time.
    NoFirstResponse,
    /// This status did not come in time.
    StatusMissing(u32),
    /// More than [`GAP_MAX`](super::GAP_MAX) numbers at once are missing.
    GapTooLarge,
    /// This command was not answered in time.
    CommandUnanswered(u32),
    /// The vehicle said nothing.
    Silent,
    /// All devices left.
    LastDeviceGone,
    /// The gateway stopped, or the car was taken out.
    Stopped,
    /// Somebody asked for it.
    Restarted,
}

impl Ended {
    /// Every cause, for metrics.
    pub const NAMES: [&'static str; 12] = [
        "broker_lost",
        "replaced",
        "no_first_status",
        "wrong_first_status",
        "no_first_response",
        "status_missing",
        "gap_too_large",
        "command_unanswered",
        "silent",
        "last_device_gone",
        "stopped",
        "restarted",
    ];

    /// For labels and views.
    #[must_use]
    pub const fn name(self) -> &'static str {
        Self::NAMES[match self {
            Self::BrokerLost => 0,
            Self::Replaced => 1,
            Self::NoFirstStatus => 2,
            Self::WrongFirstStatus => 3,
            Self::NoFirstResponse => 4,
            Self::StatusMissing(_) => 5,
            Self::GapTooLarge => 6,
            Self::CommandUnanswered(_) => 7,
            Self::Silent => 8,
            Self::LastDeviceGone => 9,
            Self::Stopped => 10,
            Self::Restarted => 11,
        }]
    }

    /// Whether somebody should look: a cause that a healthy vehicle does not give.
    #[must_use]
    pub const fn is_trouble(self) -> bool {
        !matches!(
            self,
            Self::LastDeviceGone | Self::Stopped | Self::Replaced | Self::Restarted
        )
    }
}

/// Why a message had no effect, or less than it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ignored {
    /// It came with the retain flag.
    Retained,
    /// More than 256 KiB.
    TooLong,
    /// Not a message of the protocol.
    Undecodable,
    /// A message with nothing in it.
    Empty,
    /// A status or answer while nobody is connected.
    NoSession,
    /// Of another session.
    WrongSession,
    /// A Connect without id.
    NoSessionId,
    /// A Connect with an id of more than 256 bytes.
    LongSessionId,
    /// A Connect that names another company or car.
    ForeignConnect,
    /// A Connect without devices.
    NoDevices,
    /// A Connect with more than [`DEVICES_MAX`](super::DEVICES_MAX) devices.
    TooManyDevices,
    /// A first status of a device that the Connect did not list.
    UnknownDevice,
    /// A second first status of a device.
    SameDeviceAgain,
    /// Right, but not now.
    OutOfPhase,
    /// A status that was here before.
    OldStatus,
    /// Answered, but no module was told.
    NotForwarded,
    /// An answer to no command.
    UnknownCommand,
    /// A second answer to a command.
    AnsweredAgain,
    /// The vehicle refused an empty first command.
    EmptyCommandRefused,
}

impl Ignored {
    /// Every one of them.
    pub const ALL: [Self; 19] = [
        Self::Retained,
        Self::TooLong,
        Self::Undecodable,
        Self::Empty,
        Self::NoSession,
        Self::WrongSession,
        Self::NoSessionId,
        Self::LongSessionId,
        Self::ForeignConnect,
        Self::NoDevices,
        Self::TooManyDevices,
        Self::UnknownDevice,
        Self::SameDeviceAgain,
        Self::OutOfPhase,
        Self::OldStatus,
        Self::NotForwarded,
        Self::UnknownCommand,
        Self::AnsweredAgain,
        Self::EmptyCommandRefused,
    ];

    /// For labels and views.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Retained => "retained",
            Self::TooLong => "too_long",
            Self::Undecodable => "undecodable",
            Self::Empty => "empty",
            Self::NoSession => "no_session",
            Self::WrongSession => "wrong_session",
            Self::NoSessionId => "no_session_id",
            Self::LongSessionId => "long_session_id",
            Self::ForeignConnect => "foreign_connect",
            Self::NoDevices => "no_devices",
            Self::TooManyDevices => "too_many_devices",
            Self::UnknownDevice => "unknown_device",
            Self::SameDeviceAgain => "same_device_again",
            Self::OutOfPhase => "out_of_phase",
            Self::OldStatus => "old_status",
            Self::NotForwarded => "not_forwarded",
            Self::UnknownCommand => "unknown_command",
            Self::AnsweredAgain => "answered_again",
            Self::EmptyCommandRefused => "empty_command_refused",
        }
    }
}
