//! # What plays, and who may end it
//!
//! One [`Playback`] for all boards, screens and callers of the API. The newest press wins; nothing is
//! queued; an end that belongs to an earlier play changes nothing; and whatever happens, a play ends.

use heapless::{Deque, Vec};

use super::link::LedCommand;
use super::{ButtonId, PanelSize};
use crate::limits::{
    PANEL_BOARDS_MAX, PANEL_CLIENTS_MAX, PANEL_MEDIA_MAX, PANEL_PRESSES_PER_SECOND_MAX,
};
use crate::machine::Machine;
use crate::time::{Duration, Instant};

/// Number of a medium, 1..=999; `042.jpg` and `042.mp3` on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaId(u16);

impl MediaId {
    /// The medium `number`; `None` outside 1..=999.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if number == 0 || number > PANEL_MEDIA_MAX {
            None
        } else {
            Some(Self(number))
        }
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
    /// Anyone's who [has a say](Role), the first.
    #[default]
    First,
    /// Everyone's who has a say, is ready and unlocked; the last.
    All,
    /// Only that of clients with [`Role::Primary`].
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
    /// What it is there for.
    pub role: Role,
}

/// What a screen is there for, from the least say to the most. Only the highest role among the unlocked clients
/// decides when a play is over; a lower one speaks up where no higher one is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Shows pictures without sound. It counts as a listener: its picture stands as long as its sound would play.
    ImageOnly,
    /// Plays along.
    Mirror,
    /// One of several of its kind, as every screen that says nothing of itself.
    #[default]
    Plain,
    /// The one at the panel.
    Primary,
}

impl Default for Client {
    /// A client that said nothing yet.
    fn default() -> Self {
        Self {
            locked: false,
            ready: true,
            role: Role::Plain,
        }
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

/// After the known end of a medium, until its play counts as over. Source: panel specification 4.3.
const OVERDUE_AFTER: Duration = Duration::from_secs(3);
/// Until a play of unknown length counts as over.
const UNKNOWN_LENGTH: Duration = Duration::from_secs(600);
/// Without an unlocked client, until a play counts as over.
const LONELY_AFTER: Duration = Duration::from_secs(10);
/// Until the error of a deciding client counts as its end.
const ERROR_AFTER: Duration = Duration::from_secs(2);
/// Outputs of one input: an end, a stop, a play, and an LED for each board.
const OUTPUTS_MAX: usize = 3 + PANEL_BOARDS_MAX;

/// What plays, and who may end it.
pub struct Playback {
    config: Config,
    active: Option<Active>,
    /// Number of the last play.
    seq: u32,
    clients: Vec<Present, PANEL_CLIENTS_MAX>,
    /// What each board should show.
    lit: [Option<ButtonId>; PANEL_BOARDS_MAX],
    ignored: Ignored,
    outputs: Deque<Output, OUTPUTS_MAX>,
}

struct Active {
    playing: Playing,
    length: Option<Duration>,
    /// Since when no unlocked client is there.
    lonely_since: Option<Instant>,
    /// Some client's sound is over (matters where all must end).
    any_done: bool,
}

struct Present {
    id: ClientId,
    client: Client,
    verdict: Verdict,
}

/// What a client said of the running play.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    None,
    Fails { at: Instant },
    Done,
}

impl Playback {
    /// Nothing plays. The first play gets the number after `seq`: pass the last one of the previous run.
    #[must_use]
    pub fn new(config: Config, seq: u32) -> Self {
        Self {
            config,
            active: None,
            seq,
            clients: Vec::new(),
            lit: [None; PANEL_BOARDS_MAX],
            ignored: Ignored::default(),
            outputs: Deque::new(),
        }
    }

    /// What plays now.
    #[must_use]
    pub fn playing(&self) -> Option<Playing> {
        self.active.as_ref().map(|active| active.playing)
    }

    /// Number of the last play, 0 before the first.
    #[must_use]
    pub const fn seq(&self) -> u32 {
        self.seq
    }

    /// What was ignored.
    #[must_use]
    pub const fn ignored(&self) -> Ignored {
        self.ignored
    }

    /// The settings it was made with.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Clients that count, at most [`PANEL_CLIENTS_MAX`].
    #[must_use]
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    fn press(&mut self, now: Instant, board: BoardIndex, id: ButtonId) {
        let wiring = self.config.boards.get(usize::from(board.0)).copied();
        let medium = wiring
            .filter(|wiring| wiring.buttons.contains(id))
            .and_then(|wiring| self.medium(u16::from(id.get()).saturating_add(wiring.id_offset)));
        match medium {
            Some(medium) => self.play(now, medium, Source::Board(board), Some(id)),
            None => {
                bump(&mut self.ignored.out_of_range);
                self.correct(board, id);
            }
        }
    }

    fn medium(&self, number: u16) -> Option<MediaId> {
        MediaId::new(number).filter(|medium| *medium <= self.config.media)
    }

