//! The service: long-lived handles behind the routes, and the instance that runs on them.
//!
//! An instance has one task that owns the room ([`crate::room`]) and all clients ([`crate::fanout`]), a thread a
//! board ([`crate::cable`]), one look at the media every two seconds, and a task that publishes the state. When it
//! is restarted the next one attaches to the same handles; browsers reconnect by themselves.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant as RealInstant},
};

use leitstand_core::{
    machine::Machine as _,
    panel::{
        link,
        playback::{BoardIndex, ClientId, Ignored, MediaId},
    },
    time::Instant,
};
use leitstand_kit::{
    BoxFuture, Clock, Context, Heartbeat, Service, ServiceError,
    drive::drive,
    metrics::{Counter, Gauge, Histogram},
};
use tokio::sync::{mpsc, oneshot, watch};
use utoipa_axum::router::OpenApiRouter;

use crate::{
    SERVICE, api,
    cable::{Cable, OpenPort, Runner},
    config::Settings,
    content::{Bounds, Content},
    fanout::{Fanout, Frames, Gone, Outbox},
    latency::Leg,
    limit::Limits,
    media::Watcher,
    room::{Input, Output, Room, Snapshot},
    schedule::LocalTime,
    settings::Saved,
    stats::{self, Tally},
    view::StatusView,
    wire::Reject,
};

/// Inputs that wait for the room. Reasoning: a second of 20 presses from each of 50 sources.
const INPUTS_MAX: usize = 1024;
/// How often the folder of media is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Changes of the content that wait for a look.
const RESCANS_MAX: usize = 16;
/// Longest wait for one. Reasoning: the headers of a thousand files are read in a second or two.
const RESCAN_PATIENCE: Duration = Duration::from_secs(20);
/// Shortest and longest time between two published states.
const PUBLISH_EVERY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));
/// Seconds between two writes of the statistics. Reasoning: a memory card lives longer when a busy hour is a few
/// hundred writes and not one a press.
const STORE_TICKS: u64 = 10;
/// The room must turn at least this often.
const ROOM_DEADLINE: Duration = Duration::from_secs(5);

/// What reaches the room's task.
pub(crate) enum Message {
    /// From a board's thread, with the moment its bytes were read.
    Board(
        BoardIndex,
        leitstand_core::panel::link::BoardEvent,
        RealInstant,
    ),
    /// A browser finished its handshake.
    Join(ClientId, Arc<Outbox>),
    /// A browser's task ended.
    Left(ClientId, Gone),
    /// Anything else for the room.
    Room(Input),
    /// A board acknowledged an LED, so long after it was told.
    Lit(Duration),
    /// Hands over what the statistics have not stored yet.
    Tally(oneshot::Sender<Tally>),
    /// Answered when everything before it is done and published.
    Sync(oneshot::Sender<()>),
    /// Once a second.
    Tick,
}

/// The panel: build it once, hand [`instance`](Self::instance)s to the supervisor.
#[derive(Clone)]
pub struct Panel(Arc<Shared>);

/// What routes and instances share.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) media_dir: PathBuf,
    pub(crate) content: Content,
    /// Has the folder of media looked at now; answered when the screens are told.
    rescan: mpsc::Sender<oneshot::Sender<()>>,
    rescans: tokio::sync::Mutex<mpsc::Receiver<oneshot::Sender<()>>>,
    pub(crate) cables: Vec<Arc<Cable>>,
    pub(crate) inputs: mpsc::Sender<Message>,
    receiver: tokio::sync::Mutex<mpsc::Receiver<Message>>,
    pub(crate) snapshot: watch::Sender<Arc<Snapshot>>,
    pub(crate) cx: Context,
    /// Unscaled: boards, sounds and people keep their pace however fast a demonstration runs.
    pub(crate) clock: Clock,
    pub(crate) limits: Mutex<Limits>,
    /// Held while somebody changes a setting: read, store, apply.
    pub(crate) setting: tokio::sync::Mutex<()>,
    pub(crate) latency: Mutex<Latency>,
    pub(crate) metrics: PanelMetrics,
    last_seq: AtomicU32,
    next_client: AtomicU64,
}

