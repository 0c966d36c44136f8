//! Who is in the room: the playback machine, the screens that follow it and the boards that feed it.
//!
//! A machine of its own around `core`'s [`Playback`], so that the rules about messages are tested without a
//! socket: what a screen is told and in which order, what goes into the journal and how often, what a late
//! joiner gets. The shell around it writes frames, moves LEDs and stores entries.
//!
//! The journal stays quiet: a play is one `PlaybackEnded` with its reason, at most one in two seconds; what is
//! left out is counted in the next. Boards that come, go, restart or lose events are always recorded.

use std::{collections::BTreeMap, collections::VecDeque, sync::Arc, time::Duration};

mod boards;
mod screens;

use leitstand_core::{
    machine::Machine,
    panel::{
        link::{BoardEvent, BoardInfo, LedCommand},
        playback::{self, BoardIndex, ClientId, Ignored, MediaId, Over, Playback, Playing, Source},
    },
    time::Instant,
};
use leitstand_kit::{NewEvent, Severity};
use serde_json::json;

use crate::{
    SERVICE,
    ambience::{self, Ambience, Levels},
    config::Settings,
    media::Media,
    schedule::{LocalTime, Schedule},
    settings::{ScreenRole, Screens},
    wire::{Current, FromClient, Play, ToClient},
};

/// Shortest time between two `PlaybackEnded` entries.
const ENDED_EVERY: Duration = Duration::from_secs(2);

