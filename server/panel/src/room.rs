//! Who is in the room: the playback machine, the screens that follow it and the boards that feed it.
//!
//! A machine of its own around `core`'s [`Playback`], so that the rules about messages are tested without a
//! socket: what a screen is told and in which order, what goes into the journal and how often, what a late
//! joiner gets. The shell around it writes frames, moves LEDs and stores entries.
//!
//! The journal stays quiet: a play is one `PlaybackEnded` with its reason, at most one in two seconds; what is
//! left out is counted in the next. Boards that come, go, restart or lose events are always recorded.

use std::{collections::BTreeMap, collections::VecDeque, sync::Arc, time::Duration};

use leitstand_core::{
    machine::Machine,
    panel::{
        link::{BoardEvent, BoardFault, BoardInfo, LedCommand, OfflineCause, Protocol},
        playback::{
            self, BoardIndex, Client, ClientId, Ignored, MediaId, Over, Playback, Playing, Source,
        },
    },
    time::Instant,
};
use leitstand_kit::{NewEvent, Severity};
use serde_json::json;

use crate::{
    SERVICE,
    config::Settings,
    media::Media,
    wire::{Current, FromClient, PanelPresence, Play, ToClient},
};

/// Shortest time between two `PlaybackEnded` entries.
const ENDED_EVERY: Duration = Duration::from_secs(2);

/// What can happen.
#[derive(Clone, Debug)]
pub enum Input {
    /// A board did something.
    Board(BoardIndex, BoardEvent),
    /// A screen connected.
    Join(ClientId),
    /// A screen is gone.
    Left(ClientId),
    /// A screen said something. A `ping` is answered before it gets here.
    Said(ClientId, FromClient),
    /// HTTP asks for a play.
    Play(u16),
    /// HTTP asks for silence.
    Stop,
    /// Global volume, percent.
    Volume(u8),
    /// LED brightness, percent.
    Brightness(u8),
    /// The folder was scanned.
    Media(Arc<Media>),
}

/// What to do.
#[derive(Clone, Debug)]
pub enum Output {
    /// Text frames for every screen, written together in this order.
    Broadcast(Vec<String>),
    /// Text frames for one screen.
    Send(ClientId, Vec<String>),
    /// For the board's link, unchanged.
    Led(BoardIndex, LedCommand),
    /// For all links.
    Brightness(u8),
    /// For the journal.
    Record(NewEvent),
    /// A screen's content of this play started so many milliseconds after the frame.
    Started(u32, u32),
    /// What the views show changed. Last of its input.
    Changed(Arc<Snapshot>),
}

/// What the views show.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// What plays.
    pub playing: Option<Playing>,
    /// Number of the last play.
    pub seq: u32,
    /// The screens in the order of their coming.
    pub screens: Arc<[Screen]>,
    /// The boards, by index.
    pub boards: Vec<Presence>,
    /// Percent.
    pub volume: u8,
    /// Percent.
    pub brightness: u8,
    /// All media.
    pub media: Arc<Media>,
    /// What playback ignored.
    pub ignored: Ignored,
}

/// A connected screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Screen {
    /// Its name, empty when it has none.
    pub name: String,
    /// What it can do.
    pub caps: Vec<String>,
    /// Shows only this panel; empty = all.
    pub panel: String,
    /// Sound still waits for a click.
    pub locked: bool,
    /// Has its media.
    pub ready: bool,
    /// Pairs loaded, of how many.
    pub preloaded: (u32, u32),
}

/// A board as the screens see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Name in the configuration.
    pub name: String,
    /// Who answered; `None` while nobody does.
    pub info: Option<BoardInfo>,
    /// Its buttons.
    pub buttons: u8,
    /// Added to its button numbers.
    pub id_offset: u16,
}

/// The machine.
pub struct Room {
    playback: Playback,
    primary: Option<String>,
    screens: BTreeMap<ClientId, Screen>,
    shown: Arc<[Screen]>,
    boards: Vec<Presence>,
    volume: u8,
    brightness: u8,
    media: Arc<Media>,
    /// Lengths that browsers told, for media whose headers do not say.
    told: BTreeMap<u16, u64>,
    ended: Ended,
    changed: bool,
    outputs: VecDeque<Output>,
}