/// Legs of the latency budget that the server sees.
#[derive(Default)]
pub(crate) struct Latency {
    /// From an LED command to the board's acknowledgement.
    pub(crate) press_led: Leg,
    /// Bytes of the press read, to frames handed to all browsers.
    pub(crate) press_frames: Leg,
    /// The same, to the start of the content as a browser reports it.
    pub(crate) press_play: Leg,
    /// Number of the last pressed play, and its first leg in microseconds.
    last: Option<(u32, u32)>,
}

/// The series under `/metrics`.
pub(crate) struct PanelMetrics {
    clients: Gauge,
    plays: Counter,
    deliveries: Counter,
    dropped: HashMap<&'static str, Counter>,
    rejected: Vec<(Reject, Counter)>,
    ignored: [Counter; 4],
    pub(crate) limited: Counter,
    online: Vec<Gauge>,
    media_missing: Gauge,
    press_seconds: Histogram,
    started_seconds: Histogram,
}

impl PanelMetrics {
    fn new(cx: &Context, settings: &Settings) -> Self {
        let m = &cx.metrics;
        let gone = [
            Gone::Stalled,
            Gone::Silent,
            Gone::Closed,
            Gone::Protocol,
            Gone::LoggedOut,
            Gone::Stopping,
        ];
        let ignored = |why| {
            m.counter(
                "leitstand_panel_ignored_total",
                "Presses, ends and clients without effect",
                &[("reason", why)],
            )
        };
        Self {
            clients: m.gauge("leitstand_panel_clients", "Connected screens", &[]),
            plays: m.counter("leitstand_panel_plays_total", "Plays started", &[]),
            deliveries: m.counter(
                "leitstand_panel_deliveries_total",
                "Frames handed to screens by broadcast",
                &[],
            ),
            dropped: gone
                .into_iter()
                .map(|why| {
                    let counter = m.counter(
                        "leitstand_panel_clients_left_total",
                        "Screens that left or were dropped",
                        &[("reason", why.as_str())],
                    );
                    (why.as_str(), counter)
                })
                .collect(),
            rejected: Reject::ALL
                .into_iter()
                .map(|why| {
                    let counter = m.counter(
                        "leitstand_panel_messages_dropped_total",
                        "Messages of screens that were dropped",
                        &[("reason", why.as_str())],
                    );
                    (why, counter)
                })
                .collect(),
            ignored: [
                ignored("out_of_range"),
                ignored("stale"),
                ignored("retrigger"),
                ignored("too_many_clients"),
            ],
            limited: m.counter(
                "leitstand_panel_limited_total",
                "Plays over HTTP refused by the rate limit",
                &[],
            ),
            online: settings
                .boards
                .iter()
                .map(|board| {
                    m.gauge(
                        "leitstand_panel_online",
                        "1 while the board answers",
                        &[("panel", &board.name)],
                    )
                })
                .collect(),
            media_missing: m.gauge(
                "leitstand_panel_media_missing",
                "Media files missing or unusable",
                &[],
            ),
            press_seconds: m.histogram(
                "leitstand_panel_press_to_frames_seconds",
                "From the bytes of a press to its frames at all screens",
                &[
                    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05,
                ],
                &[],
            ),
            started_seconds: m.histogram(
                "leitstand_panel_frame_to_start_seconds",
                "From the frame to the start of the content, as screens report it",
                &[0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0],
                &[],
            ),
        }
    }

    pub(crate) fn rejected(&self, why: Reject) {
        for (reject, counter) in &self.rejected {
            if *reject == why {
                counter.inc();
            }
        }
    }

    fn ignored(&self, before: Ignored, now: Ignored) {
        let pairs = [
            (before.out_of_range, now.out_of_range),
            (before.stale, now.stale),
            (before.retriggers, now.retriggers),
            (before.clients, now.clients),
        ];
        for (counter, (before, now)) in self.ignored.iter().zip(pairs) {
            // After a restart of the service the machine counts from zero.
            counter.add(u64::from(now.checked_sub(before).unwrap_or(now)));
        }
    }
}