/// From a press to its start where several screens sound, so that the slowest has its frame by then. Reasoning: the
/// budget gives a frame 5 ms to a browser; a busy wireless network needs some tens more, and a visitor does not
/// notice a tenth of a second.
const LEAD: Duration = Duration::from_millis(80);

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
    /// No sound anywhere, or again as loud as set.
    Muted(bool),
    /// Opening hours and what goes with them.
    Schedule(Arc<Schedule>),
    /// What screens are for and how loud each is.
    Screens(Arc<Screens>),
    /// The clock on the wall.
    Local(LocalTime),
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
    /// For the statistics: a play of this button began.
    Played(MediaId),
    /// For the statistics: a play of this button went to its end.
    Ended(MediaId),
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
    /// When the content of what plays begins; ahead of now for a moment where several screens sound.
    pub begins: Instant,
    /// What people set.
    pub levels: Levels,
    /// What screens and boards are told, percent: volume and brightness.
    pub effective: (u8, u8),
    /// Within the opening hours.
    pub open: bool,
    /// Opening hours and what goes with them.
    pub schedule: Arc<Schedule>,
    /// What screens are set to, by name.
    pub settings: Arc<Screens>,
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
    /// What it is there for.
    pub role: ScreenRole,
    /// What it says it is there for.
    pub said_role: ScreenRole,
    /// Percent of the site's volume.
    pub volume: u8,
    /// No sound from this one.
    pub muted: bool,
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
    settings: Arc<Screens>,
    ambience: Ambience,
    begins: Instant,
    media: Arc<Media>,
    /// Something plays, as the ambience knows it.
    busy: bool,
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
            settings: Arc::default(),
            ambience: Ambience::new(
                Levels {
                    volume: settings.volume,
                    brightness: settings.brightness,
                    muted: false,
                },
                settings.schedule.clone(),
            ),
            begins: Instant::ZERO,
            media: Arc::default(),
            busy: false,
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
            begins: self.begins,
            levels: self.ambience.levels(),
            effective: self.ambience.effective(),
            open: self.ambience.is_open(),
            schedule: self.ambience.schedule().clone(),
            settings: self.settings.clone(),
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
                    let together = self.screens.values().filter(|s| s.sounds()).count() > 1;
                    self.begins = playing.since + if together { LEAD } else { Duration::ZERO };
                    frames.push(self.play(playing, now));
                    rest.push(Output::Played(playing.id));
                    started = Some(playing.id);
                }
                playback::Output::Led(board, command) => rest.push(Output::Led(board, command)),
                playback::Output::Over(playing, why) => {
                    if why == Over::Ended {
                        rest.push(Output::Ended(playing.id));
                    }
                    rest.extend(self.over(now, playing, why).map(Output::Record));
                }
            }
            self.changed = true;
        }
        if !frames.is_empty() {
            self.outputs.push_back(Output::Broadcast(frames));
        }
        self.outputs.extend(rest);
        let busy = self.playback.playing().is_some();
        if started.is_some() || busy != self.busy {
            self.busy = busy;
            self.ambient(now, Some(ambience::Input::Busy(busy)));
        }
        if let Some(id) = started
            && let Some(ms) = self.bounded_ms(id)
        {
            let lead = self.begins.since(now);
            let length = playback::Input::Duration(id, Duration::from_millis(ms) + lead);
            self.playback.handle(now, length);
            // A length only moves a deadline, but the contract is to drain.
            self.drain(now);
        }
    }

    /// Feeds the ambience, or lets it look at its deadline, and passes on what it wants.
    fn ambient(&mut self, now: Instant, input: Option<ambience::Input>) {
        match input {
            Some(input) => self.ambience.handle(now, input),
            None => self.ambience.handle_timeout(now),
        }
        while let Some(output) = self.ambience.poll_output() {
            // The ten steps a second of an effect are no change that anybody looks at.
            self.changed |= !self.busy || matches!(output, ambience::Output::Volume(_));
            self.outputs.push_back(match output {
                ambience::Output::Volume(value) => {
                    Output::Broadcast(vec![ToClient::Volume { value }.to_json()])
                }
                ambience::Output::Brightness(percent) => Output::Brightness(percent),
            });
        }
    }

    fn set_levels(&mut self, now: Instant, change: impl FnOnce(&mut Levels)) {
        let mut levels = self.ambience.levels();
        change(&mut levels);
        self.ambient(now, Some(ambience::Input::Levels(levels)));
        self.changed = true;
    }

    /// How long playback may take it to be; unknown for what plays again and again.
    fn bounded_ms(&self, id: MediaId) -> Option<u64> {
        let looped = self.media.item(id.get()).is_some_and(|item| item.looped);
        self.duration_ms(id).filter(|_| !looped)
    }

    fn duration_ms(&self, id: MediaId) -> Option<u64> {
        let item = self.media.item(id.get());
        item.and_then(|item| item.duration_ms())
            .or_else(|| self.told.get(&id.get()).copied())
    }

    fn play(&self, playing: Playing, now: Instant) -> String {
        let id = playing.id.get();
        let item = self.media.item(id);
        let url = |file: &'_ Option<crate::media::File>| file.as_ref().map(|f| f.url.clone());
        let images: Vec<&str> = item
            .map(|i| i.images.iter().map(|f| f.url.as_str()).collect())
            .unwrap_or_default();
        let audio = item.and_then(|i| url(&i.audio));
        let video = item.and_then(|i| url(&i.video));
        let volume = item.and_then(|i| i.volume).unwrap_or(100);
        let volume = u32::from(volume) * u32::from(self.ambience.effective().0) / 100;
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
            position_ms: Current::new(playing, self.begins, now).position_ms,
            at_ms: self.begins.as_millis(),
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
            Input::Volume(value) => self.set_levels(now, |levels| levels.volume = value),
            Input::Brightness(value) => self.set_levels(now, |levels| levels.brightness = value),
            Input::Muted(muted) => self.set_levels(now, |levels| levels.muted = muted),
            Input::Schedule(schedule) => {
                self.ambient(now, Some(ambience::Input::Schedule(schedule)));
                self.changed = true;
            }
            Input::Screens(settings) => self.screens_set(now, settings),
            Input::Local(local) => {
                let open = self.ambience.is_open();
                self.ambient(now, Some(ambience::Input::Local(local)));
                self.changed |= open != self.ambience.is_open();
            }
            Input::Media(media) => self.media(media),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.playback.handle_timeout(now);
        self.drain(now);
        self.ambient(now, None);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs
            .pop_front()
            .or_else(|| std::mem::take(&mut self.changed).then(|| Output::Changed(self.snapshot())))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let deadlines = [self.playback.poll_timeout(), self.ambience.poll_timeout()];
        deadlines.into_iter().flatten().min()
    }
}

impl Current {
    /// What plays, as of `now`, when its content began at `begins`.
    #[must_use]
    pub fn new(playing: Playing, begins: Instant, now: Instant) -> Self {
        Self {
            id: playing.id.get(),
            seq: playing.seq,
            position_ms: u64::try_from(now.since(begins).as_millis()).unwrap_or(u64::MAX),
        }
    }
}

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;
