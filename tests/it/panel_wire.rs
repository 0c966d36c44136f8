//! A panel on a real pseudo-terminal: the virtual board, the real serial port, the real link on a thread.
//!
//! The panel service around it is tested in `panel.rs`. Times are printed, and asserted only in virtual time
//! (`leitstand_core::panel`): here the machine may be busy with something else.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use leitstand_core::hal::{PortError, SerialPort};
use leitstand_core::machine::Machine;
use leitstand_core::modbus::line::{Line, Parity};
use leitstand_core::panel::link::{
    BoardEvent, Config, HostLink, Input, LedCommand, LinkStats, Offer, OfflineCause, Output,
    Protocol,
};
use leitstand_core::panel::{ButtonId, PanelSize};
use leitstand_core::time::Instant;
use leitstand_hal_linux::serial::Port;
use leitstand_hal_mock::panel::{BoardThread, Generation, Handle, Kind, Options};
use leitstand_tests::wait;

const LINE: Line = Line {
    baud: 115_200,
    parity: Parity::None,
};

fn id(number: u8) -> ButtonId {
    ButtonId::new(number).unwrap()
}

fn size(buttons: u8) -> PanelSize {
    PanelSize::new(buttons).unwrap()
}

/// The gateway's end: one thread, one port, one link. Lights what was pressed last.
struct Host {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    path: PathBuf,
    config: Config,
    begun: std::time::Instant,
    stop: AtomicBool,
    events: Mutex<Vec<(Duration, BoardEvent)>>,
    stats: Mutex<LinkStats>,
    inputs: Mutex<VecDeque<LedCommand>>,
}

impl Host {
    fn start(path: &Path, config: Config) -> Self {
        let shared = Arc::new(Shared {
            path: path.into(),
            config,
            begun: std::time::Instant::now(),
            stop: AtomicBool::new(false),
            events: Mutex::default(),
            stats: Mutex::default(),
            inputs: Mutex::default(),
        });
        let run = Arc::clone(&shared);
        let thread = Some(std::thread::spawn(move || run.run()));
        Self { shared, thread }
    }

    fn led(&self, command: LedCommand) {
        self.shared.inputs.lock().unwrap().push_back(command);
    }

    fn events(&self) -> Vec<BoardEvent> {
        let events = self.shared.events.lock().unwrap();
        events.iter().map(|(_, event)| *event).collect()
    }

    fn presses(&self) -> Vec<u8> {
        let presses = self.events().into_iter().filter_map(|event| match event {
            BoardEvent::Press(press) => Some(press.id.get()),
            _ => None,
        });
        presses.collect()
    }

    fn stats(&self) -> LinkStats {
        *self.shared.stats.lock().unwrap()
    }

    /// Waits for the `nth` event (from 1) that `fits`, and returns when it came.
    fn nth(&self, what: &str, nth: usize, fits: impl Fn(&BoardEvent) -> bool) -> Duration {
        wait::until(what, || {
            let events = self.shared.events.lock().unwrap();
            let mut fitting = events.iter().filter(|(_, event)| fits(event));
            fitting.nth(nth - 1).map(|(at, _)| *at)
        })
    }