impl Panel {
    /// Prepares the service. `ports` open the boards, in the order of `settings.boards`; `media_dir` is
    /// absolute. Nothing is opened or read yet.
    #[must_use]
    pub fn new(cx: &Context, settings: Settings, media_dir: PathBuf, ports: Vec<OpenPort>) -> Self {
        debug_assert_eq!(settings.boards.len(), ports.len(), "a port for each board");
        let (inputs, receiver) = mpsc::channel(INPUTS_MAX);
        let cables = settings.boards.iter().zip(ports);
        let (rescan, rescans) = mpsc::channel(RESCANS_MAX);
        let bounds = Bounds::default();
        let shared = Shared {
            cables: cables
                .map(|(board, open)| {
                    let (name, port) = (board.name.clone(), board.port.clone());
                    Arc::new(Cable::new(name, port, board.link, open))
                })
                .collect(),
            snapshot: watch::Sender::new(Room::new(&settings, 0).snapshot()),
            metrics: PanelMetrics::new(cx, &settings),
            content: Content::new(media_dir.clone(), settings.media(), bounds),
            media_dir,
            rescan,
            rescans: tokio::sync::Mutex::new(rescans),
            inputs,
            receiver: tokio::sync::Mutex::new(receiver),
            cx: cx.clone(),
            clock: Clock::real(),
            limits: Mutex::default(),
            setting: tokio::sync::Mutex::default(),
            latency: Mutex::default(),
            last_seq: AtomicU32::new(0),
            next_client: AtomicU64::new(1),
            settings,
        };
        Self(Arc::new(shared))
    }

    /// One run of the service, for the supervisor.
    #[must_use]
    pub fn instance(&self) -> Box<dyn Service> {
        Box::new(Instance(self.0.clone()))
    }
}

impl Shared {
    /// Hands `input` to the room and waits until its effects are published.
    ///
    /// # Errors
    /// The service does not run, or does not keep up.
    pub(crate) async fn apply(&self, input: Input) -> Result<(), NotRunning> {
        const PATIENCE: Duration = Duration::from_secs(2);
        let (done, waiting) = oneshot::channel();
        let sent = async {
            let room = self.inputs.send(Message::Room(input)).await;
            room.map_err(|_| NotRunning)?;
            let sync = self.inputs.send(Message::Sync(done)).await;
            sync.map_err(|_| NotRunning)?;
            waiting.await.map_err(|_| NotRunning)
        };
        tokio::time::timeout(PATIENCE, sent)
            .await
            .map_err(|_| NotRunning)?
    }

    /// Looks at the folder of media now, and waits until screens are told what changed.
    ///
    /// # Errors
    /// The service does not run: then the next instance looks.
    pub(crate) async fn rescan(&self) -> Result<(), NotRunning> {
        let (done, waiting) = oneshot::channel();
        let looked = async {
            self.rescan.send(done).await.map_err(|_| NotRunning)?;
            waiting.await.map_err(|_| NotRunning)
        };
        tokio::time::timeout(RESCAN_PATIENCE, looked)
            .await
            .map_err(|_| NotRunning)?
    }

