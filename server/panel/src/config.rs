//! `[panel]` of the configuration: the shape of the file, and what is left of it once checked.

use std::{sync::Arc, time::Duration};

use leitstand_core::{
    limits::{PANEL_BOARDS_MAX, PANEL_MEDIA_MAX},
    panel::{
        PanelSize,
        chain::{ButtonPositions, WiringError},
        debounce, link,
        playback::{self, MayEnd, MediaId},
    },
};
use leitstand_kit::config::{Diagnostics, Level, Path};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::schedule::{Schedule, ScheduleConfig};

/// Illuminated buttons that play pictures and sounds in every browser.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PanelConfig {
    /// Buttons of a board, 1 to 100. The media are numbered 1 to this, or to the highest button of any board
    /// with its `id_offset`.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 100))]
    pub buttons: u8,
    /// Folder with `NNN.jpg` and `NNN.mp3` (also png, webp, svg; ogg, opus, wav, flac; mp4) and, if wanted, a
    /// `manifest.toml`. Relative to the configuration file.
    #[serde(default = "media")]
    pub media_dir: String,
    /// What a press of the button does whose content plays.
    #[serde(default)]
    pub retrigger: Retrigger,
    /// How a press is recognised; sent to boards that speak protocol v2. `eager` answers 5 to 10 ms after the
    /// contact, `stable` after an undisturbed window and is for noisy sites.
    #[serde(default)]
    pub debounce: Debounce,
    /// Window of the debouncing in milliseconds, 5 to 100.
    #[serde(default = "thirty")]
    #[schemars(range(min = 5, max = 100))]
    pub debounce_window_ms: u8,
    /// Whose end of a sound counts: `first` (any screen), `all` (the last of the screens with sound), or the
    /// name of the primary screen.
    #[serde(default = "first")]
    pub may_end: String,
    /// Brightness of the LEDs in percent, until another one is set.
    #[serde(default = "fifty")]
    #[schemars(range(min = 0, max = 100))]
    pub brightness_percent: u8,
    /// Volume in percent, until another one is set.
    #[serde(default = "hundred")]
    #[schemars(range(min = 0, max = 100))]
    pub volume_percent: u8,
    /// Opening hours, dimming, and how the lit button is lit, at the start. What is set on the page wins from then on.
    #[serde(default)]
    pub schedule: ScheduleConfig,
    /// For how many days plays are counted by button and hour, 0 to 3660. 0: not at all.
    #[serde(default = "two_years")]
    #[schemars(range(min = 0, max = 3660))]
    pub statistics_days: u16,
    /// Production mode: `GET /test/play` and `GET /test/stop` answer only to local callers and tokens. Left out:
    /// on when there are more than 10 buttons.
    pub production: Option<bool>,
    /// Also hold the lock file of the original server, `/var/lock/esp32-serial.lock`, while a board is open.
    #[serde(default)]
    pub compat_lock: bool,
    /// The boards. None: buttons are only on the page and in the API.
    #[serde(default)]
    pub boards: Vec<BoardConfig>,
}

/// A board with buttons on a serial port.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BoardConfig {
    /// Name for pages and events, up to 40 characters.
    pub name: String,
    /// Serial device: a path, a pattern with `*` and `?` in its last part, `usb:VVVV:PPPP` (the first with these
    /// ids) or `usb-serial:NUMBER`.
    pub port: String,
    /// Added to the board's button numbers, 0 to 998.
    #[serde(default)]
    #[schemars(range(min = 0, max = 998))]
    pub id_offset: u16,
    /// Buttons of this board, 1 to 100, where it differs from `[panel] buttons`.
    #[schemars(range(min = 1, max = 100))]
    pub buttons: Option<u8>,
    /// Whether the board lights its own LED at a press. `false` for firmware up to 2.3.
    #[serde(default = "yes")]
    pub lights_itself: bool,
    /// Most LEDs that may be lit at once, 1 to 100: what the supply of the board can bear. Left out: as the firmware
    /// has it, 16. More than these light group after group. Needs firmware on protocol v2.
    #[schemars(range(min = 1, max = 100))]
    pub lit_max: Option<u8>,
    /// Current of one LED in milliamperes, 1 to 100. With `supply_ma` it is checked that `lit_max` LEDs can be borne.
    #[schemars(range(min = 1, max = 100))]
    pub led_ma: Option<u16>,
    /// What the supply of the board gives its LEDs, in milliamperes, 1 to 10000.
    #[schemars(range(min = 1, max = 10_000))]
    pub supply_ma: Option<u16>,
    /// For mis-wired panels: the place of each button in the input chain, button 1 first, counted from 0 at the last
    /// bit that is clocked in. Left out: as the firmware has it. Needs firmware on protocol v2.
    pub positions: Option<Vec<u8>>,
    /// `auto` offers the checked binary protocol and falls back to text; `text` never offers it.
    #[serde(default)]
    pub protocol: ProtocolChoice,
}

