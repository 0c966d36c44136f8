//! Both ends of the cable together in virtual time: `Playback`, `HostLink`, a wire with a delay in each
//! direction, and `Board`. The race cases of the panel specification (8.5) for text and v2.
#![allow(clippy::unwrap_used)]

use super::board::{self, Board};
use super::chain::Wiring;
use super::frame;
use super::link::{self, BoardEvent, Command, HostLink, LedCommand, Offer, Protocol};
use super::playback::{self, BoardIndex, Client, ClientId, MayEnd, MediaId, Playback, Retrigger};
use super::{ButtonId, ButtonSet, PanelSize};
use crate::machine::Machine;
use crate::time::{Duration, Instant};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::vec::Vec;

const W1: ClientId = ClientId(1);

fn id(number: u8) -> ButtonId {
    ButtonId::new(number).unwrap()
}

/// One direction of the cable.
#[derive(Default)]
struct Wire {
    flying: VecDeque<(u64, Vec<u8>)>,
    delay_ms: u64,
    /// Every so many bytes one is lost; 0 = none.
    loses_every: usize,
    count: usize,
}

impl Wire {
    fn send(&mut self, now_ms: u64, bytes: &[u8]) {
        let mut kept = Vec::new();
        for byte in bytes {
            self.count += 1;
            if self.loses_every == 0 || !self.count.is_multiple_of(self.loses_every) {
                kept.push(*byte);
            }
        }
        // Bytes stay in order even when the delay shrinks.
        let at = (now_ms + self.delay_ms).max(self.flying.back().map_or(0, |(at, _)| *at));
        self.flying.push_back((at, kept));
    }

    fn arrive(&mut self, now_ms: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.flying.front().is_some_and(|(at, _)| *at <= now_ms) {
            bytes.extend(self.flying.pop_front().unwrap().1);
        }
        bytes
    }
}

struct Site {
    now_ms: u64,
    board: Board,
    boots: u32,
    pressed: ButtonSet,
    up: Wire,
    down: Wire,
    plugged: bool,
    link: HostLink,
    playback: Playback,
    /// What the service has not got round to yet: presses to it, LED commands from it.
    told: VecDeque<(u64, ButtonId)>,
    asked: VecDeque<(u64, LedCommand)>,
    /// How long each takes.
    service_ms: u64,
    presses: Vec<u8>,
    plays: Vec<u16>,
    /// The host's text lines, heartbeats left out.
    said: Vec<std::string::String>,
    /// Milliseconds in which each LED state was shown, newest last.
    shown: Vec<(u64, Vec<u8>)>,
}

fn new_board(now_ms: u64, boots: u32) -> Board {
    let wiring = Wiring::new(PanelSize::new(10).unwrap());
    let config = board::Config {
        announce_after: Duration::from_millis(100),
        ..board::Config::new(wiring, boots)
    };
    Board::new(Instant::from_millis(now_ms), config)
}

impl Site {
    fn new(offer: Offer) -> Self {
        let board = playback::Board {
            buttons: PanelSize::new(10).unwrap(),
            id_offset: 0,
        };
        let config = playback::Config {
            media: MediaId::new(10).unwrap(),
            retrigger: Retrigger::Restart,
            may_end: MayEnd::First,
            boards: [board].into_iter().collect(),
        };
        let mut site = Self {
            now_ms: 0,
            board: new_board(0, 1),
            boots: 1,
            pressed: ButtonSet::EMPTY,
            up: Wire::default(),
            down: Wire::default(),
            plugged: true,
            link: HostLink::new(link::Config {
                protocol: offer,
                ..link::Config::default()
            }),
            playback: Playback::new(config, 0),
            told: VecDeque::new(),
            asked: VecDeque::new(),
            service_ms: 0,
            presses: Vec::new(),
            plays: Vec::new(),
            said: Vec::new(),
            shown: Vec::new(),
        };
        site.play(playback::Input::Client(W1, Client::default()));
        site.link(link::Input::Opened);
        site.wait(600);
        let protocol = match offer {
            Offer::Auto => Protocol::V2,
            Offer::TextOnly => Protocol::Text,
        };
        assert_eq!(site.protocol(), Some(protocol));
        site.said.clear();
        site.shown.clear();
        site
    }

