//! The evaluation thread: it owns the station, and nobody else touches it.
//!
//! Inputs, commands and deadlines go in; journal entries, images and snapshots come out, all by hand-overs that
//! never wait. After its start the thread touches no disk, no network and no database.

use crate::audit;
use crate::facts;
use crate::handover::{Handover, Places};
use crate::hub::Hub;
use crate::persist::{self, Desk, Notes, Saved};
use crate::quality::Quality;
use crate::seam::{Wake, look};
use crate::snapshot::Source;
use crate::view::{Annotation, CheckResult, SelfTestView, ServiceDone};
use leitstand_core::gas::event::AlarmChange;
use leitstand_core::gas::memory::SAVE_BYTES_MAX;
use leitstand_core::gas::plan::Function;
use leitstand_core::gas::status::Mode;
use leitstand_core::gas::{
    BoardIndex, CellIndex, Command, EventKind, Input, OutputIndex, Reading, Refusal, SitePlan,
    SiteStation,
};
use leitstand_core::machine::Machine as _;
use leitstand_core::time::Instant;
use leitstand_core::units::Concentration;
use leitstand_kit::access::Caller;
use leitstand_kit::events::Pending;
use leitstand_kit::store::state_file::Generation;
use leitstand_kit::{Context, Heartbeat, NewEvent, Severity};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;
use tokio::sync::oneshot;

/// Longest sleep. Reasoning: the heartbeat and lamps that flash twice a second.
const NAP: Duration = Duration::from_millis(200);
/// Inputs taken in one round before deadlines are looked at.
const ROUND_MAX: usize = 512;
/// Snapshots at least this often, so that ages move.
const SNAPSHOT_EVERY: Duration = Duration::from_millis(1000);
/// And at most this often without a command.
const SNAPSHOT_GAP: Duration = Duration::from_millis(250);
/// Writes of the runtime information without a reason: at most 60 s of operating time are lost in a power cut.
const SAVE_EVERY: Duration = Duration::from_secs(60);
/// At most one write in this time, except for a person's command.
const SAVE_GAP: Duration = Duration::from_secs(5);
/// How often the calendar is told.
const CALENDAR_EVERY: Duration = Duration::from_secs(60);
/// Services remembered in the file. Reasoning: a century of yearly service.
const SERVICES_MAX: usize = 100;

/// A person's command on its way to the evaluation thread.
#[derive(Debug)]
pub(crate) struct Order {
    /// What.
    pub(crate) what: Command,
    /// Who, for the journal.
    pub(crate) caller: Caller,
    /// Why, as they said.
    pub(crate) reason: Option<String>,
    /// With [`Command::ServiceDone`]: who did it, and what they noted.
    pub(crate) service: Option<(String, String)>,
    /// Where the answer goes: the ticket of the write that makes it durable.
    pub(crate) reply: oneshot::Sender<Result<u64, Refusal>>,
}

/// Why the thread cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    State(#[from] persist::StateError),
    #[error("reading newer journal entries")]
    Journal(#[from] leitstand_kit::store::StoreError),
}

struct Answer {
    reply: oneshot::Sender<Result<u64, Refusal>>,
    result: Result<(), Refusal>,
}

/// The evaluation of one run.
pub(crate) struct Evaluation {
    hub: Arc<Hub>,
    cx: Context,
    desk: Desk,
    heartbeat: Heartbeat,
    station: Box<SiteStation>,
    /// The parameters as they were at the start.
    shadow: Box<SitePlan>,
    self_test: Option<SelfTestView>,
    quality: Quality,
    notes: Notes,
    /// Entries that the next saved state contains.
    receipts: Vec<Pending>,
    answers: Vec<Answer>,
    buffer: Vec<u8>,
    ticket: u64,
    snapshots: u64,
    /// A snapshot of this site was made.
    shown: bool,
    started: Instant,
    second_at: Instant,
    calendar_at: Instant,
    snapshot_last: Instant,
    saved_last: Instant,
    /// Something changed that a snapshot shows.
    changed: bool,
    /// Something changed that must survive.
    dirty: bool,
    /// A person waits for the write.
    urgent: bool,
}