/// The rate limit of `PlaybackEnded`.
#[derive(Default)]
struct Ended {
    last: Option<Instant>,
    left_out: u32,
}

impl Room {
    /// Nobody is there. `seq` is the number of the last play before this instance.
    #[must_use]
    pub fn new(settings: &Settings, seq: u32) -> Self {
        let places = settings.playback.boards.iter();
        Self {
            playback: Playback::new(settings.playback.clone(), seq),
            primary: settings.primary.clone(),
            screens: BTreeMap::new(),
            shown: Arc::new([]),
            boards: settings
                .boards
                .iter()
                .zip(places)
                .map(|(board, place)| Presence {
                    name: board.name.clone(),
                    info: None,
                    buttons: place.buttons.get(),
                    id_offset: place.id_offset,
                })
                .collect(),
            volume: settings.volume,
            brightness: settings.brightness,
            media: Arc::default(),
            told: BTreeMap::new(),
            ended: Ended::default(),
            changed: true,
            outputs: VecDeque::new(),
        }
    }

    /// What the views show now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::new(Snapshot {
            playing: self.playback.playing(),
            seq: self.playback.seq(),
            screens: self.shown.clone(),
            boards: self.boards.clone(),
            volume: self.volume,
            brightness: self.brightness,
            media: self.media.clone(),
            ignored: self.playback.ignored(),
        })
    }

    fn feed(&mut self, now: Instant, input: playback::Input) {
        let ignored = self.playback.ignored();
        self.playback.handle(now, input);
        self.drain(now);
        self.changed |= self.playback.ignored() != ignored;
    }

    /// Takes what playback wants. The stop and the play of one press go out together.
    fn drain(&mut self, now: Instant) {
        let mut frames = Vec::new();
        let mut rest = Vec::new();
        let mut started = None;
        while let Some(output) = self.playback.poll_output() {
            match output {
                playback::Output::Stop => frames.push(ToClient::Stop.to_json()),
                playback::Output::Play(playing) => {
                    frames.push(self.play(playing, Duration::ZERO));
                    started = Some(playing.id);
                }
                playback::Output::Led(board, command) => rest.push(Output::Led(board, command)),
                playback::Output::Over(playing, why) => {
                    rest.extend(self.over(now, playing, why).map(Output::Record));
                }
            }
            self.changed = true;
        }
        if !frames.is_empty() {
            self.outputs.push_back(Output::Broadcast(frames));
        }
        self.outputs.extend(rest);
        if let Some(id) = started
            && let Some(ms) = self.duration_ms(id)
        {
            let length = playback::Input::Duration(id, Duration::from_millis(ms));
            self.playback.handle(now, length);
            // A length only moves a deadline, but the contract is to drain.
            self.drain(now);
        }
    }

    fn duration_ms(&self, id: MediaId) -> Option<u64> {
        let item = self.media.item(id.get());
        item.and_then(|item| item.duration_ms())
            .or_else(|| self.told.get(&id.get()).copied())
    }

    fn play(&self, playing: Playing, position: Duration) -> String {
        let id = playing.id.get();
        let item = self.media.item(id);
        let url = |file: &'_ Option<crate::media::File>| file.as_ref().map(|f| f.url.clone());
        let images: Vec<&str> = item
            .map(|i| i.images.iter().map(|f| f.url.as_str()).collect())
            .unwrap_or_default();
        let audio = item.and_then(|i| url(&i.audio));
        let video = item.and_then(|i| url(&i.video));
        let volume = item.and_then(|i| i.volume).unwrap_or(100);
        let volume = u32::from(volume) * u32::from(self.volume) / 100;
        ToClient::Play(Play {
            id,
            seq: playing.seq,
            panel: self.panel_of(playing),
            image: images.first().copied(),
            images: if images.len() > 1 { images } else { Vec::new() },
            audio: audio.as_deref(),
            video: video.as_deref(),
            title: item.and_then(|i| i.title.as_deref()),
            caption: item.and_then(|i| i.caption.as_deref()),
            language: item.and_then(|i| i.language.as_deref()),
            volume: u8::try_from(volume).unwrap_or(100),
            looped: item.is_some_and(|i| i.looped),
            duration_ms: self.duration_ms(playing.id),
            position_ms: u64::try_from(position.as_millis()).unwrap_or(u64::MAX),
        })
        .to_json()
    }

    /// The board that was pressed; for a play from elsewhere the board whose button it is.
    fn panel_of(&self, playing: Playing) -> Option<&str> {
        let id = playing.id.get();
        let board = match playing.source {
            Source::Board(index) => self.boards.get(usize::from(index.0)),
            Source::Api => self
                .boards
                .iter()
                .find(|b| (b.id_offset + 1..=b.id_offset + u16::from(b.buttons)).contains(&id)),
        };
        board.map(|b| b.name.as_str())
    }

    fn over(&mut self, now: Instant, playing: Playing, why: Over) -> Option<NewEvent> {
        if self.ended.last.is_some_and(|last| now - last < ENDED_EVERY) {
            self.ended.left_out += 1;
            return None;
        }
        self.ended.last = Some(now);
        let left_out = std::mem::take(&mut self.ended.left_out);
        let id = playing.id.get();
        let played_ms = now.since(playing.since).as_millis();
        let (reason, text) = match why {
            Over::Ended => ("ended", "played to its end"),
            Over::Preempted => ("preempted", "made way for another"),
            Over::Stopped => ("stopped", "was stopped"),
            Over::Failed => ("failed", "could not be played"),
            Over::Overdue => ("overdue", "never reported its end"),
            Over::NoListener => ("no_listener", "had no screen with sound"),
        };
        let severity = match why {
            Over::Ended | Over::Preempted | Over::Stopped => Severity::Info,
            Over::Failed | Over::Overdue | Over::NoListener => Severity::Warning,
        };
        let source = match playing.source {
            Source::Board(_) => self.panel_of(playing).unwrap_or_default(),
            Source::Api => "api",
        };
        Some(
            NewEvent::new(SERVICE, "PlaybackEnded")
                .severity(severity)
                .text(format!("Button {id} {text}"))
                .data(json!({
                    "id": id, "seq": playing.seq, "source": source, "reason": reason,
                    "played_ms": u64::try_from(played_ms).unwrap_or(u64::MAX), "left_out": left_out,
                })),
        )
    }

    fn board(&mut self, now: Instant, index: BoardIndex, event: BoardEvent) {
        let Some(board) = self.boards.get_mut(usize::from(index.0)) else {
            return;
        };
        let record = |kind, severity, text: String, data| {
            Output::Record(
                NewEvent::new(SERVICE, kind)
                    .severity(severity)
                    .text(text)
                    .data(data),
            )
        };
        let name = board.name.clone();
        match event {
            BoardEvent::Press(press) => self.feed(now, playback::Input::Press(index, press.id)),
            // Selection latches: letting go changes nothing (P6).
            BoardEvent::Release(_) => {}
            BoardEvent::Online(info) => {
                let again = board.info.replace(info).is_some();
                let protocol = match info.protocol {
                    Protocol::Text => "text",
                    Protocol::V2 => "v2",
                };
                let firmware = info.firmware.map(|[a, b, c]| format!("{a}.{b}.{c}"));
                let expected = board.buttons;
                if let Some(has) = info.buttons.filter(|has| *has != expected) {
                    self.outputs.push_back(record(
                        "PanelMismatched",
                        Severity::Warning,
                        format!("Panel {name} has {has} buttons, {expected} are configured"),
                        json!({ "panel": name, "buttons": has, "configured": expected }),
                    ));
                }
                if !again {
                    self.outputs.push_back(record(
                        "PanelOnline",
                        Severity::Info,
                        format!("Panel {name} is online"),
                        json!({ "panel": name, "protocol": protocol, "firmware": firmware }),
                    ));
                    self.presence(&name, true);
                }
                self.changed = true;
            }
            BoardEvent::Offline(cause) => {
                board.info = None;
                let cause = match cause {
                    OfflineCause::Closed => "closed",
                    OfflineCause::Silent => "silent",
                };
                self.outputs.push_back(record(
                    "PanelOffline",
                    Severity::Fault,
                    format!("Panel {name} is offline ({cause})"),
                    json!({ "panel": name, "cause": cause }),
                ));
                self.presence(&name, false);
                self.changed = true;
            }
            BoardEvent::Restarted => self.outputs.push_back(record(
                "PanelRestarted",
                Severity::Warning,
                format!("Panel {name} restarted"),
                json!({ "panel": name }),
            )),
            BoardEvent::Lost(count) => self.outputs.push_back(record(
                "ButtonEventsLost",
                Severity::Fault,
                format!("{count} button events of panel {name} were lost"),
                json!({ "panel": name, "count": count }),
            )),
            BoardEvent::Fault(BoardFault::Stuck(button)) => {
                let id = board.id_offset + u16::from(button.get());
                self.outputs.push_back(record(
                    "ButtonStuck",
                    Severity::Warning,
                    format!("Button {id} of panel {name} is stuck"),
                    json!({ "panel": name, "id": id }),
                ));
                self.changed = true;
            }
            BoardEvent::Fault(BoardFault::EventsDropped(count)) => {
                self.outputs.push_back(record(
                    "ButtonEventsLost",
                    Severity::Fault,
                    format!("Panel {name} dropped {count} button events"),
                    json!({ "panel": name, "count": count }),
                ));
            }
            BoardEvent::Fault(BoardFault::Other(code, argument)) => self.outputs.push_back(record(
                "PanelFaulted",
                Severity::Fault,
                format!("Panel {name} reports fault {code} ({argument})"),
                json!({ "panel": name, "code": code, "argument": argument }),
            )),
            BoardEvent::Status(_) | BoardEvent::Done(_) | BoardEvent::Failed(..) => {}
        }
    }

    fn presence(&mut self, name: &str, online: bool) {
        let frame = ToClient::Panel { name, online }.to_json();
        self.outputs.push_back(Output::Broadcast(vec![frame]));
    }

    fn join(&mut self, now: Instant, id: ClientId) {
        let playing = self.playback.playing();
        let hello = ToClient::Hello {
            server: "leitstand",
            version: env!("CARGO_PKG_VERSION"),
            panels: self
                .boards
                .iter()
                .map(|b| PanelPresence {
                    name: &b.name,
                    online: b.info.is_some(),
                    buttons: b.buttons,
                })
                .collect(),
            current: playing.map(|p| Current::new(p, now)),
            media_rev: self.media.rev(),
            num_media: self.playback.config().media.get(),
            volume: self.volume,
        };
        let mut frames = vec![hello.to_json()];
        frames.extend(playing.map(|p| self.play(p, now.since(p.since))));
        self.outputs.push_back(Output::Send(id, frames));
        let screen = Screen {
            ready: true,
            ..Screen::default()
        };
        self.screens.insert(id, screen);
        self.screens_changed(now, id);
    }

    fn screens_changed(&mut self, now: Instant, id: ClientId) {
        self.shown = self.screens.values().cloned().collect();
        self.changed = true;
        let input = match self.screens.get(&id) {
            Some(screen) => playback::Input::Client(
                id,
                Client {
                    locked: screen.locked,
                    ready: screen.ready,
                    primary: self.primary.as_ref() == Some(&screen.name),
                },
            ),
            None => playback::Input::ClientGone(id),
        };
        self.feed(now, input);
    }

    fn said(&mut self, now: Instant, id: ClientId, message: FromClient) {
        let Some(screen) = self.screens.get_mut(&id) else {
            return;
        };
        match message {
            FromClient::Hello {
                screen: name,
                caps,
                locked,
                panel,
            } => {
                // Said again with another `locked` after the click; what is loaded stays loaded.
                let ready = screen.preloaded != (0, 0);
                let preloaded = screen.preloaded;
                *screen = Screen {
                    name,
                    caps,
                    panel,
                    locked,
                    ready,
                    preloaded,
                };
                self.screens_changed(now, id);
            }
            FromClient::Ready { preloaded, total } => {
                screen.ready = true;
                screen.preloaded = (preloaded, total.max(1));
                self.screens_changed(now, id);
            }
            FromClient::Started {
                seq, latency_ms, ..
            } => {
                let playing = self.playback.playing().map(|p| p.seq);
                // Only of the running play: an old one was measured against another press.
                if let (Some(seq), Some(latency_ms)) =
                    (seq.filter(|s| Some(*s) == playing), latency_ms)
                {
                    self.outputs.push_back(Output::Started(seq, latency_ms));
                }
            }
            FromClient::Ended { id: media, seq } => {
                let input = playback::Input::Ended {
                    client: id,
                    id: media,
                    seq,
                };
                self.feed(now, input);
            }
            FromClient::Failed {
                id: media,
                seq,
                reason,
            } => {
                tracing::warn!(
                    id = media,
                    screen = screen.name,
                    reason,
                    "a screen cannot play"
                );
                let input = playback::Input::Error {
                    client: id,
                    id: media,
                    seq,
                };
                self.feed(now, input);
            }
            FromClient::MediaInfo {
                id: media,
                duration_ms,
            } => {
                // What the server read from the file itself is better than what a browser says.
                let known = self
                    .media
                    .item(media)
                    .and_then(|i| i.duration_ms())
                    .is_some();
                if duration_ms > 0
                    && !known
                    && self.told.insert(media, duration_ms.into()).is_none()
                    && let Some(media) = MediaId::new(media)
                {
                    let length = Duration::from_millis(duration_ms.into());
                    self.feed(now, playback::Input::Duration(media, length));
                }
            }
            FromClient::Press { id: media } => self.feed(now, playback::Input::Play(media)),
            FromClient::Ping => {}
        }
    }

    fn media(&mut self, media: Arc<Media>) {
        let before = std::mem::replace(&mut self.media, media);
        self.told.clear();
        self.changed = true;
        if before.count() == 0 {
            return;
        }
        let changed = self.media.changed_since(&before);
        let rev = self.media.rev();
        let frames: Vec<String> = changed
            .iter()
            .map(|id| ToClient::MediaChanged { id: *id, rev }.to_json())
            .collect();
        let count = frames.len();
        // One batch never exceeds half of a client's ring.
        for batch in frames.chunks(crate::fanout::RING_FRAMES_MAX / 2) {
            self.outputs.push_back(Output::Broadcast(batch.to_vec()));
        }
        let severity = if self.media.complete() {
            Severity::Info
        } else {
            Severity::Warning
        };
        self.outputs.push_back(Output::Record(
            NewEvent::new(SERVICE, "MediaChanged")
                .severity(severity)
                .text(format!(
                    "The content of {count} of {} buttons changed; {}",
                    self.media.count(),
                    self.media.summary()
                ))
                .data(json!({ "ids": changed, "missing": self.media.missing() })),
        ));
    }
}

