//! What is known about a car and its commands, for people. Filled from the facts of the machine.

use std::collections::{BTreeMap, VecDeque};

use leitstand_kit::{Wall, clock::Instant};

use crate::{
    session::{Command, CommandId, Dropped, Ended, Fact, Ignored, Key, Phase, Snapshot},
    wire::{Answer, Device},
};

/// Sessions of a car that are remembered.
const SESSIONS_MAX: usize = 20;
/// Devices of a car that are remembered, also gone ones.
const DEVICES_MAX: usize = 256;
/// Commands of all cars that are remembered.
const COMMANDS_MAX: usize = 4096;
/// Bytes of a status that are kept for views.
const STATUS_BYTES_MAX: usize = 4096;

/// A moment, for ages and for stamps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) at: Instant,
    pub(crate) wall: Wall,
}

/// How a device stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Its module has not answered yet.
    Asked,
    /// Its module has it.
    Connected,
    /// Why not.
    Refused(String),
    /// It left, or its session ended.
    Gone,
}

/// A device, while and after it was there.
#[derive(Clone, Debug)]
pub(crate) struct DeviceRecord {
    pub(crate) device: Device,
    pub(crate) standing: Standing,
    pub(crate) status: Option<(Vec<u8>, Moment)>,
    pub(crate) error: Option<(Vec<u8>, Moment)>,
}

/// A session, while and after it was there.
#[derive(Clone, Debug)]
pub(crate) struct SessionRecord {
    pub(crate) id: String,
    pub(crate) since: Moment,
    pub(crate) ended: Option<(Ended, Moment)>,
    pub(crate) statuses: u64,
}

/// A car.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) phase: Phase,
    pub(crate) devices: BTreeMap<Key, DeviceRecord>,
    /// The newest last.
    pub(crate) sessions: VecDeque<SessionRecord>,
    pub(crate) sessions_total: u64,
    pub(crate) last_message: Option<Moment>,
    pub(crate) statuses: u64,
    pub(crate) late: u64,
    pub(crate) missing: u64,
    pub(crate) lost: u64,
    pub(crate) ignored: BTreeMap<Ignored, u64>,
    pub(crate) ended: BTreeMap<&'static str, u64>,
    pub(crate) commands: (usize, usize),
    pub(crate) held: (usize, u64),
    pub(crate) no_supported_device: bool,
    /// Messages that could not be handed to the broker, or to this car's task.
    pub(crate) not_sent: u64,
    pub(crate) overrun: u64,
    logged: BTreeMap<Ignored, (Instant, u64)>,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            phase: Phase::Offline,
            devices: BTreeMap::new(),
            sessions: VecDeque::new(),
            sessions_total: 0,
            last_message: None,
            statuses: 0,
            late: 0,
            missing: 0,
            lost: 0,
            ignored: BTreeMap::new(),
            ended: BTreeMap::new(),
            commands: (0, 0),
            held: (0, 0),
            no_supported_device: false,
            not_sent: 0,
            overrun: 0,
            logged: BTreeMap::new(),
        }
    }
}

impl Record {
    /// Takes over what changes with every message.
    pub(crate) fn look(&mut self, snapshot: &Snapshot<'_>) {
        self.phase = snapshot.phase;
        self.commands = snapshot.commands;
        self.held = snapshot.held;
    }

    /// Lost statuses of 1000 that should have come, in all sessions that ended.
    pub(crate) fn loss_per_mille(&self) -> f64 {
        let all = self.statuses + self.lost;
        if all == 0 {
            0.0
        } else {
            self.lost as f64 * 1000.0 / all as f64
        }
    }

    fn device(&mut self, device: &Device) -> Option<&mut DeviceRecord> {
        let key = Key::of(device);
        if self.devices.len() >= DEVICES_MAX && !self.devices.contains_key(&key) {
            return None;
        }
        let record = self.devices.entry(key).or_insert_with(|| DeviceRecord {
            device: device.clone(),
            standing: Standing::Asked,
            status: None,
            error: None,
        });
        record.device = device.clone();
        Some(record)
    }

    fn stands(&mut self, device: &Device, standing: Standing) {
        if let Some(record) = self.device(device) {
            record.standing = standing;
        }
    }

    pub(crate) fn status(&mut self, device: &Device, data: &[u8], now: Moment) {
        let data = data[..data.len().min(STATUS_BYTES_MAX)].to_vec();
        if let Some(record) = self.device(device) {
            record.status = Some((data, now));
        }
    }

    pub(crate) fn error(&mut self, device: &Device, data: &[u8], now: Moment) {
        let data = data[..data.len().min(STATUS_BYTES_MAX)].to_vec();
        if let Some(record) = self.device(device) {
            record.error = Some((data, now));
        }
    }