/// What a press of the button does whose content plays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Retrigger {
    /// Plays from the start.
    #[default]
    Restart,
    /// Nothing.
    Ignore,
    /// Stops.
    Stop,
}

/// How a press is recognised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Debounce {
    /// At the second pressed sample.
    #[default]
    Eager,
    /// After an undisturbed window.
    Stable,
}

/// Which protocol is offered to a board.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProtocolChoice {
    /// Binary v2 where the board knows it, else text.
    #[default]
    Auto,
    /// Text only, for analysis on the wire.
    Text,
}

fn ten() -> u8 {
    10
}
fn thirty() -> u8 {
    30
}
fn fifty() -> u8 {
    50
}
fn hundred() -> u8 {
    100
}
fn two_years() -> u16 {
    730
}
fn media() -> String {
    "media".into()
}
fn first() -> String {
    "first".into()
}
fn yes() -> bool {
    true
}

/// The checked section: no string, unit or default is left in doubt.
#[derive(Clone, Debug)]
pub struct Settings {
    /// For the playback machine.
    pub playback: playback::Config,
    /// The boards, in the order of their index.
    pub boards: Vec<BoardSettings>,
    /// As written; relative to the configuration's folder.
    pub media_dir: String,
    /// The name of the primary screen, when `may_end` is one.
    pub primary: Option<String>,
    /// For boards on v2.
    pub debounce: debounce::Config,
    /// Percent.
    pub brightness: u8,
    /// Percent.
    pub volume: u8,
    /// Until another one is set.
    pub schedule: Arc<Schedule>,
    /// How long statistics are kept; 0: none.
    pub statistics_days: u16,
    /// GET test paths only for local callers and tokens.
    pub production: bool,
    /// Hold the original server's lock too.
    pub compat_lock: bool,
}

/// A checked board.
#[derive(Clone, Debug)]
pub struct BoardSettings {
    /// For pages and events.
    pub name: String,
    /// As written.
    pub port: String,
    /// For the link.
    pub link: link::Config,
}

impl Settings {
    /// Highest media number.
    #[must_use]
    pub fn media(&self) -> u16 {
        self.playback.media.get()
    }
}

/// Checks what the schema cannot say. `at` is the place of the section. `None` when there was an error.
pub fn check(raw: &PanelConfig, at: &Path, diags: &mut Diagnostics) -> Option<Settings> {
    let errors = |diags: &Diagnostics| {
        let list = diags.list().iter();
        list.filter(|d| d.severity == Level::Error).count()
    };
    let errors_before = errors(diags);
    let debounce = check_debounce(raw, at, diags);
    let schedule = raw.schedule.check_in(&at.key("schedule"), diags);
    if raw.may_end.is_empty() || raw.may_end.chars().count() > 40 {
        diags
            .error(
                &at.key("may_end"),
                "bad_name",
                "whose end counts has to be said in 1 to 40 characters",
            )
            .allowed("first, all, or the name of a screen");
    }
    let (may_end, primary) = match raw.may_end.as_str() {
        "first" => (MayEnd::First, None),
        "all" => (MayEnd::All, None),
        screen => (MayEnd::Primary, Some(screen.to_owned())),
    };
    let mut playback = playback::Config {
        media: MediaId::new(1)?,
        retrigger: match raw.retrigger {
            Retrigger::Restart => playback::Retrigger::Restart,
            Retrigger::Ignore => playback::Retrigger::Ignore,
            Retrigger::Stop => playback::Retrigger::Stop,
        },
        may_end,
        boards: Default::default(),
    };
    let mut boards = Vec::new();
    let mut highest = u16::from(raw.buttons);
    for i in 0..raw.boards.len() {
        let at = at.key("boards").index(i);
        let Some((settings, place)) = check_board(raw, i, &at, diags) else {
            continue;
        };
        highest = highest.max(place.id_offset + u16::from(place.buttons.get()));
        if playback.boards.push(place).is_err() && i == PANEL_BOARDS_MAX {
            diags
                .error(&at, "too_many_boards", "this is one board too many")
                .allowed(format!("at most {PANEL_BOARDS_MAX}"));
        }
        boards.push(settings);
    }
    if errors(diags) > errors_before {
        return None;
    }
    playback.media = MediaId::new(highest)?;
    Some(Settings {
        playback,
        boards,
        media_dir: raw.media_dir.clone(),
        primary,
        debounce: debounce?,
        brightness: raw.brightness_percent.min(100),
        volume: raw.volume_percent.min(100),
        schedule: Arc::new(schedule?),
        statistics_days: raw.statistics_days,
        production: raw.production.unwrap_or(highest > 10),
        compat_lock: raw.compat_lock,
    })
}

