//! The emulated board on a real terminal, and the real gateway at the other end.

use super::qemu::{self, Board, Cable, Machine};
use leitstand_hal_mock::pty;
use leitstand_tests::{Server, http, wait};
use serde_json::Value;
use std::net::TcpStream;
use std::path::PathBuf;
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

const BUTTONS: u8 = 100;
/// Presses between the finger and the browser. Reasoning: the board keeps 64 messages for a host that does not
/// read, two a press; a test that makes no more than half of that loses none whatever stalls.
const IN_FLIGHT: usize = 16;

struct Site {
    machine: Machine,
    board: Board,
    server: Server,
    /// The stable name of the board, as udev would give it.
    name: PathBuf,
    go: &'static str,
}

impl Site {
    fn start(machine: &Machine, protocol: &str, go: &'static str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let name = dir.path().join("panel-wall");
        let mut board = machine.start(&Cable::Pty, &[]);
        board.go(go);
        pty::link(board.pty(), &name).unwrap();
        let media = dir.path().join("media");
        std::fs::create_dir(&media).unwrap();
        std::fs::write(media.join("any.wav"), silence()).unwrap();
        for id in 1..=BUTTONS {
            std::fs::write(media.join(format!("{id:03}.svg")), "<svg/>").unwrap();
            std::fs::hard_link(media.join("any.wav"), media.join(format!("{id:03}.wav"))).unwrap();
        }
        let config = format!(
            "site = 'Exhibit'\n[panel]\nbuttons = {BUTTONS}\ndebounce_window_ms = 10\n\
             [[panel.boards]]\nname = 'wall'\nport = '{}'\nprotocol = '{protocol}'\n",
            name.display()
        );
        std::fs::write(dir.path().join("leitstand.toml"), config).unwrap();
        let site = Self {
            machine: machine.clone(),
            board,
            server: Server::run_in(dir, &[]),
            name,
            go,
        };
        site.online();
        site
    }

    fn board_status(&self) -> Value {
        self.server.get("/status").ok()["panels"][0].clone()
    }

    fn online(&self) {
        self.server.wait_for("the board", "/status", |status| {
            (status["serial_connected"] == true).then_some(())
        });
    }

    fn lit(&mut self, ids: &[u8]) {
        let board = &mut self.board;
        wait::until(&format!("LEDs {ids:?}"), || {
            (board.lit() == ids).then_some(())
        });
    }

    /// The watchdog, or somebody at the switch.
    fn reset_board(&mut self) {
        self.board.reset();
        self.board.go(self.go);
    }

    /// The board is torn off, and another one comes back under the same name.
    fn kill_board(&mut self) {
        self.board.kill();
        self.server
            .wait_for("the board is missed", "/status", |status| {
                (status["serial_connected"] == false).then_some(())
            });
        self.board = self.machine.start(&Cable::Pty, &[]);
        self.board.go(self.go);
        pty::link(self.board.pty(), &self.name).unwrap();
        self.online();
    }

    fn screen(&self) -> Screen {
        let stream = http::connect(self.server.addr()).unwrap();
        let url = format!("ws://{}/ws", self.server.addr());
        Screen(client(url, stream).unwrap().0)
    }
}

/// Ten seconds of it.
fn silence() -> Vec<u8> {
    let data: u32 = 10 * 1000;
    let mut file = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
    file.extend(1000_u32.to_le_bytes());
    file.extend(1000_u32.to_le_bytes());
    file.extend(b"\x01\0\x08\0data");
    file.extend(data.to_le_bytes());
    file.resize(file.len() + data as usize, 0x80);
    file
}

struct Screen(WebSocket<TcpStream>);

impl Screen {
    /// What plays next.
    fn play(&mut self) -> u8 {
        loop {
            let Message::Text(text) = self.0.read().expect("a frame") else {
                continue;
            };
            let frame: Value = serde_json::from_str(&text).unwrap();
            if frame["type"] == "play" {
                return frame["id"].as_u64().unwrap() as u8;
            }
        }
    }
}

