//! # What plays, and who may end it
//!
//! One [`Playback`] for all boards, screens and callers of the API. The newest press wins; nothing is
//! queued; an end that belongs to an earlier play changes nothing; and whatever happens, a play ends.

use heapless::Vec;

use super::link::LedCommand;
use super::{ButtonId, PanelSize};
use crate::limits::{PANEL_BOARDS_MAX, PANEL_MEDIA_MAX};
use crate::machine::Machine;
use crate::time::{Duration, Instant};

/// Number of a medium, 1..=999; `042.jpg` and `042.mp3` on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaId(u16);

impl MediaId {
    /// The medium `number`; `None` outside 1..=999.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if number == 0 || number > PANEL_MEDIA_MAX { None } else { Some(Self(number)) }
    }

    /// The number, 1..=999.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// Which board, by its place in [`Config::boards`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BoardIndex(pub u8);

/// A browser, numbered by the service; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

/// Settings of the site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Media 1..=this exist.
    pub media: MediaId,
    /// What a press of the running button does.
    pub retrigger: Retrigger,
    /// Whose `ended` counts.
    pub may_end: MayEnd,
    /// The boards in the order of their [`BoardIndex`].
    pub boards: Vec<Board, PANEL_BOARDS_MAX>,
}

/// One board: its button `n` is medium `n + id_offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Board {
    /// Its buttons.
    pub buttons: PanelSize,
    /// Added to its button numbers.
    pub id_offset: u16,
}

/// What a press of the running button does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retrigger {
    /// Plays from the start.
    #[default]
    Restart,
    /// Nothing.
    Ignore,
    /// Stops.
    Stop,
}

/// Whose `ended` counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MayEnd {
    /// Anyone's, the first.
    #[default]
    First,
    /// Everyone's who is ready and unlocked; the last.
    All,
    /// Only that of clients marked [`Client::primary`].
    Primary,
}

/// Who asked for a play.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A button of this board.
    Board(BoardIndex),
    /// HTTP or WebSocket.
    Api,
}

/// What a browser said of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Sound is not enabled yet. A client that never said hello counts as unlocked.
    pub locked: bool,
    /// Has its media; `true` for a client that never said hello.
    pub ready: bool,
    /// It is the named primary screen.
    pub primary: bool,
}

impl Default for Client {
    /// A client that said nothing yet.
    fn default() -> Self {
        Self { locked: false, ready: true, primary: false }
    }
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A button was pressed, in the board's own numbering.
    Press(BoardIndex, ButtonId),
    /// HTTP or WebSocket asks for a medium. Out of range is counted and changes nothing.
    Play(u16),
    /// HTTP or WebSocket asks for silence.
    Stop,
    /// A client came, or told something new of itself.
    Client(ClientId, Client),
    /// A client is gone.
    ClientGone(ClientId),
    /// A client's sound is over.
    Ended {
        /// Who says so.
        client: ClientId,
        /// Of which medium, as received.
        id: u16,
        /// Of which play; old clients do not say.
        seq: Option<u32>,
    },
    /// A client cannot play.
    Error {
        /// Who says so.
        client: ClientId,
        /// Which medium, as received.
        id: u16,
        /// Which play; may be left out.
        seq: Option<u32>,
    },
    /// The length of a medium is known. Say it after [`Output::Play`] when it is known then, else as soon
    /// as it is; ignored when another medium plays.
    Duration(MediaId, Duration),
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Tell every client to stop. Always directly before a `Play`.
    Stop,
    /// Tell every client to play.
    Play(Playing),
    /// Give this to the board's link.
    Led(BoardIndex, LedCommand),
    /// For the journal: a play is over.
    Over(Playing, Over),
}

/// What plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Playing {
    /// The medium.
    pub id: MediaId,
    /// Number of this play, rising with every play.
    pub seq: u32,
    /// When it began.
    pub since: Instant,
    /// Who asked for it.
    pub source: Source,
}

/// Why a play is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Those who may said so.
    Ended,
    /// A newer press won.
    Preempted,
    /// Somebody asked for silence.
    Stopped,
    /// The deciding client could not play.
    Failed,
    /// Nobody said so within the medium's length and 3 s, or 600 s.
    Overdue,
    /// For 10 s no unlocked client was there.
    NoListener,
}

/// What was ignored since the start. Counters saturate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ignored {
    /// Presses and plays of media that do not exist.
    pub out_of_range: u32,
    /// `ended` and `error` that do not belong to the running play, or from clients without a say.
    pub stale: u32,
    /// Presses of the running button under [`Retrigger::Ignore`].
    pub retriggers: u32,
    /// Clients beyond [`crate::limits::PANEL_CLIENTS_MAX`].
    pub clients: u32,
}

/// What plays, and who may end it.
pub struct Playback {
    config: Config,
    playing: Option<Playing>,
    ignored: Ignored,
}

impl Playback {
    /// Nothing plays. The first play gets the number after `seq`: pass the last one of the previous run.
    #[must_use]
    pub fn new(config: Config, seq: u32) -> Self {
        let _ = seq;
        Self { config, playing: None, ignored: Ignored::default() }
    }

    /// What plays now.
    #[must_use]
    pub fn playing(&self) -> Option<Playing> {
        self.playing
    }

    /// What was ignored.
    #[must_use]
    pub fn ignored(&self) -> Ignored {
        self.ignored
    }

    /// The settings it was made with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }
}

impl Machine for Playback {
    type Input<'a> = Input;
    type Output = Output;

    fn handle(&mut self, _now: Instant, _input: Input) {}

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self) -> Option<Output> {
        None
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

/// Admits at most 20 presses in any second. One for each HTTP peer or WebSocket client, kept by the
/// service; boards are never limited.
#[derive(Clone, Debug, Default)]
pub struct RateLimit {
    admitted: heapless::Deque<Instant, { crate::limits::PANEL_PRESSES_PER_SECOND_MAX }>,
}

impl RateLimit {
    /// Whether one more press is admitted at `now`. `false` = answer 429, or drop and count.
    pub fn admit(&mut self, now: Instant) -> bool {
        while self.admitted.front().is_some_and(|first| now - *first >= Duration::from_secs(1)) {
            self.admitted.pop_front();
        }
        self.admitted.push_back(now).is_ok()
    }
}