    fn both(test: impl Fn(Self)) {
        test(Self::new(Offer::TextOnly));
        test(Self::new(Offer::Auto));
    }

    fn protocol(&self) -> Option<Protocol> {
        self.link.online().map(|info| info.protocol)
    }

    fn now(&self) -> Instant {
        Instant::from_millis(self.now_ms)
    }

    fn lit(&self) -> Vec<u8> {
        let lit = self.board.lit(self.now());
        lit.iter().map(ButtonId::get).collect()
    }

    fn wait(&mut self, ms: u64) {
        for _ in 0..ms {
            self.step();
        }
    }

    /// One millisecond.
    fn step(&mut self) {
        let now = self.now();
        if self.plugged {
            let bytes = self.down.arrive(self.now_ms);
            self.board.receive(now, &bytes);
            if self.now_ms.is_multiple_of(5) {
                let mut normal = [0xff; 2];
                for id in self.pressed {
                    normal[id.index() / 8] &= !(0x80 >> (id.index() % 8));
                }
                self.board.scan(now, Some(&normal));
            }
            loop {
                let bytes = self.board.outgoing();
                let count = bytes.len();
                if count == 0 {
                    break;
                }
                self.up.send(self.now_ms, bytes);
                self.board.sent(count);
            }
            let bytes = self.up.arrive(self.now_ms);
            if !bytes.is_empty() {
                self.link(link::Input::Bytes(&bytes));
            }
        }
        self.serve();
        if self.link.poll_timeout().is_some_and(|at| at <= now) {
            self.link.handle_timeout(now);
            self.drain_link();
        }
        if self.playback.poll_timeout().is_some_and(|at| at <= now) {
            self.playback.handle_timeout(now);
            self.drain_playback();
        }
        let lit = self.lit();
        if self.shown.last().is_none_or(|(_, last)| *last != lit) {
            self.shown.push((self.now_ms, lit));
        }
        self.now_ms += 1;
    }

    /// What the service gets round to now.
    fn serve(&mut self) {
        while let Some((_, id)) = self.told.pop_front_if(|(at, _)| *at <= self.now_ms) {
            self.play(playback::Input::Press(BoardIndex(0), id));
        }
        while let Some((_, command)) = self.asked.pop_front_if(|(at, _)| *at <= self.now_ms) {
            self.link(link::Input::Led(command));
        }
    }

    fn link(&mut self, input: link::Input<'_>) {
        self.link.handle(self.now(), input);
        self.drain_link();
    }

    fn drain_link(&mut self) {
        while let Some(output) = self.link.poll_output() {
            match output {
                link::Output::Send(bytes) => {
                    let text = bytes.iter().all(|byte| matches!(byte, b'\n' | b' '..=b'~'));
                    if text {
                        let lines = std::str::from_utf8(&bytes).unwrap().lines();
                        let lines = lines.filter(|line| !["", "PING"].contains(line));
                        self.said.extend(lines.map(std::string::String::from));
                    }
                    if self.plugged {
                        self.down.send(self.now_ms, &bytes);
                    }
                }
                link::Output::Event(BoardEvent::Press(press)) => {
                    self.presses.push(press.id.get());
                    if self.service_ms == 0 {
                        self.play(playback::Input::Press(BoardIndex(0), press.id));
                    } else {
                        self.told
                            .push_back((self.now_ms + self.service_ms, press.id));
                    }
                }
                link::Output::Event(_) => {}
                link::Output::Reopen => {
                    self.link(link::Input::Closed);
                    self.link(link::Input::Opened);
                }
            }
        }
    }

    fn play(&mut self, input: playback::Input) {
        self.playback.handle(self.now(), input);
        self.drain_playback();
    }

    fn drain_playback(&mut self) {
        while let Some(output) = self.playback.poll_output() {
            match output {
                playback::Output::Led(_, command) if self.service_ms == 0 => {
                    self.link(link::Input::Led(command));
                }
                playback::Output::Led(_, command) => {
                    self.asked
                        .push_back((self.now_ms + self.service_ms, command));
                }
                playback::Output::Play(playing) => self.plays.push(playing.id.get()),
                playback::Output::Stop | playback::Output::Over(..) => {}
            }
        }
    }