    pub(crate) fn fact(&mut self, fact: &Fact, now: Moment) {
        match fact {
            Fact::SessionStarted { id, devices } => {
                self.sessions_total += 1;
                self.no_supported_device = false;
                if self.sessions.len() == SESSIONS_MAX {
                    self.sessions.pop_front();
                }
                self.sessions.push_back(SessionRecord {
                    id: id.clone(),
                    since: now,
                    ended: None,
                    statuses: 0,
                });
                self.devices
                    .retain(|_, d| d.standing != Standing::Gone || d.status.is_some());
                for device in devices {
                    self.stands(device, Standing::Asked);
                }
            }
            Fact::SessionEnded {
                why, missing, lost, ..
            } => {
                self.missing += missing;
                self.lost += lost;
                *self.ended.entry(why.name()).or_default() += 1;
                if let Some(session) = self.sessions.back_mut() {
                    session.ended = Some((*why, now));
                }
                for device in self.devices.values_mut() {
                    device.standing = Standing::Gone;
                }
                self.phase = Phase::AwaitConnect;
                self.commands.1 = 0;
                self.held = (0, 0);
                self.no_supported_device = false;
            }
            Fact::Status { late } => {
                self.statuses += 1;
                self.late += u64::from(*late);
                if let Some(session) = self.sessions.back_mut() {
                    session.statuses += 1;
                }
            }
            Fact::DeviceConnected(device) => self.stands(device, Standing::Connected),
            Fact::DeviceRefused(device, why) => {
                self.stands(device, Standing::Refused(why.to_string()));
            }
            Fact::DeviceDisconnected(device) => self.stands(device, Standing::Gone),
            Fact::NoSupportedDevice => self.no_supported_device = true,
            Fact::Ignored(why) => *self.ignored.entry(*why).or_default() += 1,
            Fact::Running
            | Fact::Sent(..)
            | Fact::Acked(_)
            | Fact::RefusedByVehicle(..)
            | Fact::Unanswered(_)
            | Fact::Expired(_)
            | Fact::Dropped(..) => {}
        }
    }

    /// Whether to log it now, and how often it happened unlogged: once in ten seconds.
    pub(crate) fn may_log(&mut self, why: Ignored, now: Instant) -> Option<u64> {
        let (last, unlogged) = self.logged.entry(why).or_insert((Instant::ZERO, 0));
        let due = *last == Instant::ZERO || now.since(*last).as_secs() >= 10;
        if !due {
            *unlogged += 1;
            return None;
        }
        *last = now.max(Instant::from_millis(1));
        Some(std::mem::take(unlogged))
    }
}

/// Where a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Queued,
    Sent(u32),
    Acked,
    Refused(Answer),
    Unanswered,
    Expired,
    Dropped(Dropped),
}

impl Stage {
    pub(crate) const NAMES: [&'static str; 7] = [
        "queued",
        "sent",
        "acked",
        "refused",
        "unanswered",
        "expired",
        "dropped",
    ];

    pub(crate) const fn name(self) -> &'static str {
        Self::NAMES[self.index()]
    }

    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Queued => 0,
            Self::Sent(_) => 1,
            Self::Acked => 2,
            Self::Refused(_) => 3,
            Self::Unanswered => 4,
            Self::Expired => 5,
            Self::Dropped(_) => 6,
        }
    }

    /// What a fact says about a command.
    pub(crate) fn of(fact: &Fact) -> Option<(&Command, Self)> {
        match fact {
            Fact::Sent(c, counter) => Some((c, Self::Sent(*counter))),
            Fact::Acked(c) => Some((c, Self::Acked)),
            Fact::RefusedByVehicle(c, why) => Some((c, Self::Refused(*why))),
            Fact::Unanswered(c) => Some((c, Self::Unanswered)),
            Fact::Expired(c) => Some((c, Self::Expired)),
            Fact::Dropped(c, why) => Some((c, Self::Dropped(*why))),
            _ => None,
        }
    }
}

/// A command of a car.
#[derive(Clone, Debug)]
pub(crate) struct CommandRecord {
    pub(crate) car: String,
    pub(crate) module: i32,
    pub(crate) device: Device,
    pub(crate) data: Vec<u8>,
    pub(crate) stage: Stage,
    pub(crate) queued: Moment,
    pub(crate) changed: Moment,
    /// Who sent it through the interface.
    pub(crate) by: Option<String>,
}

/// The newest commands of all cars.
#[derive(Default)]
pub(crate) struct Commands(BTreeMap<CommandId, CommandRecord>);

impl Commands {
    /// Answers whether it is new.
    pub(crate) fn insert(&mut self, id: CommandId, record: CommandRecord) -> bool {
        let new = !self.0.contains_key(&id);
        self.0.entry(id).or_insert(record);
        while self.0.len() > COMMANDS_MAX {
            self.0.pop_first();
        }
        new
    }

    pub(crate) fn set(
        &mut self,
        id: CommandId,
        stage: Stage,
        now: Moment,
    ) -> Option<&CommandRecord> {
        let record = self.0.get_mut(&id)?;
        record.stage = stage;
        record.changed = now;
        Some(record)
    }

    pub(crate) fn get(&self, id: CommandId) -> Option<&CommandRecord> {
        self.0.get(&id)
    }

    /// The newest first.
    pub(crate) fn newest(&self) -> impl Iterator<Item = (CommandId, &CommandRecord)> {
        self.0.iter().rev().map(|(id, record)| (*id, record))
    }
}