    fn play(&mut self, now: Instant, id: MediaId, source: Source, pressed: Option<ButtonId>) {
        if self.playing().is_some_and(|playing| playing.id == id) {
            match self.config.retrigger {
                Retrigger::Restart => {}
                Retrigger::Stop => return self.stop(),
                Retrigger::Ignore => {
                    bump(&mut self.ignored.retriggers);
                    if let (Source::Board(board), Some(button)) = (source, pressed) {
                        self.correct(board, button);
                    }
                    return;
                }
            }
        }
        if let Some(before) = self.active.take() {
            self.emit(Output::Over(before.playing, Over::Preempted));
        }
        // 0 is never the number of a play, not even after four thousand million of them.
        self.seq = self.seq.checked_add(1).unwrap_or(1);
        let playing = Playing {
            id,
            seq: self.seq,
            since: now,
            source,
        };
        self.active = Some(Active {
            playing,
            length: None,
            lonely_since: None,
            any_done: false,
        });
        self.clients
            .iter_mut()
            .for_each(|present| present.verdict = Verdict::None);
        self.watch_listeners(now);
        self.emit(Output::Stop);
        self.emit(Output::Play(playing));
        self.light(source);
    }

    /// Lights the running medium on every board that has it, and clears the others.
    fn light(&mut self, source: Source) {
        let playing = self.playing();
        for (index, board) in self.config.boards.clone().iter().enumerate() {
            let wanted = playing.and_then(|playing| board.button(playing.id));
            let before = core::mem::replace(&mut self.lit[index], wanted);
            let index = BoardIndex(index as u8);
            match wanted {
                Some(id) if source == Source::Board(index) => {
                    self.emit(Output::Led(index, LedCommand::Pressed(id)))
                }
                Some(id) => self.emit(Output::Led(index, LedCommand::Set(id))),
                None if before.is_some() => {
                    self.emit(Output::Led(index, LedCommand::Clear { only_if: before }))
                }
                None => {}
            }
        }
    }

    /// The board lit `pressed` by itself, but the press changed nothing: its LED must follow what plays.
    fn correct(&mut self, board: BoardIndex, pressed: ButtonId) {
        let command = match self.lit.get(usize::from(board.0)).copied().flatten() {
            Some(id) if id == pressed => LedCommand::Pressed(id),
            Some(id) => LedCommand::Set(id),
            None => LedCommand::Clear {
                only_if: Some(pressed),
            },
        };
        self.emit(Output::Led(board, command));
    }

    fn stop(&mut self) {
        if let Some(before) = self.active.take() {
            self.emit(Output::Over(before.playing, Over::Stopped));
        }
        self.emit(Output::Stop);
        for index in 0..self.config.boards.len() {
            self.lit[index] = None;
            self.emit(Output::Led(
                BoardIndex(index as u8),
                LedCommand::Clear { only_if: None },
            ));
        }
    }

    fn finish(&mut self, why: Over) {
        if let Some(before) = self.active.take() {
            self.emit(Output::Over(before.playing, why));
            self.light(before.playing.source);
        }
    }

    /// Whether `id` and `seq` name the running play; counts it otherwise.
    fn is_current(&mut self, id: u16, seq: Option<u32>) -> bool {
        let current = self.playing().is_some_and(|playing| {
            playing.id.get() == id && seq.is_none_or(|seq| seq == playing.seq)
        });
        if !current {
            bump(&mut self.ignored.stale);
        }
        current
    }

    fn has_say(&self, client: ClientId) -> bool {
        let role = self.role_of(client);
        match self.config.may_end {
            MayEnd::First | MayEnd::All => role >= self.deciding_role(),
            MayEnd::Primary => role == Role::Primary,
        }
    }

    /// A client beyond those that are counted is a plain one.
    fn role_of(&self, client: ClientId) -> Role {
        let mut clients = self.clients.iter();
        clients
            .find(|present| present.id == client)
            .map_or(Role::Plain, |present| present.client.role)
    }

    /// The highest role of an unlocked client; where all are locked, any role has a say.
    fn deciding_role(&self) -> Role {
        let unlocked = self.clients.iter().filter(|present| !present.client.locked);
        let roles = unlocked.map(|present| present.client.role);
        roles.max().unwrap_or(Role::ImageOnly)
    }

    fn ended(&mut self, client: ClientId, why: Over) {
        if !self.has_say(client) {
            bump(&mut self.ignored.stale);
            return;
        }
        match self.config.may_end {
            MayEnd::First | MayEnd::Primary => self.finish(why),
            MayEnd::All => {
                if let Some(present) = self.clients.iter_mut().find(|present| present.id == client)
                {
                    present.verdict = Verdict::Done;
                }
                if let Some(active) = &mut self.active {
                    active.any_done = true;
                }
                self.finish_if_all_done(why);
            }
        }
    }

    fn finish_if_all_done(&mut self, why: Over) {
        let any_done = self.active.as_ref().is_some_and(|active| active.any_done);
        let least = self.deciding_role();
        let decides = |present: &&Present| {
            let Client {
                locked,
                ready,
                role,
            } = present.client;
            ready && !locked && role >= least
        };
        if any_done
            && self
                .clients
                .iter()
                .filter(decides)
                .all(|present| present.verdict == Verdict::Done)
        {
            self.finish(why);
        }
    }