    /// Presses until the board has lit it, and lets go.
    fn press(&mut self, number: u8) {
        self.pressed.insert(id(number));
        self.wait(15);
        self.pressed.remove(id(number));
    }

    fn ended(&mut self, number: u16) {
        self.play(playback::Input::Ended {
            client: W1,
            id: number,
            seq: None,
        });
    }

    fn current(&self) -> Option<u16> {
        self.playback.playing().map(|playing| playing.id.get())
    }

    fn unplug(&mut self) {
        self.plugged = false;
        self.up = Wire::default();
        self.down = Wire::default();
        self.link(link::Input::Closed);
    }

    /// The cable feeds the board: it starts anew.
    fn replug(&mut self) {
        self.plugged = true;
        self.reboot();
        self.link(link::Input::Opened);
    }

    fn reboot(&mut self) {
        self.boots += 1;
        self.board = new_board(self.now_ms, self.boots);
    }
}

#[test]
fn g_ws_1_and_2_press_and_end() {
    Site::both(|mut site| {
        site.press(3);
        assert_eq!((site.current(), site.lit()), (Some(3), std::vec![3]));
        site.wait(1000);
        site.ended(3);
        site.wait(30);
        assert_eq!((site.current(), site.lit()), (None, std::vec![]));
    });
}

#[test]
fn g_ws_8_a_play_from_the_api_lights_the_led() {
    Site::both(|mut site| {
        site.play(playback::Input::Play(5));
        site.wait(30);
        assert_eq!(site.lit(), [5]);
    });
    let mut site = Site::new(Offer::TextOnly);
    site.play(playback::Input::Play(5));
    assert_eq!(site.said, ["LEDSET 005"]);
    site.play(playback::Input::Stop);
    assert_eq!(site.said, ["LEDSET 005", "LEDCLR"], "G-WS-9");
}

#[test]
fn g_race_1_an_old_end_leaves_the_new_led() {
    Site::both(|mut site| {
        site.press(1);
        site.wait(300);
        site.press(2);
        site.wait(300);
        site.ended(1);
        site.wait(300);
        assert_eq!((site.current(), site.lit()), (Some(2), std::vec![2]));
        site.ended(2);
        site.wait(300);
        assert_eq!(site.lit(), []);
        assert!(site.said.iter().filter(|line| *line == "LEDCLR").count() <= 1);
    });
}

#[test]
fn g_race_2_end_then_press() {
    Site::both(|mut site| {
        site.press(1);
        site.wait(300);
        site.ended(1);
        site.press(2);
        site.wait(300);
        assert_eq!((site.current(), site.lit()), (Some(2), std::vec![2]));
    });
}

/// A clear is on the wire while the board accepts B.
fn crossing(mut site: Site) -> Site {
    site.press(1);
    site.wait(1000);
    site.down.delay_ms = 20;
    site.pressed.insert(id(2));
    // The second sample of B is taken while the clear flies.
    while site.board.selected() != Some(id(2)) {
        if site.current() == Some(1) && site.board.selected() == Some(id(1)) {
            site.ended(1);
        }
        site.step();
    }
    site.pressed.remove(id(2));
    site.shown.clear();
    site.wait(500);
    site
}

#[test]
fn g_race_4_in_text_the_led_comes_back_within_30_ms() {
    let site = crossing(Site::new(Offer::TextOnly));
    assert_eq!((site.current(), site.lit()), (Some(2), std::vec![2]));
    let shown: Vec<Vec<u8>> = site.shown.iter().map(|(_, lit)| lit.clone()).collect();
    assert_eq!(
        shown,
        [std::vec![2], std::vec![], std::vec![2]],
        "dark once"
    );
    assert!(site.shown[2].0 - site.shown[1].0 <= 30, "{:?}", site.shown);
    assert!(site.said.contains(&"LEDSET 002".into()), "{:?}", site.said);
}

#[test]
fn g_race_4_in_v2_the_led_stays_lit_throughout() {
    let site = crossing(Site::new(Offer::Auto));
    assert_eq!(site.current(), Some(2));
    assert!(
        site.shown.iter().all(|(_, lit)| *lit == [2]),
        "{:?}",
        site.shown
    );
}