fn check_debounce(
    raw: &PanelConfig,
    at: &Path,
    diags: &mut Diagnostics,
) -> Option<debounce::Config> {
    let mode = match raw.debounce {
        Debounce::Eager => debounce::Mode::Eager,
        Debounce::Stable => debounce::Mode::Stable,
    };
    let window = Duration::from_millis(raw.debounce_window_ms.into());
    let checked = debounce::Config::new(mode, window, SCAN);
    if checked.is_err() {
        diags
            .error(
                &at.key("debounce_window_ms"),
                "bad_debounce",
                format!(
                    "a window of {} ms is less than two scans of 5 ms or more than 100 ms",
                    raw.debounce_window_ms
                ),
            )
            .allowed("10 to 100");
    }
    checked.ok()
}

/// The scan period of every known board (`specs/panel.md` 2.3).
const SCAN: Duration = Duration::from_millis(5);

fn check_board(
    raw: &PanelConfig,
    i: usize,
    at: &Path,
    diags: &mut Diagnostics,
) -> Option<(BoardSettings, playback::Board)> {
    let board = raw.boards.get(i)?;
    let earlier = raw.boards.get(..i).unwrap_or_default();
    if board.name.is_empty() || board.name.chars().count() > 40 {
        diags
            .error(&at.key("name"), "bad_name", "a board needs a name")
            .allowed("1 to 40 characters");
    }
    if earlier.iter().any(|b| b.name == board.name) {
        diags.error(
            &at.key("name"),
            "duplicate_name",
            format!("two boards are called {:?}", board.name),
        );
    }
    if let Err(why) = crate::port::check_pattern(&board.port) {
        diags
            .error(&at.key("port"), "bad_port", why)
            .allowed("a path, a pattern, usb:VVVV:PPPP or usb-serial:NUMBER");
    }
    if earlier.iter().any(|b| b.port == board.port) {
        diags.error(
            &at.key("port"),
            "duplicate_port",
            format!("two boards use {}", board.port),
        );
    }
    let buttons_of = |b: &BoardConfig| b.buttons.unwrap_or(raw.buttons);
    let range = |b: &BoardConfig| {
        let last = b.id_offset.saturating_add(buttons_of(b).into());
        (b.id_offset.saturating_add(1), last)
    };
    let Some(buttons) = PanelSize::new(buttons_of(board)) else {
        let at = match board.buttons {
            Some(_) => at.key("buttons"),
            None => at.clone(),
        };
        diags
            .error(&at, "bad_buttons", "a board has at least one button")
            .allowed("1 to 100");
        return None;
    };
    let (first, last) = range(board);
    if last > PANEL_MEDIA_MAX {
        diags
            .error(
                &at.key("id_offset"),
                "id_too_high",
                format!("the highest button of this board would be {last}"),
            )
            .allowed(format!("ids up to {PANEL_MEDIA_MAX}"));
        return None;
    }
    if let Some(other) = earlier.iter().find(|b| {
        let (a, z) = range(b);
        first <= z && a <= last
    }) {
        diags
            .error(
                &at.key("id_offset"),
                "overlapping_ids",
                format!(
                    "buttons {first} to {last} of this board and those of {:?} share numbers",
                    other.name
                ),
            )
            .suggest(format!("id_offset = {}", range(other).1));
    }
    let lit_max = check_current(board, at, diags);
    let positions = check_positions(board, buttons, at, diags);
    let link = link::Config {
        lit_max,
        positions,
        buttons,
        protocol: match board.protocol {
            ProtocolChoice::Auto => link::Offer::Auto,
            ProtocolChoice::Text => link::Offer::TextOnly,
        },
        lights_itself: board.lights_itself,
    };
    let settings = BoardSettings {
        name: board.name.clone(),
        port: board.port.clone(),
        link,
    };
    let place = playback::Board {
        buttons,
        id_offset: board.id_offset,
    };
    Some((settings, place))
}