    pub(crate) fn new_client(&self) -> ClientId {
        ClientId(self.next_client.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn latency(&self) -> MutexGuard<'_, Latency> {
        self.latency.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The room's task is not there or does not keep up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotRunning;

struct Instance(Arc<Shared>);

impl Service for Instance {
    fn name(&self) -> &'static str {
        SERVICE
    }

    fn routes(&self) -> OpenApiRouter {
        api::routes(self.0.clone())
    }

    fn run(self: Box<Self>, cx: Context) -> BoxFuture<'static, Result<(), ServiceError>> {
        Box::pin(run(self.0, cx))
    }
}

/// Sets the flag when the instance ends in whatever way, so that no thread outlives it.
struct StopThreads(Arc<AtomicBool>);

impl Drop for StopThreads {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

async fn run(shared: Arc<Shared>, cx: Context) -> Result<(), ServiceError> {
    let mut inputs = shared.receiver.lock().await;
    let heartbeat = cx.health.critical(SERVICE, "playback", ROOM_DEADLINE);
    let stop = StopThreads(Arc::new(AtomicBool::new(false)));

    let (dir, count) = (shared.media_dir.clone(), shared.settings.media());
    let scanning = shared.clone();
    let scan = tokio::task::spawn_blocking(move || {
        scanning.content.sweep();
        Watcher::start(&dir, count)
    });
    let (watcher, media) = scan
        .await
        .map_err(|e| ServiceError::retry("scanning the media").because(e))?;
    tracing::info!("{}", media.summary());
    for note in media.notes() {
        tracing::warn!("media: {note}");
    }

    let mut room = Room::new(&shared.settings, shared.last_seq.load(Ordering::Relaxed));
    room.handle(shared.clock.now(), Input::Media(Arc::new(media)));
    for input in saved(&cx).await? {
        room.handle(shared.clock.now(), input);
    }
    let (_, brightness) = room.snapshot().effective;
    let threads = threads(&shared, &cx, &stop.0, brightness)?;

    let shell = Mutex::new(Shell {
        shared: &shared,
        fanout: Fanout::default(),
        dropped: Vec::new(),
        heartbeat,
        pressed_at: None,
        tally: Tally::default(),
        ticks: 0,
    });
    let driven = drive(
        &mut room,
        &mut inputs,
        &shared.clock,
        |room, now, message| lock(&shell).apply(room, now, message),
        |output| {
            lock(&shell).emit(output);
            std::future::ready(Ok::<(), ServiceError>(()))
        },
    );
    let outcome = tokio::select! {
        biased;
        () = cx.stop.cancelled() => Ok(()),
        ended = driven => ended,
        ended = look(&shared, watcher) => ended,
        () = tick(&shared) => Ok(()),
        () = publish(&shared, &cx) => Ok(()),
    };
    let mut shell = shell.into_inner().unwrap_or_else(PoisonError::into_inner);
    shell.fanout.close_all(Gone::Stopping);
    shell.heartbeat.finish();
    drop(stop);
    if let Err(error) = shell.tally.add_to(&shared.cx.store, None).await {
        tracing::warn!(%error, "the last plays are not counted");
    }
    // Reads end within 10 ms; a port that hangs in the kernel must not hold up the stop.
    let joined =
        tokio::task::spawn_blocking(move || threads.into_iter().for_each(|t| drop(t.join())));
    let _ = tokio::time::timeout(Duration::from_secs(1), joined).await;
    outcome
}

/// What people set before, as inputs.
async fn saved(cx: &Context) -> Result<Vec<Input>, ServiceError> {
    let failed = |e| ServiceError::retry("reading the panel's settings").because(e);
    let store = cx.store.clone();
    let migrated = tokio::task::spawn_blocking(move || store.migrate(SERVICE, stats::MIGRATIONS));
    migrated
        .await
        .map_err(|e| ServiceError::retry("preparing the panel's tables").because(e))?
        .map_err(failed)?;
    let saved = Saved::load(&cx.store).await.map_err(failed)?;
    let mut inputs = vec![Input::Screens(Arc::new(saved.screens))];
    if let Some(levels) = saved.levels {
        inputs.push(Input::Volume(levels.volume));
        inputs.push(Input::Brightness(levels.brightness));
        inputs.push(Input::Muted(levels.muted));
    }
    match saved.schedule.map(|schedule| schedule.check()) {
        Some(Ok(schedule)) => inputs.push(Input::Schedule(Arc::new(schedule))),
        Some(Err(mistakes)) => tracing::warn!(?mistakes, "the stored schedule is not used"),
        None => {}
    }
    Ok(inputs)
}

fn threads(
    shared: &Arc<Shared>,
    cx: &Context,
    stop: &Arc<AtomicBool>,
    brightness: u8,
) -> Result<Vec<std::thread::JoinHandle<()>>, ServiceError> {
    let mut threads = Vec::new();
    for (index, cable) in (0..).zip(&shared.cables) {
        let name = format!("board {}", cable.name);
        let runner = Runner {
            cable: cable.clone(),
            index: BoardIndex(index),
            inputs: shared.inputs.clone(),
            clock: shared.clock.clone(),
            heartbeat: cx.health.watch(SERVICE, &name, ROOM_DEADLINE),
            stop: stop.clone(),
            debounce: shared.settings.debounce,
            brightness,
            compat_lock: shared.settings.compat_lock,
        };
        let thread = runner
            .spawn()
            .map_err(|e| ServiceError::retry("starting a board's thread").because(e))?;
        threads.push(thread);
    }
    Ok(threads)
}

/// Looks at the media again and again, and whenever the gateway itself changed them.
async fn look(shared: &Shared, mut watcher: Watcher) -> Result<(), ServiceError> {
    let mut rescans = shared.rescans.lock().await;
    loop {
        let asked = tokio::select! {
            asked = rescans.recv() => asked,
            () = tokio::time::sleep(LOOK_EVERY) => None,
        };
        let rescan = asked.is_some();
        let looked = tokio::task::spawn_blocking(move || {
            let media = if rescan {
                Some(watcher.rescan())
            } else {
                watcher.look()
            };
            (watcher, media)
        });
        let media;
        (watcher, media) = looked
            .await
            .map_err(|e| ServiceError::retry("scanning the media").because(e))?;
        if let Some(media) = media {
            tracing::info!("{}", media.summary());
            let input = Message::Room(Input::Media(Arc::new(media)));
            if shared.inputs.send(input).await.is_err() {
                return Ok(());
            }
        }
        if let Some(done) = asked {
            // Behind the media in the room's queue: answered once everything they caused is published.
            let _ = shared.inputs.send(Message::Sync(done)).await;
        }
    }
}

/// Lets the room show that it turns.
async fn tick(shared: &Shared) {
    loop {
        if shared.inputs.send(Message::Tick).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Publishes the state for live pages, apart from the room so that a press never waits for it.
async fn publish(shared: &Shared, cx: &Context) {
    let mut changes = shared.snapshot.subscribe();
    loop {
        let view = StatusView::new(shared);
        if let Ok(json) = serde_json::to_string(&view) {
            cx.frames.publish(SERVICE, json);
        }
        tokio::time::sleep(PUBLISH_EVERY.0).await;
        // The times in it move on without a change, too.
        let _ = tokio::time::timeout(PUBLISH_EVERY.1, changes.changed()).await;
    }
}

/// What the clock on the wall says: the wall clock in the machine's time zone.
pub(crate) fn local_time(clock: &Clock) -> Option<LocalTime> {
    let time = jiff::Timestamp::from_millisecond(clock.wall().unix_ms).ok()?;
    let local = time.to_zoned(jiff::tz::TimeZone::system());
    let minute = u16::try_from(local.hour()).ok()? * 60 + u16::try_from(local.minute()).ok()?;
    let weekday = local.weekday().to_monday_zero_offset().unsigned_abs();
    Some(LocalTime { weekday, minute })
}

fn lock<'a, 'b>(shell: &'a Mutex<Shell<'b>>) -> MutexGuard<'a, Shell<'b>> {
    shell.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the room's outputs act on. Only the room's task locks it.
struct Shell<'a> {
    shared: &'a Shared,
    fanout: Fanout,
    dropped: Vec<(ClientId, Gone)>,
    heartbeat: Heartbeat,
    /// When the bytes of the press were read that is being handled.
    pressed_at: Option<RealInstant>,
    /// Plays that the statistics have not stored yet.
    tally: Tally,
    /// Seconds since the start.
    ticks: u64,
}

impl Shell<'_> {
    fn apply(&mut self, room: &mut Room, now: Instant, message: Message) {
        self.pressed_at = None;
        match message {
            Message::Board(index, event, at) => {
                if matches!(event, link::BoardEvent::Press(_)) {
                    self.pressed_at = Some(at);
                }
                room.handle(now, Input::Board(index, event));
            }
            Message::Join(id, outbox) => {
                // Everything before is sent, so the hello is the first frame.
                self.fanout.join(id, outbox);
                room.handle(now, Input::Join(id));
            }
            Message::Left(id, why) => {
                self.fanout.leave(id);
                if let Some(counter) = self.shared.metrics.dropped.get(why.as_str()) {
                    counter.inc();
                }
                room.handle(now, Input::Left(id));
            }
            Message::Room(input) => room.handle(now, input),
            // Nobody waits any more: then nobody needs the answer.
            Message::Sync(done) => drop(done.send(())),
            Message::Lit(took) => {
                let us = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
                self.shared.latency().press_led.add(us);
            }
            // Nobody waits any more: then it is counted again.
            Message::Tally(to) => {
                if let Err(tally) = to.send(self.tally.take()) {
                    self.tally = tally;
                }
            }
            Message::Tick => {
                self.heartbeat.beat();
                self.tick();
                if let Some(local) = local_time(&self.shared.cx.clock) {
                    room.handle(now, Input::Local(local));
                }
            }
        }
    }

    /// Stores the statistics from time to time, and once an hour lets the oldest go.
    fn tick(&mut self) {
        let hourly = self.ticks.is_multiple_of(3600);
        let due = self.ticks.is_multiple_of(STORE_TICKS);
        self.ticks += 1;
        if !hourly && (!due || self.tally.is_empty()) {
            return;
        }
        let days = i64::from(self.shared.settings.statistics_days);
        let oldest = self.shared.cx.clock.wall().unix_ms - days * 24 * stats::HOUR_MS;
        let (tally, store) = (self.tally.take(), self.shared.cx.store.clone());
        tokio::spawn(async move {
            if let Err(error) = tally.add_to(&store, hourly.then_some(oldest)).await {
                tracing::warn!(%error, "some plays are not counted");
            }
        });
    }

    fn count(&mut self, id: MediaId, add: impl FnOnce(&mut stats::Count)) {
        if self.shared.settings.statistics_days > 0 {
            let now = self.shared.cx.clock.wall().unix_ms;
            add(self.tally.at(now, id.get()));
        }
    }

    fn emit(&mut self, output: Output) {
        let shared = self.shared;
        match output {
            Output::Broadcast(payloads) => {
                let frames = Frames::text(&payloads);
                let reached = self.fanout.publish(&frames, &mut self.dropped);
                let deliveries = reached * frames.count();
                shared.metrics.deliveries.add(deliveries as u64);
                if let Some(at) = self.pressed_at {
                    let took = at.elapsed();
                    shared.metrics.press_seconds.observe(took.as_secs_f64());
                    let us = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
                    let mut latency = shared.latency();
                    latency.press_frames.add(us);
                }
                for (id, why) in self.dropped.drain(..) {
                    tracing::warn!(client = id.0, why = why.as_str(), "a screen was dropped");
                }
            }
            Output::Send(id, payloads) => self.fanout.send(id, &Frames::text(&payloads)),
            Output::Led(index, command) => {
                if let Some(cable) = shared.cables.get(usize::from(index.0)) {
                    cable.tell(link::Input::Led(command));
                }
            }
            Output::Brightness(percent) => {
                for cable in &shared.cables {
                    cable.tell(link::Input::Brightness(percent));
                }
            }
            // Recorded whether or not somebody waits for the commit.
            Output::Record(event) => drop(shared.cx.events.record(event)),
            Output::Played(id) => self.count(id, |count| count.plays += 1),
            Output::Ended(id) => self.count(id, |count| count.ended += 1),
            Output::Started(seq, latency_ms) => self.started(seq, latency_ms),
            Output::Changed(snapshot) => self.changed(snapshot),
        }
    }

    fn started(&self, seq: u32, latency_ms: u32) {
        let metrics = &self.shared.metrics;
        let seconds = f64::from(latency_ms) / 1000.0;
        metrics.started_seconds.observe(seconds);
        let mut latency = self.shared.latency();
        if let Some((last, us)) = latency.last
            && last == seq
        {
            let us = us.saturating_add(latency_ms.saturating_mul(1000));
            latency.press_play.add(us);
        }
    }

    fn changed(&mut self, snapshot: Arc<Snapshot>) {
        let shared = self.shared;
        let before = shared.snapshot.borrow().clone();
        let metrics = &shared.metrics;
        metrics.clients.set(snapshot.screens.len() as f64);
        if snapshot.seq != before.seq {
            metrics.plays.inc();
            shared.last_seq.store(snapshot.seq, Ordering::Relaxed);
            let mut latency = shared.latency();
            latency.last = self.pressed_at.take().map(|at| {
                let us = u32::try_from(at.elapsed().as_micros()).unwrap_or(u32::MAX);
                (snapshot.seq, us)
            });
        }
        metrics.ignored(before.ignored, snapshot.ignored);
        for (gauge, board) in metrics.online.iter().zip(&snapshot.boards) {
            gauge.set(f64::from(u8::from(board.info.is_some())));
        }
        metrics.media_missing.set(snapshot.media.missing() as f64);
        shared.snapshot.send_replace(snapshot);
        // Last of its input: what a deadline does next belongs to no press.
        self.pressed_at = None;
    }
}

#[cfg(test)]
#[path = "service_tests/mod.rs"]
mod tests;
