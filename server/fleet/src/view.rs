//! What the interface shows. The only place where names meet JSON.

use leitstand_kit::words::hex;
use std::sync::atomic::Ordering;

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    car::CarHandle,
    module::runner::lock,
    record::{CommandRecord, DeviceRecord, Moment, Record, Stage, Standing},
    service::{BrokerRecord, ModuleRecord, Shared},
    session::{CommandId, Key, Phase},
};

/// Commands on the overview.
const NEWEST: usize = 20;

/// The whole fleet.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FleetView {
    /// When this was made, in ms since 1970.
    unix_ms: i64,
    /// The link to the broker.
    broker: BrokerView,
    /// All cars by name.
    cars: Vec<CarView>,
    /// All modules.
    modules: Vec<ModuleView>,
    /// The newest commands first.
    commands: Vec<CommandView>,
}

/// The link to the broker.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BrokerView {
    /// Whether it is connected.
    up: bool,
    /// Where vehicles connect.
    address: String,
    /// Whether the gateway itself is the broker.
    embedded: bool,
    /// Why it is not connected.
    reason: Option<String>,
    /// Clients that the embedded broker turned away.
    turned_away: u64,
    /// Messages and subscriptions that it refused.
    forbidden: u64,
}

/// A car.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CarView {
    /// Its company.
    company: String,
    /// Its name.
    name: String,
    /// `offline`, `waiting`, `connecting`, `running` or `stopped`.
    state: &'static str,
    /// Id of the session.
    session: Option<String>,
    /// How long it lasts, in ms.
    session_age_ms: Option<u64>,
    /// Since the last message of the vehicle, in ms; `null`: none yet.
    message_age_ms: Option<u64>,
    /// Devices, also those that left.
    devices: Vec<DeviceView>,
    /// Commands that wait.
    commands_waiting: usize,
    /// Commands that are not answered yet.
    commands_open: usize,
    /// Statuses that wait for an earlier one.
    statuses_held: usize,
    /// Numbers that are waited for.
    statuses_missing: u64,
    /// Statuses since the start.
    statuses: u64,
    /// Those that came after a higher number.
    statuses_late: u64,
    /// Numbers that never came, in sessions that ended.
    statuses_lost: u64,
    /// Lost statuses of a thousand.
    loss_per_mille: f64,
    /// Sessions since the start.
    sessions: u64,
    /// No module wants any of its devices.
    no_supported_device: bool,
    /// Messages without effect, by reason.
    ignored: std::collections::BTreeMap<&'static str, u64>,
    /// Ends of sessions, by cause.
    ended: std::collections::BTreeMap<&'static str, u64>,
    /// Calls that wait for a module.
    backlog: usize,
}

/// A car with its history.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CarDetail {
    /// As in the list.
    #[serde(flatten)]
    car: CarView,
    /// The last sessions, newest first.
    history: Vec<SessionView>,
}

/// A device of a car.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeviceView {
    /// Number of its module.
    module: i32,
    /// What it means is the module's business.
    device_type: u32,
    /// Place in the vehicle.
    role: String,
    /// As it names itself.
    name: String,
    /// `asked`, `connected`, `refused` or `gone`.
    state: &'static str,
    /// Why it is refused.
    reason: Option<String>,
    /// Its last status.
    status: Option<DataView>,
    /// Its last error.
    error: Option<DataView>,
}

/// Bytes of a device.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DataView {
    /// As text, where they are UTF-8; at most 4096 bytes.
    text: Option<String>,
    /// In hexadecimal, where they are not.
    hex: Option<String>,
    /// How old, in ms.
    age_ms: u64,
    /// When, in ms since 1970.
    unix_ms: i64,
}

/// A session of a car.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionView {
    /// As the vehicle chose it.
    id: String,
    /// When it began, in ms since 1970.
    began_unix_ms: i64,
    /// How long it lasted, in ms.
    length_ms: u64,
    /// Why it ended; `null`: it has not.
    ended: Option<&'static str>,
    /// Statuses in it.
    statuses: u64,
}