impl Evaluation {
    /// Builds the station with everything that survived.
    pub(crate) fn start(
        hub: Arc<Hub>,
        cx: Context,
        desk: Desk,
        heartbeat: Heartbeat,
    ) -> Result<Self, StartError> {
        if let Some(handover) = hub.take_handover() {
            return Ok(Self::go_on(hub, cx, desk, heartbeat, handover));
        }
        let restored = match hub.take_restored() {
            Some(first) => first,
            None => persist::load(&cx.paths.state)?,
        };
        let now = cx.clock.now();
        let mut station = crate::station::boxed(&hub.site.plan, now);
        if let Some((saved, _)) = &restored {
            saved.restore(&hub.site, &mut station, &cx.clock);
            let applied = persist::catch_up(&hub.site, &mut station, &cx.events, saved.seq)?;
            tracing::info!(seq = saved.seq, applied, "alarms are as they were");
        }
        let mut this = Self::new(hub, cx, desk, heartbeat, station, now);
        match restored {
            Some((saved, generation)) => {
                this.notes = saved.notes;
                if generation == Generation::Previous {
                    let text = "The newest gas runtime information was damaged; the generation before it is in use";
                    tracing::warn!("{text}");
                    let event = NewEvent::new(facts::SERVICE, "RuntimeInformationRecovered");
                    drop(
                        this.cx
                            .events
                            .record(event.severity(Severity::Warning).text(text)),
                    );
                }
            }
            None => this.first_hands(now, |_| true),
        }
        let wall = this.cx.clock.wall();
        if wall.synced {
            this.notes.created_unix_ms.get_or_insert(wall.unix_ms);
        }
        Ok(this)
    }

    /// Goes on where the evaluation of the configuration before this one ended, a moment ago.
    fn go_on(
        hub: Arc<Hub>,
        cx: Context,
        desk: Desk,
        heartbeat: Heartbeat,
        mut before: Handover,
    ) -> Self {
        let now = cx.clock.now();
        let places = Places::of(&hub.site, &before.site);
        let mut station = crate::station::boxed(&hub.site.plan, now);
        // Deadlines between the last step there and the first one here fall due here.
        station.take_over(&mut before.station, &places.moves());
        let mut this = Self::new(hub, cx, desk, heartbeat, station, now);
        this.notes = before.notes;
        this.started = before.started;
        this.quality = before.quality;
        this.snapshots = before.snapshots;
        this.first_hands(now, |output| places.outputs[output].is_none());
        this
    }

    fn new(
        hub: Arc<Hub>,
        cx: Context,
        desk: Desk,
        heartbeat: Heartbeat,
        station: Box<SiteStation>,
        now: Instant,
    ) -> Self {
        let ticket = hub.written.borrow().ticket;
        Self {
            notes: Notes::default(),
            buffer: vec![0; SAVE_BYTES_MAX],
            receipts: Vec::new(),
            answers: Vec::new(),
            ticket,
            snapshots: 0,
            shown: false,
            started: now,
            second_at: now,
            calendar_at: now,
            snapshot_last: now,
            saved_last: now,
            changed: true,
            dirty: true,
            urgent: true,
            shadow: Box::new(station.plan().clone()),
            self_test: None,
            quality: Quality::default(),
            station,
            hub,
            cx,
            desk,
            heartbeat,
        }
    }

    /// Hand control as configured holds from an output's first start on, until a person changes it.
    fn first_hands(&mut self, now: Instant, is_new: impl Fn(usize) -> bool) {
        let site = Arc::clone(&self.hub.site);
        for (i, output) in (0u8..).zip(&site.outputs) {
            if !is_new(usize::from(i)) {
                continue;
            }
            let mode = match output.manual {
                crate::config::ManualConfig::Auto => continue,
                crate::config::ManualConfig::On => Mode::On,
                crate::config::ManualConfig::Off => Mode::Off,
            };
            let command = Command::SetOutput {
                output: OutputIndex(i),
                mode,
                span: None,
            };
            if let Err(refusal) = self.station.step(now, Input::Command(command)) {
                tracing::warn!(
                    output = output.id,
                    ?refusal,
                    "hand control as configured is refused"
                );
            }
            self.drain(None);
        }
    }