#[test]
fn g_race_5_unplug_during_a_play() {
    Site::both(|mut site| {
        site.press(4);
        site.wait(100);
        site.unplug();
        site.ended(4);
        site.wait(2000);
        site.said.clear();
        site.replug();
        let from = site.now_ms;
        while site.link.online().is_none() {
            site.step();
        }
        assert!(
            site.now_ms - from <= 1000,
            "online after {} ms",
            site.now_ms - from
        );
        assert_eq!(site.said.first().map(|line| line.as_str()), Some("LEDCLR"));
        assert_eq!(site.lit(), []);
        for number in 1..=10 {
            site.press(number);
            site.wait(100);
            assert_eq!(
                (site.current(), site.lit()),
                (Some(number.into()), std::vec![number])
            );
        }
    });
}

#[test]
fn g_race_6_the_board_resets_during_a_play() {
    Site::both(|mut site| {
        site.press(4);
        site.wait(500);
        site.said.clear();
        site.reboot();
        assert_eq!(site.lit(), []);
        site.wait(200);
        assert_eq!(site.lit(), [4]);
        assert_eq!(
            site.said.first().map(|line| line.as_str()),
            Some("LEDSET 004")
        );
        site.wait(500);
        assert!(site.link.online().is_some());
        site.press(5);
        site.wait(100);
        assert_eq!(site.lit(), [5]);
        assert_eq!(site.link.stats().ev_lost, 0);
    });
}

#[test]
fn a_thousand_presses_arrive_once_and_in_order() {
    Site::both(|mut site| {
        site.presses.clear();
        let mut made = Vec::new();
        for round in 0..1000u32 {
            let number = (round * 7 % 10 + 1) as u8;
            site.press(number);
            made.push(number);
            site.wait(10);
            if round == 500 {
                site.wait(50);
                site.reboot();
                site.wait(150);
            }
        }
        site.wait(100);
        assert_eq!(site.presses, made);
        assert_eq!(site.plays.len(), 1000);
        assert_eq!(site.link.stats().ev_lost, 0);
    });
}

#[test]
fn lost_bytes_never_make_a_press_and_v2_counts_what_was_lost() {
    for seed in 0..20 {
        let mut site = Site::new(Offer::Auto);
        site.presses.clear();
        site.up.loses_every = 97 + seed;
        site.down.loses_every = 89 + seed;
        let mut made = Vec::new();
        for round in 0..200u32 {
            let number = (round % 10 + 1) as u8;
            site.press(number);
            made.push(number);
            site.wait(60);
        }
        site.up.loses_every = 0;
        site.down.loses_every = 0;
        site.wait(8000);
        site.press(10);
        made.push(10);
        site.wait(500);
        // What arrived is what was made with some missing, never anything else.
        let mut rest = made.iter();
        let in_order = site
            .presses
            .iter()
            .all(|press| rest.any(|made| made == press));
        assert!(in_order, "seed {seed}: {:?}", site.presses);
        assert!(
            site.presses.len() > 150,
            "seed {seed}: only {}",
            site.presses.len()
        );
        assert_eq!(
            (site.current(), site.lit()),
            (Some(10), std::vec![10]),
            "seed {seed}"
        );
        assert_eq!(
            site.protocol(),
            Some(Protocol::V2),
            "seed {seed}: recovered"
        );
        // Every press and release has a number; what is missing is known.
        assert!(
            site.link.stats().ev_lost as usize >= made.len() - site.presses.len(),
            "seed {seed}"
        );
    }
}

#[test]
fn a_gateway_that_restarts_finds_the_board_in_v2() {
    let mut site = Site::new(Offer::Auto);
    site.press(3);
    site.wait(500);
    let config = site.link.config();
    site.link = HostLink::new(config);
    site.link(link::Input::Led(LedCommand::Set(id(3))));
    site.link(link::Input::Opened);
    let from = site.now_ms;
    while site.link.online().is_none() {
        site.step();
    }
    assert!(site.now_ms - from <= 300, "after {} ms", site.now_ms - from);
    site.wait(100);
    assert_eq!(
        (site.protocol(), site.lit()),
        (Some(Protocol::V2), std::vec![3])
    );
    assert_eq!(site.link.firmware(), "v0.1.0");
}

