//! What `/status` and `/health` show (`specs/panel.md` 4.4). The only place where names of fields meet pages.

use leitstand_core::panel::{link::Protocol, playback::BoardIndex};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    cable::Cable,
    latency::Percentiles,
    room::{Screen, Snapshot},
    service::Shared,
    settings::ScreenRole,
    wire::Current,
};

/// State of the panel. The first ten keys are those of the original server.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct StatusView {
    /// Of the server.
    pub version: &'static str,
    /// `prototype` or `production`.
    pub mode: &'static str,
    /// Highest id.
    pub num_media: u16,
    /// What plays.
    pub current_button: Option<u16>,
    /// Connected screens.
    pub ws_clients: usize,
    /// Whether every configured board answers.
    pub serial_connected: bool,
    /// Port of the first board, as configured.
    pub serial_port: Option<String>,
    /// Media files missing or unusable.
    pub media_missing: usize,
    /// The first ten of them.
    pub missing_files: Vec<String>,
    /// Whether boards light their own LED at a press.
    pub esp32_local_led: bool,
    /// Since the process started.
    pub uptime_s: u64,
    /// Number of the last play.
    pub seq: u32,
    /// What plays, with its position.
    pub current: Option<Current>,
    /// The boards.
    pub panels: Vec<PanelView>,
    /// The screens.
    pub clients: Vec<ClientView>,
    /// Of the last plays.
    pub latency_ms: LatencyView,
    /// Changes whenever any media file does.
    pub media_rev: String,
    /// Global volume as set, percent.
    pub volume: u8,
    /// LED brightness as set, percent.
    pub brightness: u8,
    /// No sound anywhere.
    pub muted: bool,
    /// What screens and boards are told at this moment.
    pub effective: LevelsView,
    /// Within the opening hours.
    pub open: bool,
    /// What was ignored since the service started.
    pub ignored: IgnoredView,
}

/// Levels at this moment: what is set, lowered by mute, opening hours, idleness and effects.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct LevelsView {
    /// Percent.
    pub volume: u8,
    /// Percent.
    pub brightness: u8,
}

/// A board.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PanelView {
    /// Name in the configuration.
    pub name: String,
    /// As configured.
    pub port: String,
    /// Whether it answers.
    pub online: bool,
    /// Why not.
    pub trouble: Option<&'static str>,
    /// Firmware as it printed it.
    pub fw: Option<String>,
    /// `text` or `v2`.
    pub proto: Option<&'static str>,
    /// Its buttons.
    pub buttons: u8,
    /// Added to its button numbers.
    pub id_offset: u16,
    /// Since the last byte.
    pub last_rx_ms: Option<u64>,
    /// Latest time from PING to PONG.
    pub rtt_ms: Option<u64>,
    /// Lines or frames over the limit.
    pub rx_overlong: u32,
    /// Lines that no known board sends.
    pub rx_unknown: u32,
    /// Half lines dropped after 1 s.
    pub rx_partial: u32,
    /// Frames with a wrong check value.
    pub rx_bad_frames: u32,
    /// Presses with a number this board should not have.
    pub rx_out_of_range: u32,
    /// Button events that never arrived.
    pub ev_lost: u32,
    /// Commands without an answer.
    pub timeouts: u32,
    /// Restarts of the board seen while it was online.
    pub restarts: u32,
    /// Buttons reported as stuck, in the numbering of the site.
    pub stuck: Vec<u16>,
}

/// A screen.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ClientView {
    /// Its name, empty when it has none.
    pub screen: String,
    /// Has its media.
    pub ready: bool,
    /// Sound still waits for a click.
    pub locked: bool,
    /// Pairs loaded.
    pub preloaded: u32,
    /// Pairs there are.
    pub total: u32,
    /// Shows only this panel; empty = all.
    pub panel: String,
    /// What it is there for.
    pub role: ScreenRole,
    /// Percent of the site's volume.
    pub volume: u8,
    /// No sound from this one.
    pub muted: bool,
}

/// Legs of the latency budget, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct LatencyView {
    /// From an LED command to the board's acknowledgement, at most one scan before the LED shows it. A board that
    /// lights its own button at a press is faster than that.
    pub press_led: Option<Percentiles>,
    /// Why `press_led` is null.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub press_led_note: Option<&'static str>,
    /// Bytes of the press at the gateway, to its frames handed to all screens.
    pub press_frames: Option<Percentiles>,
    /// The same, to the start of the content as screens report it.
    pub press_play: Option<Percentiles>,
}

/// What had no effect.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct IgnoredView {
    /// Presses and plays of media that do not exist.
    pub out_of_range: u32,
    /// Ends and errors of another play, or from screens without a say.
    pub stale: u32,
    /// Presses of the running button under `retrigger = "ignore"`.
    pub retriggers: u32,
}

/// Answer of `/health`.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct HealthView {
    /// `healthy` or `degraded`.
    pub status: &'static str,
    /// Whether every configured board answers.
    pub serial: bool,
    /// Whether all media are there and usable.
    pub media_complete: bool,
}