/// A module.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModuleView {
    /// Its number.
    id: i32,
    /// Library, or built in.
    origin: String,
    /// Whether it runs.
    up: bool,
    /// How often it was started.
    runs: u64,
    /// What is wrong.
    note: Option<String>,
    /// Whether the interface may send commands through it.
    takes_commands: bool,
    /// Calls.
    calls: u64,
    /// Calls with another answer than 0.
    failed: u64,
    /// The last such answer.
    last_code: i32,
    /// Calls that took longer than 2 s.
    late: u64,
    /// Calls made once more after a crash.
    repeated: u64,
    /// Calls given up after two crashes.
    given_up: u64,
    /// Mean time of a call in µs.
    mean_us: u64,
    /// The cars that have it; `null`: all.
    cars: Option<Vec<String>>,
}

/// A command.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CommandView {
    /// Its number.
    pub(crate) id: u64,
    /// `company/car`.
    car: String,
    /// Who offered it.
    module: i32,
    /// `module/type/role`.
    device: String,
    /// `queued`, `sent`, `acked`, `refused`, `unanswered`, `expired` or `dropped`.
    state: &'static str,
    /// Why it was refused or dropped.
    reason: Option<String>,
    /// Its number on the wire, once it is sent.
    counter: Option<u32>,
    /// Its bytes.
    data: DataView,
    /// Since it was queued, in ms.
    age_ms: u64,
    /// When it reached its state, in ms since 1970.
    changed_unix_ms: i64,
    /// Who sent it through the interface.
    by: Option<String>,
}

/// A company with its cars.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CompanyView {
    /// Its name.
    pub(crate) name: String,
    /// Names of its cars.
    pub(crate) cars: Vec<String>,
}

impl FleetView {
    pub(crate) fn new(shared: &Shared) -> Self {
        Self {
            unix_ms: shared.now().wall.unix_ms,
            broker: BrokerView::new(shared),
            cars: cars(shared),
            modules: modules(shared),
            commands: commands(shared, None, NEWEST),
        }
    }
}

impl BrokerView {
    fn new(shared: &Shared) -> Self {
        let record: BrokerRecord = lock(&shared.broker).clone();
        Self {
            up: record.up,
            address: record.address,
            embedded: shared.settings.broker.embedded,
            reason: record.reason,
            turned_away: record.turned_away,
            forbidden: record.forbidden,
        }
    }
}

/// All cars.
pub(crate) fn cars(shared: &Shared) -> Vec<CarView> {
    let now = shared.now();
    let all = shared.all_cars();
    all.iter().map(|car| CarView::new(car, now)).collect()
}

/// All modules.
pub(crate) fn modules(shared: &Shared) -> Vec<ModuleView> {
    lock(&shared.modules).iter().map(ModuleView::new).collect()
}

/// The newest commands, of one car or of all.
pub(crate) fn commands(shared: &Shared, car: Option<&str>, most: usize) -> Vec<CommandView> {
    let now = shared.now();
    let commands = lock(&shared.commands);
    commands
        .newest()
        .filter(|(_, record)| car.is_none_or(|car| record.car == car))
        .take(most)
        .map(|(id, record)| CommandView::new(id, record, now))
        .collect()
}

impl CarView {
    fn new(car: &CarHandle, now: Moment) -> Self {
        let record = lock(&car.record);
        let record: &Record = &record;
        let session = record.sessions.back().filter(|s| s.ended.is_none());
        let age = |then: &Moment| ms(now, *then);
        Self {
            company: car.name.company().to_owned(),
            name: car.name.name().to_owned(),
            state: match record.phase {
                Phase::Offline => "offline",
                Phase::AwaitConnect => "waiting",
                Phase::FirstStatuses | Phase::FirstResponses => "connecting",
                Phase::Running => "running",
                Phase::Stopped => "stopped",
            },
            session: session.map(|s| s.id.clone()),
            session_age_ms: session.map(|s| age(&s.since)),
            message_age_ms: record.last_message.as_ref().map(age),
            devices: record
                .devices
                .values()
                .map(|d| DeviceView::new(d, now))
                .collect(),
            commands_waiting: record.commands.0,
            commands_open: record.commands.1,
            statuses_held: record.held.0,
            statuses_missing: record.held.1,
            statuses: record.statuses,
            statuses_late: record.late,
            statuses_lost: record.lost,
            loss_per_mille: record.loss_per_mille(),
            sessions: record.sessions_total,
            no_supported_device: record.no_supported_device,
            ignored: record
                .ignored
                .iter()
                .map(|(why, n)| (why.name(), *n))
                .collect(),
            ended: record.ended.clone(),
            backlog: car.lanes.values().map(|lane| lane.backlog().0).sum(),
        }
    }
}