#[test]
fn a_text_gateway_finds_the_board_that_was_left_in_v2() {
    let mut site = Site::new(Offer::Auto);
    site.link = HostLink::new(link::Config {
        protocol: Offer::TextOnly,
        ..link::Config::default()
    });
    site.link(link::Input::Opened);
    site.wait(5000);
    assert_eq!(site.protocol(), Some(Protocol::Text));
    site.press(3);
    assert_eq!(site.current(), Some(3));
}

#[test]
fn settings_are_said_again_after_a_reset() {
    let mut site = Site::new(Offer::Auto);
    let stable = super::debounce::Config::new(
        super::debounce::Mode::Stable,
        Duration::from_millis(50),
        Duration::from_millis(5),
    )
    .unwrap();
    site.link(link::Input::Brightness(80));
    site.link(link::Input::Debounce(stable));
    site.wait(50);
    site.reboot();
    assert_eq!(site.board.brightness(), 50);
    site.wait(1000);
    assert_eq!(
        (site.board.brightness(), site.board.debounce()),
        (80, stable)
    );
}

/// The prototype of the panel specification 2.5, wired as it is, with a supply for one LED.
#[test]
fn a_mis_wired_board_plays_what_is_printed_on_its_buttons() {
    let table = [15, 12, 13, 11, 10, 9, 8, 14, 7, 4];
    let mut site = Site::new(Offer::Auto);
    site.link = HostLink::new(link::Config {
        lit_max: Some(1),
        positions: super::chain::ButtonPositions::new(site.link.config().buttons, &table).ok(),
        ..link::Config::default()
    });
    site.link(link::Input::Opened);
    for _ in 0..2 {
        site.wait(4000);
        // Its second button is at position 12, where a board that is wired in order has its fourth.
        site.press(4);
        assert_eq!(site.current(), Some(2));
        site.link(link::Input::Command(Command::AllOn));
        site.wait(100);
        assert_eq!(site.lit().len(), 1);
        // A reset makes it forget; it is told again.
        site.reboot();
    }
}

#[test]
fn service_commands_reach_the_board() {
    Site::both(|mut site| {
        site.link(link::Input::Command(Command::LedOn(id(2))));
        site.link(link::Input::Command(Command::LedOn(id(3))));
        site.wait(50);
        assert_eq!(site.lit(), [2, 3]);
        site.link(link::Input::Command(Command::Test(true)));
        site.wait(200);
        assert_eq!(site.lit().len(), 1);
        site.press(7);
        site.wait(100);
        assert_eq!(site.lit(), [7]);
    });
}

#[test]
fn a_wire_without_a_board_is_quiet() {
    let mut site = Site::new(Offer::Auto);
    let sent = |site: &Site| site.down.count;
    site.plugged = true;
    let before = sent(&site);
    site.wait(60_000);
    let each_second = (sent(&site) - before) / 60;
    let ping = frame::encode(&frame::FromHost::Ping { nonce: 1 }).len();
    assert!(
        each_second <= ping + 4,
        "{each_second} bytes a second while nothing happens"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// Rule P8: whatever crosses on the wire, in the end the LED is what plays, and the last press plays.
    #[test]
    fn in_the_end_the_led_is_what_plays(
        steps in proptest::collection::vec((0u64..120, 0u8..5, 1u8..=10), 1..40),
        up_ms in 0u64..60,
        down_ms in 0u64..60,
        service_ms in 0u64..60,
        text: bool,
    ) {
        let mut site = Site::new(if text { Offer::TextOnly } else { Offer::Auto });
        site.up.delay_ms = up_ms;
        site.down.delay_ms = down_ms;
        site.service_ms = service_ms;
        let mut last_press = None;
        for (pause, what, number) in steps {
            match what {
                0 | 1 => {
                    // Held long enough, and let go before it is pressed again.
                    site.pressed = ButtonSet::one(id(number));
                    site.wait(15);
                    site.pressed = ButtonSet::EMPTY;
                    site.wait(35);
                    last_press = Some(number);
                }
                2 => if let Some(current) = site.current() { site.ended(current) },
                3 => site.play(playback::Input::Play(number.into())),
                _ => site.play(playback::Input::Stop),
            }
            site.wait(pause);
        }
        site.wait(1500);
        let current: Vec<u8> = site.current().map(|id| id as u8).into_iter().collect();
        prop_assert_eq!(site.lit(), current);
        prop_assert_eq!(site.presses.last().copied(), last_press);
    }
}
