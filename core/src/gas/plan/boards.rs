//! The original centre's boards: which lamp and which relay means what. Source: `monitor.md` 3.4.

use super::super::index::{BoardIndex, ZoneIndex};
use super::{BoardKind, Function, OutputKind, OutputPlan, Plan};

impl<const C: usize, const Z: usize, const S: usize, const O: usize, const B: usize>
    Plan<C, Z, S, O, B>
{
    /// Adds the LED board: 1 power, 2 fault, 3 service due, and 5+4z, 6+4z, 7+4z for AP1..AP3 of zone z.
    /// `None` when boards or outputs do not fit. A zone beyond the board is a mistake that
    /// [`check`](Self::check) reports.
    pub fn add_led_board(&mut self) -> Option<BoardIndex> {
        let board = self.add_board(BoardKind::Led20)?;
        let fixed = [
            (1, Function::Power),
            (2, Function::Fault),
            (3, Function::ServiceDue),
        ];
        for (pin, function) in fixed {
            self.add_output(OutputKind::Led, board, pin, function)?;
        }
        self.add_stages(OutputKind::Led, board, 5)?;
        Some(board)
    }

    /// Adds the relay board: 1 healthy signal, and 2+4z, 3+4z, 4+4z for AP1..AP3 of zone z. As
    /// [`add_led_board`](Self::add_led_board).
    pub fn add_relay_board(&mut self) -> Option<BoardIndex> {
        let board = self.add_board(BoardKind::Relay9)?;
        self.add_output(OutputKind::Relay, board, 1, Function::Healthy)?;
        self.add_stages(OutputKind::Relay, board, 2)?;
        Some(board)
    }

    fn add_board(&mut self, kind: BoardKind) -> Option<BoardIndex> {
        let board = BoardIndex(self.boards.len() as u8);
        self.boards.push(kind).ok()?;
        Some(board)
    }

    fn add_stages(&mut self, kind: OutputKind, board: BoardIndex, first: u8) -> Option<()> {
        for zone in 0..self.zones.len() as u8 {
            for stage in 1..=3 {
                let function = Function::Stage {
                    zone: ZoneIndex(zone),
                    stage,
                };
                self.add_output(kind, board, first + 4 * zone + stage - 1, function)?;
            }
        }
        Some(())
    }

    fn add_output(
        &mut self,
        kind: OutputKind,
        board: BoardIndex,
        pin: u8,
        function: Function,
    ) -> Option<()> {
        let output = OutputPlan {
            board: Some(board),
            function,
            ..OutputPlan::new(kind, pin)
        };
        self.outputs.push(output).ok()
    }
}