impl CarDetail {
    pub(crate) fn new(car: &CarHandle, now: Moment) -> Self {
        let history = {
            let record = lock(&car.record);
            let sessions = record.sessions.iter().rev();
            sessions
                .map(|s| SessionView {
                    id: s.id.clone(),
                    began_unix_ms: s.since.wall.unix_ms,
                    length_ms: ms(s.ended.map_or(now, |(_, at)| at), s.since),
                    ended: s.ended.map(|(why, _)| why.name()),
                    statuses: s.statuses,
                })
                .collect()
        };
        Self {
            car: CarView::new(car, now),
            history,
        }
    }
}

impl DeviceView {
    fn new(record: &DeviceRecord, now: Moment) -> Self {
        let (state, reason) = match &record.standing {
            Standing::Asked => ("asked", None),
            Standing::Connected => ("connected", None),
            Standing::Refused(why) => ("refused", Some(why.clone())),
            Standing::Gone => ("gone", None),
        };
        let data = |d: &(Vec<u8>, Moment)| DataView::new(&d.0, d.1, now);
        Self {
            module: record.device.module,
            device_type: record.device.device_type,
            role: record.device.device_role.clone(),
            name: record.device.device_name.clone(),
            state,
            reason,
            status: record.status.as_ref().map(data),
            error: record.error.as_ref().map(data),
        }
    }
}

impl DataView {
    fn new(bytes: &[u8], then: Moment, now: Moment) -> Self {
        let text = std::str::from_utf8(bytes).ok().map(str::to_owned);
        Self {
            hex: text.is_none().then(|| hex(bytes)),
            text,
            age_ms: ms(now, then),
            unix_ms: then.wall.unix_ms,
        }
    }
}

impl ModuleView {
    fn new(record: &ModuleRecord) -> Self {
        let counts = &record.counts;
        let load = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
        let calls = load(&counts.calls);
        let names =
            |cars: &Vec<crate::name::CarName>| cars.iter().map(ToString::to_string).collect();
        Self {
            id: record.id,
            origin: record.origin.clone(),
            up: record.up,
            runs: record.runs,
            note: record.note.clone(),
            takes_commands: record.transparent.is_some(),
            calls,
            failed: load(&counts.failed),
            last_code: counts.last_code.load(Ordering::Relaxed),
            late: load(&counts.late),
            repeated: load(&counts.repeated),
            given_up: load(&counts.given_up),
            mean_us: load(&counts.micros) / calls.max(1),
            cars: record.cars.as_ref().map(names),
        }
    }
}

impl CommandView {
    pub(crate) fn new(id: CommandId, record: &CommandRecord, now: Moment) -> Self {
        Self {
            id: id.0,
            car: record.car.clone(),
            module: record.module,
            device: Key::of(&record.device).to_string(),
            state: record.stage.name(),
            reason: match record.stage {
                Stage::Refused(why) => Some(why.as_str_name().to_ascii_lowercase()),
                Stage::Dropped(why) => Some(why.name().to_owned()),
                _ => None,
            },
            counter: match record.stage {
                Stage::Sent(counter) => Some(counter),
                _ => None,
            },
            data: DataView::new(&record.data, record.queued, now),
            age_ms: ms(now, record.queued),
            changed_unix_ms: record.changed.wall.unix_ms,
            by: record.by.clone(),
        }
    }
}

fn ms(now: Moment, then: Moment) -> u64 {
    now.at.as_millis().saturating_sub(then.at.as_millis())
}
