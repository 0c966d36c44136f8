//! A panel on a test bench, on the host or emulated: the golden cases do not see the difference.

use super::host::Host;
use super::qemu::{self, Board, Cable, Machine};

/// How to switch a panel on.
#[derive(Clone, Copy)]
pub(super) struct Start {
    pub(super) buttons: u8,
    /// Milliseconds of its clock at the start.
    pub(super) clock_ms: u64,
    pub(super) announce_ms: u64,
    pub(super) stable: bool,
}

impl Default for Start {
    fn default() -> Self {
        Self {
            buttons: 10,
            clock_ms: 0,
            announce_ms: 0,
            stable: false,
        }
    }
}

/// The input chain, read in all ways.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Survey {
    /// The first bit, and the bytes that SPI mode 1 clocks in.
    pub(super) first: bool,
    pub(super) clocked: Vec<u8>,
    /// Normal form by the rescue, by mode 0, by hand.
    pub(super) normal: [Vec<u8>; 3],
}

pub(super) trait Rig {
    /// Off and on again.
    fn power_on(&mut self, start: Start);
    /// One scan with these buttons held; what came over the cable in it.
    fn scan(&mut self, held: &[u8]) -> Vec<u8>;
    /// Bytes to the panel, and what it answers to them.
    fn say(&mut self, bytes: &[u8]) -> Vec<u8>;
    /// The output latches, LED 1 in the lowest bit.
    fn latched(&mut self) -> u128;
    /// The input chain as it stands with these buttons held.
    fn survey(&mut self, held: &[u8]) -> Survey;
    /// One position of the input chain to ground, or none.
    fn ground(&mut self, position: Option<u32>);
    /// Takes the supply from the far end of the chain, or gives it back.
    fn cut(&mut self, cut: bool);
}

/// Runs a case on the host, and on the emulated firmware if it is there.
pub(super) fn everywhere(case: impl Fn(&mut dyn Rig)) {
    case(&mut Host::default());
    if let Some(machine) = qemu::find("panel") {
        case(&mut Emulated {
            machine,
            board: None,
        });
    }
}

struct Emulated {
    machine: Machine,
    board: Option<Board>,
}

impl Emulated {
    fn board(&mut self) -> &mut Board {
        self.board.as_mut().expect("switched on")
    }
}

impl Rig for Emulated {
    fn power_on(&mut self, start: Start) {
        // A machine of its own for each start: the old cable may still carry what nobody read.
        let mut board = self.machine.start(&Cable::Socket, &[]);
        let stable = if start.stable { "stable" } else { "" };
        board.go(&format!(
            "by-hand {} announce {} buttons {} {stable}",
            start.clock_ms, start.announce_ms, start.buttons
        ));
        self.board = Some(board);
    }

    fn scan(&mut self, held: &[u8]) -> Vec<u8> {
        let board = self.board();
        board.tell(&format!("hold {}", words(held)));
        let (_, told) = board.ask("scan 1");
        board.hear(told)
    }

    fn say(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.board().say(bytes)
    }

    fn latched(&mut self) -> u128 {
        let (answer, _) = self.board().ask("leds");
        u128::from_str_radix(answer.split(' ').next().unwrap(), 16).unwrap()
    }

    fn survey(&mut self, held: &[u8]) -> Survey {
        self.board().tell(&format!("hold {}", words(held)));
        let (answer, _) = self.board().ask("chain");
        let fields: Vec<&str> = answer.split(' ').collect();
        let bytes = |at: usize| -> Vec<u8> {
            (0..fields[at].len() / 2)
                .map(|byte| u8::from_str_radix(&fields[at][byte * 2..][..2], 16).unwrap())
                .collect()
        };
        Survey {
            first: fields[0] == "1",
            clocked: bytes(1),
            normal: [bytes(2), bytes(3), bytes(4)],
        }
    }

    fn ground(&mut self, position: Option<u32>) {
        let position = position.map_or(String::new(), |position| position.to_string());
        self.board().tell(&format!("ground {position}"));
    }

    fn cut(&mut self, cut: bool) {
        self.board().tell(&format!("far {}", u8::from(!cut)));
    }
}

fn words(ids: &[u8]) -> String {
    ids.iter().map(|id| format!("{id} ")).collect()
}