/// Taps `ids` and follows them to the browser: none lost, none twice, none out of order.
fn press(site: &mut Site, screen: &mut Screen, ids: &[u8]) {
    let mut made = 0;
    for (told, id) in ids.iter().enumerate() {
        if made < ids.len() && made - told <= IN_FLIGHT / 2 {
            let end = ids.len().min(told + IN_FLIGHT);
            let words: Vec<String> = ids[made..end].iter().map(u8::to_string).collect();
            site.board.tell(&format!("tap {}", words.join(" ")));
            made = end;
        }
        assert_eq!(screen.play(), *id, "press {} of {}", told + 1, ids.len());
    }
    let board = &mut site.board;
    wait::until("all fingers are off", || {
        (board.ask("idle").0 == "ok").then_some(())
    });
    let last = *ids.last().unwrap();
    site.lit(&[last]);
}

/// Presses of a test. 1000 unless `LEITSTAND_PRESSES` says otherwise; `.ci/run` makes 10 000, which take 40 s.
fn presses() -> usize {
    let wanted = std::env::var("LEITSTAND_PRESSES").ok();
    wanted.map_or(1000, |count| {
        count.parse().expect("LEITSTAND_PRESSES is a number")
    })
}

/// Issue 3: presses, a reset and a kill on the way.
fn many_presses(protocol: &str, spoken: &str) {
    let Some(machine) = qemu::find("panel") else {
        return;
    };
    let mut site = Site::start(&machine, protocol, "scan 2 window 10");
    assert_eq!(site.board_status()["proto"], spoken);
    let mut screen = site.screen();
    let ids: Vec<u8> = (0..presses()).map(|n| (n * 37 % 100 + 1) as u8).collect();
    let (reset_at, kill_at) = (ids.len() * 2 / 5, ids.len() * 4 / 5);
    let begun = std::time::Instant::now();

    press(&mut site, &mut screen, &ids[..reset_at]);
    let before = site.board_status();
    assert_eq!(before["ev_lost"], 0, "{before}");
    site.reset_board();
    // A reset is dark; that the LED shines again is the gateway's doing (G-RACE-6).
    site.lit(&[*ids[..reset_at].last().unwrap()]);
    wait::until("negotiated anew", || {
        (site.board_status()["proto"] == spoken).then_some(())
    });

    press(&mut site, &mut screen, &ids[reset_at..kill_at]);
    site.kill_board();
    site.lit(&[*ids[..kill_at].last().unwrap()]);
    wait::until("negotiated anew", || {
        (site.board_status()["proto"] == spoken).then_some(())
    });

    press(&mut site, &mut screen, &ids[kill_at..]);
    let after = site.board_status();
    assert_eq!(after["ev_lost"], 0, "{after}");
    assert_eq!(after["rx_overlong"], 0, "{after}");
    let elapsed = begun.elapsed();
    eprintln!(
        "{} presses in {spoken}, a reset and a kill: {elapsed:?}",
        ids.len()
    );
}

#[test]
fn thousands_of_presses_in_v2() {
    many_presses("auto", "v2");
}

#[test]
fn thousands_of_presses_in_text() {
    many_presses("text", "text");
}

/// The way back: what the gateway plays and stops lights and darkens the board.
#[test]
fn the_gateway_lights_and_darkens_the_emulated_board() {
    let Some(machine) = qemu::find("panel") else {
        return;
    };
    for protocol in ["auto", "text"] {
        let mut site = Site::start(&machine, protocol, "");
        assert_eq!(site.server.get("/test/play/5").text(), "OK: play 5");
        site.lit(&[5]);
        assert_eq!(site.server.get("/test/play/97").text(), "OK: play 97");
        site.lit(&[97]);
        assert_eq!(site.server.get("/test/stop").text(), "OK: stopped");
        site.lit(&[]);
    }
}

/// A panic must leave no lamp on, and must not look like a clean end.
#[test]
fn a_panic_is_dark_and_fails() {
    let Some(machine) = qemu::find("panel") else {
        return;
    };
    let mut board = machine.start(&Cable::Socket, &[]);
    board.go("by-hand 0 announce 0");
    board.tell("scan 1");
    board.say(b"LEDSET 5\n");
    board.tell("scan 1");
    assert_eq!(board.lit(), [5]);
    let words = board.last_words("panic");
    assert!(
        words.starts_with("oe 255\npanic as the bench asked"),
        "{words:?}"
    );
    assert_eq!(board.exit_code(), Some(7));
}
