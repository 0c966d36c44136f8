//! Boards of the original system: text only, each generation with its own words.
//!
//! Written from the facts of the panel specification, to have something that our host must survive.

use leitstand_core::panel::debounce::{Config, Debouncer, Mode};
use leitstand_core::panel::message::{ErrorCode, FromHost};
use leitstand_core::panel::{ButtonId, ButtonSet, PanelSize};
use leitstand_core::time::{Duration, Instant};

/// Which firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// Up to 2.3: the server lights the LED.
    A,
    /// 2.4: lights its own LED; `VERSION` is followed by `OK`.
    B,
    /// 2.5: lights its own LED; a press of the selected button says nothing.
    C,
}

/// A board of the original system.
#[derive(Debug)]
pub(super) struct Original {
    generation: Generation,
    size: PanelSize,
    debouncer: Debouncer,
    selected: Option<ButtonId>,
    lit: ButtonSet,
    announce_at: Instant,
    announced: bool,
    line: Vec<u8>,
    out: Vec<u8>,
}

impl Original {
    /// A board that starts at `now` and says READY after `announce_after`.
    #[must_use]
    pub(super) fn new(
        now: Instant,
        generation: Generation,
        size: PanelSize,
        announce_after: Duration,
    ) -> Self {
        let window = Duration::from_millis(if generation == Generation::C { 30 } else { 50 });
        let debounce = Config::new(Mode::Stable, window, Duration::from_millis(5));
        Self {
            generation,
            size,
            debouncer: Debouncer::new(debounce.unwrap_or_default()),
            selected: None,
            lit: ButtonSet::EMPTY,
            announce_at: now + announce_after,
            announced: false,
            line: Vec::new(),
            out: Vec::new(),
        }
    }

    /// One scan.
    pub(super) fn scan(&mut self, now: Instant, raw: ButtonSet) {
        if !self.announced && now >= self.announce_at {
            self.announced = true;
            if self.generation != Generation::C {
                self.say("Selection Panel starting");
            }
            self.say("READY");
            self.say(self.firmware());
        }
        let changes = self.debouncer.scan(now, raw.intersection(self.size.all()));
        // Of several in one scan the highest wins.
        let Some(id) = changes.pressed.iter().last() else {
            return;
        };
        if self.generation == Generation::C && self.selected == Some(id) {
            return;
        }
        self.selected = Some(id);
        if self.generation != Generation::A {
            self.lit = ButtonSet::one(id);
        }
        self.say(&format!("PRESS {id}"));
    }

    /// Takes bytes from the cable.
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        if !self.announced {
            return;
        }
        for byte in bytes {
            match byte {
                b'\n' | b'\r' => {
                    let line = std::mem::take(&mut self.line);
                    if !line.is_empty() {
                        self.command(&line);
                    }
                }
                // The original's defect: a full buffer starts anew in the middle of the line.
                byte => {
                    if self.line.len() == 63 {
                        self.line.clear();
                    }
                    self.line.push(*byte);
                }
            }
        }
    }

    fn command(&mut self, line: &[u8]) {
        match FromHost::parse(line) {
            Ok(FromHost::Ping) => return self.say("PONG"),
            Ok(FromHost::LedSet(id)) if self.size.contains(id) => {
                self.selected = Some(id);
                self.lit = ButtonSet::one(id);
            }
            Ok(FromHost::LedOn(id)) if self.size.contains(id) => self.lit.insert(id),
            Ok(FromHost::LedOff(id)) if self.size.contains(id) => self.lit.remove(id),
            Ok(FromHost::LedClr) => {
                self.selected = None;
                self.lit = ButtonSet::EMPTY;
            }
            Ok(FromHost::LedAll) => self.lit = self.size.all(),
            Ok(FromHost::Version) => {
                self.say(self.firmware());
                if self.generation != Generation::B {
                    return;
                }
            }
            Ok(FromHost::Status) => self.say_status(),
            Ok(FromHost::Test | FromHost::Stop | FromHost::QReset)
                if self.generation != Generation::C => {}
            Ok(FromHost::LedSet(_) | FromHost::LedOn(_) | FromHost::LedOff(_))
            | Err(ErrorCode::InvalidId) => {
                return self.say(match self.generation {
                    Generation::A => "ERROR invalid id",
                    Generation::B | Generation::C => "ERROR INVALID_ID",
                });
            }
            Ok(
                FromHost::Help
                | FromHost::Bright(_)
                | FromHost::Name(_)
                | FromHost::Buttons(_)
                | FromHost::Debounce { .. }
                | FromHost::Save
                | FromHost::Hello(_)
                | FromHost::Test
                | FromHost::Stop
                | FromHost::QReset,
            )
            | Err(_) => {
                return self.say(match self.generation {
                    Generation::A => "ERROR unknown command",
                    Generation::B | Generation::C => "ERROR UNKNOWN_CMD",
                });
            }
        }
        self.say("OK");
    }

    fn say_status(&mut self) {
        let selected = self.selected.map_or(0, ButtonId::get);
        let bits: String = self
            .size
            .all()
            .iter()
            .map(|id| if self.lit.contains(id) { '1' } else { '0' })
            .collect();
        match self.generation {
            Generation::A => self.say(&format!("STATUS active={selected} leds=0x10")),
            Generation::B => {
                self.say("CORE 1");
                self.say("QFREE 32");
                self.say("QOVFL 0");
                self.say(&format!("LEDS {bits}"));
                self.say(&format!("CURLED {selected}"));
            }
            Generation::C => {
                self.say(&format!("CURLED {selected}"));
                self.say(&format!("BTNS {}", self.size.get()));
                self.say(&format!("LEDS {}", self.size.get()));
                self.say("HEAP 200000");
                self.say("MODE PROTOTYPE");
            }
        }
    }

    fn firmware(&self) -> &'static str {
        match self.generation {
            Generation::A => "FW SelectionPanel v2.3.1",
            Generation::B => "FW SelectionPanel v2.4.2",
            Generation::C => "FW selection-panel v2.5.1",
        }
    }

    fn say(&mut self, line: &str) {
        self.out.extend_from_slice(line.as_bytes());
        // Some builds end their lines with CRLF.
        let end: &[u8] = if self.generation == Generation::B {
            b"\r\n"
        } else {
            b"\n"
        };
        self.out.extend_from_slice(end);
    }

    /// Bytes that wait.
    #[must_use]
    pub(super) fn outgoing(&self) -> &[u8] {
        &self.out
    }

    /// The cable took `count` bytes.
    pub(super) fn sent(&mut self, count: usize) {
        self.out.drain(..count.min(self.out.len()));
    }

    /// The LEDs that should be lit.
    #[must_use]
    pub(super) const fn lit(&self) -> ButtonSet {
        self.lit
    }
}