/// Most LEDs of a board whose configuration does not say: the firmware's own cap.
const FIRMWARE_LIT_MAX: u8 = 16;

/// The current cap: as said, else what the supply can bear where that is less than the firmware's.
fn check_current(board: &BoardConfig, at: &Path, diags: &mut Diagnostics) -> Option<u8> {
    let (led, supply) = match (board.led_ma, board.supply_ma) {
        (Some(led), Some(supply)) => (led, supply),
        (None, None) => return board.lit_max,
        (Some(_), None) | (None, Some(_)) => {
            diags.error(
                at,
                "incomplete_current",
                "led_ma and supply_ma are of use together only",
            );
            return board.lit_max;
        }
    };
    let most = supply / led.max(1);
    if most == 0 {
        diags.error(
            &at.key("supply_ma"),
            "too_little_current",
            format!("{supply} mA do not light one LED of {led} mA"),
        );
    } else if let Some(lit_max) = board.lit_max.filter(|lit| u16::from(*lit) > most) {
        diags
            .error(
                &at.key("lit_max"),
                "too_much_current",
                format!(
                    "{lit_max} LEDs of {led} mA take {} mA, the supply gives {supply}",
                    u32::from(lit_max) * u32::from(led)
                ),
            )
            .suggest(format!("lit_max = {most}"));
    }
    let most = u8::try_from(most).unwrap_or(100).min(100);
    board
        .lit_max
        .or_else(|| Some(most).filter(|most| *most < FIRMWARE_LIT_MAX))
}