    fn online(&self, nth: usize, protocol: Protocol) -> Duration {
        self.nth(
            "the board is online",
            nth,
            |event| matches!(event, BoardEvent::Online(info) if info.protocol == protocol),
        )
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn now(&self) -> Instant {
        Instant::from_millis(self.begun.elapsed().as_millis() as u64)
    }

    fn run(&self) {
        let mut link = HostLink::new(self.config);
        while !self.stop.load(Ordering::Relaxed) {
            if let Ok(mut port) = Port::open(&self.path, LINE) {
                let end = self.serve(&mut link, &mut port);
                drop(port);
                link.handle(self.now(), Input::Closed);
                self.drain(&mut link, None);
                assert!(matches!(end, Ok(()) | Err(PortError::Gone)), "{end:?}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Until the port is gone, the link asks for another one, or the test is over.
    fn serve(&self, link: &mut HostLink, port: &mut Port) -> Result<(), PortError> {
        link.handle(self.now(), Input::Opened);
        let mut buffer = [0; 512];
        while !self.stop.load(Ordering::Relaxed) {
            if self.drain(link, Some(port)) {
                return Ok(());
            }
            let deadline = link
                .poll_timeout()
                .map_or(Duration::from_millis(20), |at| at - self.now());
            let count = port.read(&mut buffer, deadline.min(Duration::from_millis(20)))?;
            let now = self.now();
            if count > 0 {
                link.handle(now, Input::Bytes(&buffer[..count]));
            } else {
                link.handle_timeout(now);
            }
            if self.drain(link, Some(port)) {
                return Ok(());
            }
            if let Some(command) = self.inputs.lock().unwrap().pop_front() {
                link.handle(now, Input::Led(command));
            }
            *self.stats.lock().unwrap() = link.stats();
        }
        Ok(())
    }

    /// Whether the port must be opened anew.
    fn drain(&self, link: &mut HostLink, mut port: Option<&mut Port>) -> bool {
        let mut reopen = false;
        while let Some(output) = link.poll_output() {
            match output {
                Output::Send(bytes) => {
                    // A port that is gone shows at the next read.
                    let _ = port.as_mut().map(|port| port.write(&bytes));
                }
                Output::Event(event) => {
                    self.events
                        .lock()
                        .unwrap()
                        .push((self.begun.elapsed(), event));
                    if let BoardEvent::Press(press) = event {
                        self.inputs
                            .lock()
                            .unwrap()
                            .push_back(LedCommand::Pressed(press.id));
                    }
                }
                Output::Reopen => reopen = true,
            }
        }
        reopen
    }
}

/// Dropped in this order: the host before the board, so that no test ends with a hang-up.
struct Cable {
    host: Host,
    board: Handle,
    _thread: BoardThread,
    _folder: tempfile::TempDir,
}

fn plug_in(options: Options, offer: Offer) -> Cable {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("panel");
    let thread = BoardThread::start(options, &path).unwrap();
    let config = Config {
        buttons: options.size,
        protocol: offer,
        lights_itself: options.kind != Kind::Original(Generation::A),
        ..Config::default()
    };
    Cable {
        board: thread.handle(),
        host: Host::start(&path, config),
        _folder: folder,
        _thread: thread,
    }
}

fn lit(board: &Handle) -> Vec<u8> {
    board.lit().iter().map(ButtonId::get).collect()
}

#[test]
fn v2_is_negotiated() {
    let cable = plug_in(Options::new(size(10)), Offer::Auto);
    let at = cable.host.online(1, Protocol::V2);
    eprintln!("online with v2 {at:?} after power-on and open");
    cable.board.tap(id(3));
    cable.host.nth("a release", 1, |event| {
        matches!(event, BoardEvent::Release(_))
    });
    wait::until("3 is lit", || (lit(&cable.board) == [3]).then_some(()));
    let numbered = cable.host.events().into_iter().any(|event| {
        matches!(event, BoardEvent::Press(press) if press.seq == Some(1) && press.id == id(3))
    });
    assert!(numbered, "{:?}", cable.host.events());
}

/// With a hundred buttons, so that all thirteen chips take part.
fn a_thousand_presses(offer: Offer, protocol: Protocol) {
    let cable = plug_in(Options::new(size(100)), offer);
    cable.host.online(1, protocol);
    let made: Vec<u8> = (0..1000u32)
        .map(|round| (round * 37 % 100 + 1) as u8)
        .collect();
    let begun = std::time::Instant::now();
    made.iter().for_each(|number| cable.board.tap(id(*number)));
    wait::until("all presses are made and told", || {
        (cable.board.is_idle() && cable.host.presses().len() >= made.len()).then_some(())
    });
    cable.host.nth("the last release", 1000, |event| {
        matches!(event, BoardEvent::Release(_))
    });
    eprintln!("1000 presses in {protocol:?}: {:?}", begun.elapsed());
    assert_eq!(cable.host.presses(), made);
    let stats = cable.host.stats();
    assert_eq!(
        (stats.ev_lost, stats.rx_unknown, stats.rx_bad_frames),
        (0, 0, 0),
        "{stats:?}"
    );
    wait::until("the last one is lit", || {
        (lit(&cable.board) == [*made.last().unwrap()]).then_some(())
    });
}

#[test]
fn a_thousand_presses_in_text() {
    a_thousand_presses(Offer::TextOnly, Protocol::Text);
}

#[test]
fn a_thousand_presses_in_v2() {
    a_thousand_presses(Offer::Auto, Protocol::V2);
}

#[test]
fn a_reboot_in_the_middle() {
    for (offer, protocol) in [
        (Offer::TextOnly, Protocol::Text),
        (Offer::Auto, Protocol::V2),
    ] {
        let cable = plug_in(Options::new(size(10)), offer);
        cable.host.online(1, protocol);
        (1..=5).for_each(|number| cable.board.tap(id(number)));
        cable.host.nth("five releases", 5, |event| {
            matches!(event, BoardEvent::Release(_))
        });
        cable.board.reboot();
        assert!(lit(&cable.board).is_empty(), "a reset is dark");
        cable
            .host
            .nth("the restart", 1, |event| *event == BoardEvent::Restarted);
        cable.host.online(2, protocol);
        wait::until("the LED is lit again", || {
            (lit(&cable.board) == [5]).then_some(())
        });
        (6..=10).for_each(|number| cable.board.tap(id(number)));
        cable.host.nth("ten releases", 10, |event| {
            matches!(event, BoardEvent::Release(_))
        });
        assert_eq!(cable.host.presses(), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        let stats = cable.host.stats();
        assert_eq!((stats.ev_lost, stats.restarts), (0, 1), "{stats:?}");
    }
}

#[test]
fn g_rx_12_unplug_and_replug() {
    let cable = plug_in(Options::new(size(10)), Offer::Auto);
    cable.host.online(1, Protocol::V2);
    cable.board.tap(id(4));
    wait::until("4 is lit", || (lit(&cable.board) == [4]).then_some(()));
    cable.host.nth("the release", 1, |event| {
        matches!(event, BoardEvent::Release(_))
    });

    let pulled = cable.host.shared.begun.elapsed();
    cable.board.plug(false);
    let offline = cable.host.nth("the board is offline", 1, |event| {
        *event == BoardEvent::Offline(OfflineCause::Closed)
    });
    assert!(lit(&cable.board).is_empty());

    let plugged = cable.host.shared.begun.elapsed();
    cable.board.plug(true);
    let online = cable.host.online(2, Protocol::V2);
    wait::until("4 is lit again", || {
        (lit(&cable.board) == [4]).then_some(())
    });
    let relit = cable.host.shared.begun.elapsed();
    eprintln!(
        "offline {:?} after unplug; online {:?} and LED lit {:?} after replug",
        offline.saturating_sub(pulled),
        online.saturating_sub(plugged),
        relit.saturating_sub(plugged),
    );

    // And without a play: the LED stays dark, and all buttons live.
    cable.host.led(LedCommand::Clear { only_if: None });
    wait::until("dark", || lit(&cable.board).is_empty().then_some(()));
    cable.board.plug(false);
    cable.host.nth("offline again", 2, |event| {
        matches!(event, BoardEvent::Offline(_))
    });
    cable.board.plug(true);
    cable.host.online(3, Protocol::V2);
    assert!(lit(&cable.board).is_empty());
    (1..=10).for_each(|number| cable.board.tap(id(number)));
    cable.host.nth("eleven releases", 11, |event| {
        matches!(event, BoardEvent::Release(_))
    });
    assert_eq!(cable.host.presses(), [4, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
}

#[test]
fn a_silent_board_is_offline_and_comes_back() {
    let cable = plug_in(Options::new(size(10)), Offer::Auto);
    cable.host.online(1, Protocol::V2);
    cable.board.silence(true);
    cable.host.nth("offline by silence", 1, |event| {
        *event == BoardEvent::Offline(OfflineCause::Silent)
    });
    cable.board.silence(false);
    cable.host.online(2, Protocol::V2);
    cable.board.tap(id(2));
    cable
        .host
        .nth("a press", 1, |event| matches!(event, BoardEvent::Press(_)));
}

#[test]
fn two_at_once_arrive_in_ascending_order() {
    for (offer, protocol) in [
        (Offer::TextOnly, Protocol::Text),
        (Offer::Auto, Protocol::V2),
    ] {
        let cable = plug_in(Options::new(size(10)), offer);
        cable.host.online(1, protocol);
        cable.board.press_both(id(9), id(2));
        cable.host.nth("two presses", 2, |event| {
            matches!(event, BoardEvent::Press(_))
        });
        assert_eq!(cable.host.presses(), [2, 9]);
        // The clear at connect was just sent, so both presses are confirmed, one after the other.
        wait::until("9 is lit", || (lit(&cable.board) == [9]).then_some(()));
    }
}

#[test]
fn a_lost_byte_is_a_counted_loss() {
    let cable = plug_in(Options::new(size(10)), Offer::Auto);
    cable.host.online(1, Protocol::V2);
    cable.board.tap(id(1));
    cable.host.nth("a release", 1, |event| {
        matches!(event, BoardEvent::Release(_))
    });
    {
        // Both in one hold of the board: the byte is that of the press.
        let mut board = cable.board.board();
        board.tap(id(2));
        board.lose_bytes(1);
    }
    cable.host.nth(
        "the release after the lost press, or a heartbeat's answer lost instead",
        2,
        |event| matches!(event, BoardEvent::Release(_)),
    );
    let presses = cable.host.presses();
    let lost = cable.host.stats().ev_lost as usize;
    assert_eq!(
        presses.len() + lost,
        2,
        "{presses:?} {:?}",
        cable.host.stats()
    );
}

#[test]
fn boards_of_the_original_work_in_text() {
    for generation in [Generation::A, Generation::B, Generation::C] {
        let options = Options {
            kind: Kind::Original(generation),
            ..Options::new(size(10))
        };
        let cable = plug_in(options, Offer::Auto);
        cable.host.online(1, Protocol::Text);
        for number in [3, 7, 10] {
            cable.board.tap(id(number));
            wait::until("the LED is lit", || {
                (lit(&cable.board) == [number]).then_some(())
            });
        }
        wait::until("three presses", || {
            (cable.host.presses() == [3, 7, 10]).then_some(())
        });
        cable.host.led(LedCommand::Clear {
            only_if: Some(id(10)),
        });
        wait::until("dark", || lit(&cable.board).is_empty().then_some(()));
        assert_eq!(cable.host.stats().ev_lost, 0, "{generation:?}");
    }
}
