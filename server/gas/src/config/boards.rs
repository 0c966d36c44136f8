//! Output boards: bus modules, and shift registers on GPIO lines or SPI.

use super::check::{Checker, small};
use super::raw::{BoardConfig, BoardKindConfig};
use crate::register::{Bits, RegisterSpec};
use crate::seam::DeviceKind;
use crate::site::BoardInfo;
use leitstand_core::gas::BoardIndex;
use leitstand_core::gas::plan::BoardKind;
use leitstand_kit::config::Path;
use std::collections::HashMap;

/// Who has a GPIO line or an SPI bus already.
pub(super) type Taken<'a> = HashMap<(&'a str, Option<u32>), String>;

impl<'a> Checker<'a> {
    pub(super) fn boards(&mut self) {
        let gas = self.gas;
        self.too_many("boards", gas.boards.len(), 16);
        let mut taken = Taken::new();
        for (i, board) in gas.boards.iter().take(16).enumerate() {
            let path = self.at("boards", i);
            let kind = match board.kind {
                BoardKindConfig::Led20 => BoardKind::Led20,
                BoardKindConfig::Relay9 => BoardKind::Relay9,
                BoardKindConfig::MrDo4 => BoardKind::MrDo4,
            };
            let index = BoardIndex(small(i));
            let register = if kind == BoardKind::MrDo4 {
                self.bus_module(&path, board, index);
                None
            } else {
                self.register(&path, board, index, &mut taken)
            };
            let _ = self.parts.plan.boards.push(kind);
            self.parts.boards.push(BoardInfo {
                id: board.id.clone(),
                register,
            });
        }
    }

    fn bus_module(&mut self, path: &Path, board: &BoardConfig, index: BoardIndex) {
        let given = [
            ("chip", board.chip.is_some()),
            ("oe", board.oe.is_some()),
            ("ds", board.ds.is_some()),
            ("clock", board.clock.is_some()),
            ("latch", board.latch.is_some()),
            ("spi", board.spi.is_some()),
        ];
        self.not_allowed(path, &given, "a bus module");
        let kind = DeviceKind::MrDo4 {
            board: index,
            outputs: [None; 4],
        };
        let _ = self.device(path, &board.id, board.bus.as_deref(), board.address, kind);
    }

    fn register(
        &mut self,
        path: &Path,
        board: &'a BoardConfig,
        index: BoardIndex,
        taken: &mut Taken<'a>,
    ) -> Option<RegisterSpec> {
        let given = [
            ("bus", board.bus.is_some()),
            ("address", board.address.is_some()),
        ];
        self.not_allowed(path, &given, "a shift-register board");
        let hint = "the label of the GPIO chip, as `leitstand scan` lists it";
        let chip = match board.chip.as_deref() {
            Some(chip) => Some(chip),
            None => self.missing(path, "chip", hint),
        };
        let mut lines = vec![("oe", board.oe), ("latch", board.latch)];
        if let Some(spi) = board.spi.as_deref() {
            let given = [("ds", board.ds.is_some()), ("clock", board.clock.is_some())];
            self.not_allowed(path, &given, "a board on SPI");
            self.take(path, "spi", (spi, None), &board.id, taken);
        } else {
            lines.extend([("ds", board.ds), ("clock", board.clock)]);
        }
        for (key, line) in &lines {
            match (*line, chip) {
                (None, _) => {
                    let _: Option<()> = self.missing(path, key, "the number of a GPIO line");
                }
                (Some(line), Some(chip)) => {
                    self.take(path, key, (chip, Some(line)), &board.id, taken);
                }
                (Some(_), None) => {}
            }
        }
        let bits = match board.spi.clone() {
            Some(device) => Bits::Spi {
                device,
                clock_hz: board.spi_hz,
            },
            None => Bits::Lines {
                ds: board.ds?,
                clock: board.clock?,
            },
        };
        Some(RegisterSpec {
            board: index,
            id: board.id.clone(),
            chip: chip?.to_owned(),
            oe: board.oe?,
            latch: board.latch?,
            bits,
            outputs: Vec::new(),
        })
    }

    /// Every line and every bus has one user.
    fn take(
        &mut self,
        path: &Path,
        key: &str,
        place: (&'a str, Option<u32>),
        user: &str,
        taken: &mut Taken<'a>,
    ) {
        let me = format!("`{key}` of `{user}`");
        if let Some(other) = taken.insert(place, me) {
            let message = match place {
                (chip, Some(line)) => format!("line {line} of `{chip}` is {other} already"),
                (bus, None) => format!("{bus} is {other} already"),
            };
            self.diags
                .error(&path.key(key), "line_twice", message)
                .allowed("a line of its own");
        }
    }
}