    fn failed(&mut self, now: Instant, client: ClientId) {
        if !self.has_say(client) {
            bump(&mut self.ignored.stale);
            return;
        }
        if let Some(present) = self.clients.iter_mut().find(|present| present.id == client)
            && present.verdict == Verdict::None
        {
            present.verdict = Verdict::Fails {
                at: now + ERROR_AFTER,
            };
        }
    }

    fn client(&mut self, now: Instant, id: ClientId, client: Client) {
        match self.clients.iter_mut().find(|present| present.id == id) {
            Some(present) => present.client = client,
            None => {
                if self
                    .clients
                    .push(Present {
                        id,
                        client,
                        verdict: Verdict::None,
                    })
                    .is_err()
                {
                    bump(&mut self.ignored.clients);
                }
            }
        }
        self.clients_changed(now);
    }

    fn clients_changed(&mut self, now: Instant) {
        self.watch_listeners(now);
        if self.config.may_end == MayEnd::All {
            self.finish_if_all_done(Over::Ended);
        }
    }

    fn watch_listeners(&mut self, now: Instant) {
        let lonely = self.clients.iter().all(|present| present.client.locked);
        if let Some(active) = &mut self.active {
            active.lonely_since = lonely.then(|| active.lonely_since.unwrap_or(now));
        }
    }

    fn next_failure(&self) -> Option<(Instant, ClientId)> {
        let fails = self
            .clients
            .iter()
            .filter_map(|present| match present.verdict {
                Verdict::Fails { at } => Some((at, present.id)),
                Verdict::None | Verdict::Done => None,
            });
        fails.min()
    }

    fn emit(&mut self, output: Output) {
        let full = self.outputs.push_back(output).is_err();
        debug_assert!(!full, "drain poll_output after every input");
    }
}

impl Active {
    fn overdue_at(&self) -> Instant {
        self.playing.since
            + self.length.map_or(UNKNOWN_LENGTH, |length| {
                length.saturating_add(OVERDUE_AFTER)
            })
    }

    fn lonely_at(&self) -> Option<Instant> {
        self.lonely_since.map(|since| since + LONELY_AFTER)
    }
}

impl Board {
    /// Its button for a medium, if it has one.
    #[must_use]
    pub fn button(self, medium: MediaId) -> Option<ButtonId> {
        let number = medium.get().checked_sub(self.id_offset)?;
        self.buttons.id(u8::try_from(number).ok()?)
    }
}

fn bump(counter: &mut u32) {
    *counter = counter.saturating_add(1);
}

impl Machine for Playback {
    type Input<'a> = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Press(board, id) => self.press(now, board, id),
            Input::Play(number) => match self.medium(number) {
                Some(id) => self.play(now, id, Source::Api, None),
                None => bump(&mut self.ignored.out_of_range),
            },
            Input::Stop => self.stop(),
            Input::Client(id, client) => self.client(now, id, client),
            Input::ClientGone(id) => {
                self.clients.retain(|present| present.id != id);
                self.clients_changed(now);
            }
            Input::Ended { client, id, seq } => {
                if self.is_current(id, seq) {
                    self.ended(client, Over::Ended);
                }
            }
            Input::Error { client, id, seq } => {
                if self.is_current(id, seq) {
                    self.failed(now, client);
                }
            }
            Input::Duration(id, length) => {
                if let Some(active) = self
                    .active
                    .as_mut()
                    .filter(|active| active.playing.id == id)
                {
                    active.length = Some(length);
                }
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        while let Some((_, client)) = self.next_failure().filter(|(at, _)| *at <= now) {
            // One verdict less in each round, whatever the policy.
            if let Some(present) = self.clients.iter_mut().find(|present| present.id == client) {
                present.verdict = Verdict::Done;
            }
            self.ended(client, Over::Failed);
        }
        let Some(active) = &self.active else { return };
        if active.overdue_at() <= now {
            self.finish(Over::Overdue);
        } else if active.lonely_at().is_some_and(|at| at <= now) {
            self.finish(Over::NoListener);
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let active = self.active.as_ref()?;
        let failure = self.next_failure().map(|(at, _)| at);
        [Some(active.overdue_at()), active.lonely_at(), failure]
            .into_iter()
            .flatten()
            .min()
    }
}

/// Admits at most 20 presses in any second. One for each HTTP peer or WebSocket client, kept by the
/// service; boards are never limited.
#[derive(Clone, Debug, Default)]
pub struct RateLimit {
    admitted: Deque<Instant, PANEL_PRESSES_PER_SECOND_MAX>,
}

impl RateLimit {
    /// Whether one more press is admitted at `now`. `false` = answer 429, or drop and count.
    pub fn admit(&mut self, now: Instant) -> bool {
        while self
            .admitted
            .front()
            .is_some_and(|first| now - *first >= Duration::from_secs(1))
        {
            self.admitted.pop_front();
        }
        self.admitted.push_back(now).is_ok()
    }
}

#[cfg(test)]
#[path = "playback/tests.rs"]
mod tests;