fn check_positions(
    board: &BoardConfig,
    buttons: PanelSize,
    at: &Path,
    diags: &mut Diagnostics,
) -> Option<ButtonPositions> {
    let table = board.positions.as_ref()?;
    let text = match ButtonPositions::new(buttons, table) {
        Ok(positions) => return Some(positions),
        Err(WiringError::Length) => format!(
            "{} positions for {} buttons; each button needs one",
            table.len(),
            buttons.get()
        ),
        Err(WiringError::Beyond(position)) => format!(
            "position {position} is beyond the chain of {} chips, whose last is {}",
            buttons.chips(),
            buttons.chips() * 8 - 1
        ),
        Err(WiringError::Twice(position)) => format!("position {position} is named twice"),
    };
    diags.error(&at.key("positions"), "bad_positions", text);
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use leitstand_kit::config::Document;

    #[derive(Deserialize, JsonSchema)]
    struct File {
        panel: PanelConfig,
    }

    /// The settings, or key and code of every mistake.
    fn of(section: &str) -> Result<Settings, Vec<(String, String)>> {
        let text = format!("[panel]\n{section}");
        let (file, mut diags) = Document::parse(&text, "test.toml").check::<File>();
        let at = Path::root().key("panel");
        let settings = file.and_then(|f| check(&f.panel, &at, &mut diags));
        settings.ok_or_else(|| {
            let list = diags.list().iter();
            list.map(|d| (d.key.clone(), d.code.clone())).collect()
        })
    }

    fn mistakes(section: &str) -> Vec<(String, String)> {
        of(section).expect_err(&format!("{section} should be refused"))
    }

    const WALL: &str = "[[panel.boards]]\nname = 'wall'\nport = '/dev/ttyACM0'\n";

    #[test]
    fn an_empty_section_is_ten_buttons_and_no_board() {
        let settings = of("").unwrap();
        assert_eq!(settings.media(), 10);
        assert!(settings.boards.is_empty());
        assert!(!settings.production);
        assert_eq!((settings.brightness, settings.volume), (50, 100));
        assert_eq!(settings.playback.may_end, MayEnd::First);
        assert!(of("buttons = 11").unwrap().production);
    }

    #[test]
    fn the_sample_is_accepted() {
        let settings = of(&format!(
            "buttons = 10\nmedia_dir = 'media'\nretrigger = 'restart'\ndebounce = 'eager'\n\
             may_end = 'first'\n{WALL}id_offset = 0"
        ))
        .unwrap();
        assert_eq!(settings.boards[0].name, "wall");
        assert_eq!(settings.boards[0].link.buttons.get(), 10);
    }

    #[test]
    fn a_second_board_with_an_offset_raises_the_highest_id() {
        let settings = of(&format!(
            "may_end = 'foyer'\n{WALL}[[panel.boards]]\nname = 'desk'\nport = '/dev/ttyACM1'\n\
             id_offset = 10\nbuttons = 4"
        ))
        .unwrap();
        assert_eq!(settings.media(), 14);
        assert_eq!(settings.primary.as_deref(), Some("foyer"));
        assert_eq!(settings.playback.may_end, MayEnd::Primary);
    }

    #[test]
    fn mistakes_are_named_with_their_key() {
        let desk = "[[panel.boards]]\nname = 'wall'\nport = '/dev/ttyACM0'\nid_offset = 9\n";
        let found = mistakes(&format!(
            "may_end = ''\ndebounce_window_ms = 5\n{WALL}{desk}"
        ));
        for expected in [
            ("panel.may_end", "bad_name"),
            ("panel.debounce_window_ms", "bad_debounce"),
            ("panel.boards[1].name", "duplicate_name"),
            ("panel.boards[1].port", "duplicate_port"),
            ("panel.boards[1].id_offset", "overlapping_ids"),
        ] {
            assert!(
                found
                    .iter()
                    .any(|(k, c)| (k.as_str(), c.as_str()) == expected),
                "{expected:?} not in {found:?}"
            );
        }
        assert_eq!(found.len(), 5, "{found:?}");
    }

    #[test]
    fn numbers_beyond_the_last_medium_and_bad_ports_are_refused() {
        let found = mistakes(&format!("{WALL}id_offset = 990"));
        assert_eq!(
            found,
            [("panel.boards[0].id_offset".into(), "id_too_high".into())]
        );
        let found = mistakes("[[panel.boards]]\nname = 'wall'\nport = 'usb:nope'\n");
        assert_eq!(found, [("panel.boards[0].port".into(), "bad_port".into())]);
    }

    #[test]
    fn the_current_and_the_wiring_of_a_board_are_checked() {
        let board = |more: &str| of(&format!("{WALL}{more}")).map(|s| s.boards[0].link);
        assert_eq!(board("lit_max = 4").unwrap().lit_max, Some(4));
        // 100 mA bear eight LEDs of 12 mA; 500 mA bear more than the firmware lights anyway.
        let with = |supply| board(&format!("led_ma = 12\nsupply_ma = {supply}"));
        assert_eq!(with(100).unwrap().lit_max, Some(8));
        assert_eq!(with(500).unwrap().lit_max, None);
        let table = "positions = [15, 12, 13, 11, 10, 9, 8, 14, 7, 4]";
        let positions = board(table).unwrap().positions.unwrap();
        assert_eq!(positions.as_slice(), [15, 12, 13, 11, 10, 9, 8, 14, 7, 4]);
        for (more, key, code) in [
            ("led_ma = 5", "", "incomplete_current"),
            (
                "led_ma = 20\nsupply_ma = 10",
                ".supply_ma",
                "too_little_current",
            ),
            (
                "lit_max = 30\nled_ma = 5\nsupply_ma = 100",
                ".lit_max",
                "too_much_current",
            ),
            ("positions = [1, 2]", ".positions", "bad_positions"),
            (
                "positions = [0, 1, 2, 3, 4, 5, 6, 7, 8, 8]",
                ".positions",
                "bad_positions",
            ),
            (
                "positions = [0, 1, 2, 3, 4, 5, 6, 7, 8, 16]",
                ".positions",
                "bad_positions",
            ),
        ] {
            let expected = (format!("panel.boards[0]{key}"), code.to_owned());
            let found = mistakes(&format!("{WALL}{more}"));
            assert!(found.contains(&expected), "{more}: {found:?}");
        }
    }
}