    /// Runs until `stop`, and says when it is `ready`. Before it returns, the healthy signal is dropped and the state is on its way to the
    /// disk.
    pub(crate) fn run(
        &mut self,
        wakes: &Receiver<Wake>,
        stop: &AtomicBool,
        ready: oneshot::Sender<()>,
    ) {
        self.after_inputs();
        // From here on the images are what was restored; nobody may be left to hear it.
        let _ = ready.send(());
        while !stop.load(Ordering::Acquire) {
            let wait = self.cx.clock.real_wait(self.next_deadline(), NAP);
            match wakes.recv_timeout(wait) {
                Ok(wake) => {
                    self.wake(wake);
                    for wake in wakes.try_iter().take(ROUND_MAX) {
                        self.wake(wake);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                // The hub holds a sender for as long as this thread lives.
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.after_inputs();
            self.heartbeat.beat();
        }
        self.farewell();
    }

    fn next_deadline(&self) -> Option<Instant> {
        let mut next = self.second_at.min(self.saved_last + SAVE_EVERY);
        if self.changed {
            next = next.min(self.snapshot_last + SNAPSHOT_GAP);
        }
        if self.dirty {
            next = next.min(self.saved_last + SAVE_GAP);
        }
        Some(self.station.poll_timeout().map_or(next, |at| at.min(next)))
    }

    fn wake(&mut self, wake: Wake) {
        match wake {
            Wake::Input(at, input) => {
                // What a bus says about itself is in its report; only indices of another plan are refused.
                if let Err(refusal) = self.station.step(at, input) {
                    tracing::error!(?input, ?refusal, "an input does not fit the plan");
                }
                self.drain(None);
                self.changed = true;
            }
            Wake::Command(order) => self.order(*order),
            Wake::SelfTest(checks) => self.self_test(checks),
            Wake::Look => {}
            #[cfg(test)]
            Wake::Panic => panic!("asked to"),
        }
    }

    fn order(&mut self, order: Order) {
        let now = self.cx.clock.now();
        let before = audit::subject(&self.hub.site, &self.station, &order.what);
        let result = self.station.step(now, Input::Command(order.what));
        if result.is_ok() {
            self.note(&order);
            self.urgent = true;
            self.dirty = true;
        }
        self.drain(Some(&order));
        if result.is_ok() {
            let after = audit::subject(&self.hub.site, &self.station, &order.what);
            let what = audit::verb(&self.hub.site, &order.what);
            let entry = self
                .cx
                .audit(facts::SERVICE, &order.caller, &what, before, after);
            self.receipts.push(entry);
        }
        self.changed = true;
        self.answers.push(Answer {
            reply: order.reply,
            result,
        });
    }

    /// Adds what only this thread can look at, tells the station, and writes down what is new.
    fn self_test(&mut self, mut checks: Vec<CheckResult>) {
        let changed = self.station.plan() != &*self.shadow;
        let wrong = changed.then(|| "the parameters in use are not those of the start".to_owned());
        checks.push(CheckResult::new("parameters", wrong));
        let ok = checks.iter().all(|check| check.ok);
        let now = self.cx.clock.now();
        let _ = self.station.step(now, Input::SelfTest(ok));
        self.drain(None);
        let news = self
            .self_test
            .as_ref()
            .is_none_or(|before| ok || before.checks != checks);
        if news {
            drop(self.cx.events.record(facts::self_test(&checks)));
        }
        self.self_test = Some(SelfTestView {
            unix_ms: self.cx.clock.wall().unix_ms,
            ok,
            checks,
        });
        self.changed = true;
    }

    /// Remembers who and why, for as long as it matters.
    fn note(&mut self, order: &Order) {
        let wall = self.cx.clock.wall();
        let site = &self.hub.site;
        let note = Annotation {
            by: order.caller.name.clone(),
            reason: order.reason.clone(),
            unix_ms: wall.unix_ms,
        };
        match order.what {
            Command::Shelve { key, .. } => {
                self.notes.shelved.insert(site.alarm_id(key), note);
            }
            Command::Inhibit { cell, .. }
            | Command::BumpTest { cell, .. }
            | Command::OutOfService(cell) => {
                self.notes
                    .masked
                    .insert(site.cells[cell.at()].id.clone(), note);
            }
            Command::SetOutput { output, .. } => {
                self.notes
                    .hands
                    .insert(site.outputs[output.at()].id.clone(), note);
            }
            Command::ServiceDone => {
                let (by, note) = order.service.clone().unwrap_or_default();
                if self.notes.services.len() >= SERVICES_MAX {
                    self.notes.services.remove(0);
                }
                self.notes.services.push(ServiceDone {
                    by,
                    note,
                    entered_by: order.caller.name.clone(),
                    unix_ms: wall.unix_ms,
                    synced: wall.synced,
                    operating_s: self.station.runtime().operating_s,
                });
                // The calendar starts anew with the interval.
                self.calendar_at = self.cx.clock.now();
            }
            _ => {}
        }
    }

    /// Deadlines, then everything that others see.
    fn after_inputs(&mut self) {
        let now = self.cx.clock.now();
        if now >= self.second_at {
            self.second(now);
        }
        let _ = self.station.step(now, Input::Tick);
        self.drain(None);
        self.show_images(now);
        let due = self.saved_last + if self.dirty { SAVE_GAP } else { SAVE_EVERY };
        if self.urgent || now >= due {
            self.save(now);
        }
        let commanded = !self.answers.is_empty();
        let gap = if self.changed {
            SNAPSHOT_GAP
        } else {
            SNAPSHOT_EVERY
        };
        if commanded || !self.shown || now >= self.snapshot_last + gap {
            self.snapshot(now);
        }
        for answer in self.answers.drain(..) {
            // A client that went away needs no answer.
            let _ = answer.reply.send(answer.result.map(|()| self.ticket));
        }
    }

    /// Once a second: simulated cells, history, calendar.
    fn second(&mut self, now: Instant) {
        // After a stall the missed seconds are not made up: nothing was measured in them.
        self.second_at = now + Duration::from_millis(1000 - now.as_millis() % 1000);
        let site = Arc::clone(&self.hub.site);
        for (i, cell) in (0u8..).zip(&site.cells) {
            if let Some(profile) = cell.simulated {
                let value = Concentration::from_milli(profile.at(now.since(self.started)));
                let reading = Reading::Value(value);
                let cell = CellIndex(i);
                let _ = self.station.step(now, Input::Reading { cell, reading });
                self.drain(None);
            }
        }
        let cells = (0u8..).take(site.cells.len());
        self.hub
            .history
            .push(cells.clone().map(|i| self.station.cell(CellIndex(i)).value));
        let wall = self.cx.clock.wall();
        let cells = cells.map(|i| self.station.cell(CellIndex(i)));
        self.hub.record.second(wall.unix_ms, cells);
        if now >= self.calendar_at {
            self.calendar_at = now + CALENDAR_EVERY;
            let days = self.calendar_days();
            let _ = self.station.step(now, Input::Calendar(days));
            self.drain(None);
        }
        if let Some(began) = self.quality.tick(now) {
            let figures = self.quality.figures(now);
            drop(
                self.cx
                    .events
                    .record(facts::flood(began, figures.last_10_min)),
            );
        }
        self.changed = true;
    }

    /// Days since the last service by the calendar, when both ends can be trusted.
    fn calendar_days(&self) -> Option<u32> {
        let wall = self.cx.clock.wall();
        let from = match self.notes.services.last() {
            Some(service) => service.synced.then_some(service.unix_ms),
            None => self.notes.created_unix_ms,
        }?;
        let span = wall.synced.then(|| wall.unix_ms - from)?;
        u32::try_from(span / 86_400_000).ok()
    }

    /// Takes the station's events to the journal, in the name of whoever gave the order.
    fn drain(&mut self, order: Option<&Order>) {
        while let Some(event) = self.station.poll_output() {
            let mut entry = facts::entry(&self.hub.site, &event);
            if let Some(order) = order {
                entry = entry.actor(order.caller.name.clone());
                if let (Some(reason), Some(data)) = (&order.reason, entry.data.as_object_mut()) {
                    data.insert("reason".into(), reason.clone().into());
                }
            } else if let EventKind::BumpTest { cell, .. } = event.kind {
                entry = self.begun_by(entry, cell);
            }
            match event.kind {
                EventKind::Shelved { key, on: false } => {
                    self.notes.shelved.remove(&self.hub.site.alarm_id(key));
                }
                EventKind::Masked {
                    cell, on: false, ..
                } => {
                    self.notes.masked.remove(&self.hub.site.cells[cell.at()].id);
                }
                EventKind::OutputMode {
                    output,
                    mode: Mode::Auto,
                } => {
                    self.notes
                        .hands
                        .remove(&self.hub.site.outputs[output.at()].id);
                }
                EventKind::Alarm {
                    key,
                    change: AlarmChange::Raised,
                    ..
                } => self.quality.raised(event.at, key),
                EventKind::ShutdownAdvised => {
                    self.urgent = true;
                    (self.hub.platform.shutdown)(&self.hub.site.shutdown_command);
                }
                _ => {}
            }
            let lasting = is_lasting(&event.kind);
            let pending = self.cx.events.record(entry);
            if lasting || order.is_some() {
                self.receipts.push(pending);
            }
            self.dirty |= lasting;
            self.changed = true;
        }
    }

    /// The end of a test is told in the name of who began it.
    fn begun_by(&self, mut entry: NewEvent, cell: CellIndex) -> NewEvent {
        let Some(note) = self.notes.masked.get(&self.hub.site.cells[cell.at()].id) else {
            return entry;
        };
        if let (Some(reason), Some(data)) = (&note.reason, entry.data.as_object_mut()) {
            data.insert("reason".into(), reason.clone().into());
        }
        entry.actor(note.by.clone())
    }

    fn show_images(&self, now: Instant) {
        let lit = (now.as_millis() / 500).is_multiple_of(2);
        for board in (0u8..).take(self.hub.site.boards.len()).map(BoardIndex) {
            self.hub.images.set(board, self.station.image(board, lit));
        }
    }

    fn save(&mut self, now: Instant) {
        self.ticket += 1;
        // Only this thread records alarms, so every one that is committed is contained.
        let seq = self.cx.events.last_seq();
        let saved = Saved::of(
            &self.hub.site,
            &self.station,
            &self.notes,
            seq,
            &self.cx.clock,
            &mut self.buffer,
        );
        self.desk
            .put(self.ticket, saved, std::mem::take(&mut self.receipts));
        self.saved_last = now;
        self.dirty = false;
        self.urgent = false;
    }

    fn snapshot(&mut self, now: Instant) {
        self.snapshots += 1;
        let source = Source {
            site: &self.hub.site,
            station: &self.station,
            notes: &self.notes,
            buses: self.hub.reports.iter().map(|r| look(r)).collect(),
            now,
            unix_ms: self.cx.clock.wall().unix_ms,
            seq: self.snapshots,
            simulated: self.cx.site.simulated || self.hub.site.has_simulated(),
            quality: self.quality.figures(now),
            self_test: self.self_test.as_ref(),
            config_drift: self.hub.config_drift,
            config_version: self.hub.config_version,
        };
        self.hub
            .snapshot
            .send_replace(Some(Arc::new(source.snapshot())));
        self.snapshot_last = now;
        self.shown = true;
        self.changed = false;
    }

    /// The healthy signal drops unless another evaluation follows; alarm outputs stay as they are, since the gas
    /// does too.
    fn farewell(&mut self) {
        let now = self.cx.clock.now();
        let succeeded = self.hub.is_succeeded.load(Ordering::Acquire);
        let outputs = self.hub.site.plan.outputs.iter().enumerate();
        for (i, output) in outputs.filter(|_| !succeeded) {
            let healthy = self.station.plan().outputs[i].function == Function::Healthy;
            if let (true, Some(board)) = (healthy, output.board) {
                let bit = 1u64
                    .checked_shl(u32::from(output.pin).wrapping_sub(1))
                    .unwrap_or(0);
                self.hub
                    .images
                    .set(board, self.hub.images.get(board) & !bit);
            }
        }
        self.save(now);
        for answer in self.answers.drain(..) {
            let _ = answer.reply.send(answer.result.map(|()| self.ticket));
        }
    }

    /// Leaves the health report in order, and what it knows to whoever follows.
    pub(crate) fn finish(self) {
        self.heartbeat.finish();
        if self.hub.is_succeeded.load(Ordering::Acquire) {
            let hub = Arc::clone(&self.hub);
            hub.leave(Handover {
                site: Arc::clone(&hub.site),
                station: self.station,
                notes: self.notes,
                started: self.started,
                quality: self.quality,
                snapshots: self.snapshots,
            });
        }
    }
}

/// Whether the state that changed survives a restart.
const fn is_lasting(kind: &EventKind) -> bool {
    matches!(
        kind,
        EventKind::Alarm { .. }
            | EventKind::Shelved { .. }
            | EventKind::Masked { .. }
            | EventKind::OutputMode { .. }
            | EventKind::HornSilenced
            | EventKind::ServiceDone
            | EventKind::CheckDone(_)
            | EventKind::CalibrationConfirmed { .. }
            | EventKind::BatteryTest(_)
            | EventKind::ShutdownAdvised
    )
}