impl Machine for Room {
    type Input<'a> = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Board(index, event) => self.board(now, index, event),
            Input::Join(id) => self.join(now, id),
            Input::Left(id) => {
                if self.screens.remove(&id).is_some() {
                    self.screens_changed(now, id);
                }
            }
            Input::Said(id, message) => self.said(now, id, message),
            Input::Play(id) => self.feed(now, playback::Input::Play(id)),
            Input::Stop => self.feed(now, playback::Input::Stop),
            Input::Volume(value) => {
                self.volume = value.min(100);
                let value = self.volume;
                let frame = ToClient::Volume { value }.to_json();
                self.outputs.push_back(Output::Broadcast(vec![frame]));
                self.changed = true;
            }
            Input::Brightness(value) => {
                self.brightness = value.min(100);
                self.outputs.push_back(Output::Brightness(self.brightness));
                self.changed = true;
            }
            Input::Media(media) => self.media(media),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.playback.handle_timeout(now);
        self.drain(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs
            .pop_front()
            .or_else(|| std::mem::take(&mut self.changed).then(|| Output::Changed(self.snapshot())))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.playback.poll_timeout()
    }
}

impl Current {
    /// What plays, as of `now`.
    #[must_use]
    pub fn new(playing: Playing, now: Instant) -> Self {
        Self {
            id: playing.id.get(),
            seq: playing.seq,
            position_ms: u64::try_from(now.since(playing.since).as_millis()).unwrap_or(u64::MAX),
        }
    }
}

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;