impl HealthView {
    pub(crate) fn new(snapshot: &Snapshot) -> Self {
        let serial = serial(snapshot);
        // Before the first scan nothing is known, and nothing is not complete.
        let media_complete = snapshot.media.count() > 0 && snapshot.media.complete();
        Self {
            status: if serial && media_complete {
                "healthy"
            } else {
                "degraded"
            },
            serial,
            media_complete,
        }
    }
}

/// Why no board has acknowledged an LED.
fn led_note(snapshot: &Snapshot) -> &'static str {
    let mut boards = snapshot.boards.iter().filter_map(|b| b.info);
    if snapshot.boards.is_empty() {
        "no board is configured"
    } else if boards.any(|info| info.protocol == Protocol::V2) {
        "no LED command was acknowledged yet"
    } else {
        "no board speaks protocol v2; in text a board says OK before its LEDs change"
    }
}

fn serial(snapshot: &Snapshot) -> bool {
    snapshot.boards.iter().all(|b| b.info.is_some())
}

impl StatusView {
    pub(crate) fn new(shared: &Shared) -> Self {
        let snapshot = shared.snapshot.borrow().clone();
        let now = shared.clock.now();
        let latency = shared.latency();
        let press_led = latency.press_led.percentiles();
        let indices = (0..).map(BoardIndex);
        Self {
            version: env!("CARGO_PKG_VERSION"),
            mode: if shared.settings.production {
                "production"
            } else {
                "prototype"
            },
            num_media: shared.settings.media(),
            current_button: snapshot.playing.map(|p| p.id.get()),
            ws_clients: snapshot.screens.len(),
            serial_connected: serial(&snapshot),
            serial_port: shared.cables.first().map(|c| c.port.clone()),
            media_missing: snapshot.media.missing(),
            missing_files: snapshot.media.missing_files(),
            esp32_local_led: shared.cables.iter().all(|c| c.link.lights_itself),
            uptime_s: shared.cx.clock.uptime().as_secs(),
            seq: snapshot.seq,
            current: snapshot
                .playing
                .map(|p| Current::new(p, snapshot.begins, now)),
            panels: indices
                .zip(&shared.cables)
                .map(|(index, cable)| PanelView::new(index, cable, &snapshot, now))
                .collect(),
            clients: snapshot.screens.iter().map(ClientView::new).collect(),
            latency_ms: LatencyView {
                press_led,
                press_led_note: press_led.is_none().then(|| led_note(&snapshot)),
                press_frames: latency.press_frames.percentiles(),
                press_play: latency.press_play.percentiles(),
            },
            media_rev: snapshot.media.rev().to_owned(),
            volume: snapshot.levels.volume,
            brightness: snapshot.levels.brightness,
            muted: snapshot.levels.muted,
            effective: LevelsView {
                volume: snapshot.effective.0,
                brightness: snapshot.effective.1,
            },
            open: snapshot.open,
            ignored: IgnoredView {
                out_of_range: snapshot.ignored.out_of_range,
                stale: snapshot.ignored.stale,
                retriggers: snapshot.ignored.retriggers,
            },
        }
    }
}

impl PanelView {
    fn new(
        index: BoardIndex,
        cable: &Cable,
        snapshot: &Snapshot,
        now: leitstand_core::time::Instant,
    ) -> Self {
        let view = cable.view();
        let presence = snapshot.boards.get(usize::from(index.0));
        let id_offset = presence.map_or(0, |p| p.id_offset);
        let info = presence.and_then(|p| p.info);
        let ms = |span: std::time::Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self {
            name: cable.name.clone(),
            port: cable.port.clone(),
            online: info.is_some(),
            trouble: view.trouble,
            fw: Some(view.firmware).filter(|fw| !fw.is_empty()),
            proto: info.map(|i| match i.protocol {
                Protocol::Text => "text",
                Protocol::V2 => "v2",
            }),
            buttons: cable.link.buttons.get(),
            id_offset,
            last_rx_ms: view.stats.last_rx.map(|at| ms(now.since(at))),
            rtt_ms: view.stats.rtt.map(ms),
            rx_overlong: view.stats.rx_overlong,
            rx_unknown: view.stats.rx_unknown,
            rx_partial: view.stats.rx_partial,
            rx_bad_frames: view.stats.rx_bad_frames,
            rx_out_of_range: view.stats.rx_out_of_range,
            ev_lost: view.stats.ev_lost,
            timeouts: view.stats.timeouts,
            restarts: view.stats.restarts,
            stuck: view
                .stuck
                .iter()
                .map(|id| id_offset + u16::from(id.get()))
                .collect(),
        }
    }
}

impl ClientView {
    fn new(screen: &Screen) -> Self {
        Self {
            screen: screen.name.clone(),
            ready: screen.ready,
            locked: screen.locked,
            preloaded: screen.preloaded.0,
            total: screen.preloaded.1,
            panel: screen.panel.clone(),
            role: screen.role,
            volume: screen.volume,
            muted: screen.muted,
        }
    }
}
