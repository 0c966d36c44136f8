//! Bump tests: an inhibition with a question.

use super::{Instant, Station};
use crate::gas::bump::Bump;
use crate::gas::command::Refusal;
use crate::gas::event::{BumpChange, EventKind};
use crate::gas::index::CellIndex;
use crate::gas::plan::Direction;
use crate::gas::reading::Reading;
use crate::time::Duration;
use crate::units::Concentration;

impl<const C: usize, const Z: usize, const S: usize, const O: usize, const B: usize, const N: usize>
    Station<C, Z, S, O, B, N>
{
    /// A test under way is replaced: the technician opened the valve again.
    pub(super) fn bump_test(
        &mut self,
        now: Instant,
        cell: CellIndex,
        target: Concentration,
        direction: Direction,
        span: Duration,
    ) -> Result<(), Refusal> {
        self.inhibit(now, cell, span)?;
        self.bump_aborted(now, cell);
        let bump = Bump::new(now, target, direction, now + span);
        self.cells[cell.at()].bump = Some(bump);
        self.tell_bump(now, cell, &bump, BumpChange::Started);
        Ok(())
    }

    /// After the cell took `reading`: only what it accepted as a value counts.
    pub(super) fn bump_reading(&mut self, now: Instant, cell: CellIndex, reading: Reading) {
        if matches!(reading, Reading::Failed(_) | Reading::Reported(_)) {
            return;
        }
        let seen = &mut self.cells[cell.at()];
        let Some(value) = seen.last_good_at(now) else {
            return;
        };
        let Some(bump) = &mut seen.bump else { return };
        if bump.reading(value) {
            self.end_bump(now, cell, BumpChange::Passed);
        }
    }

    pub(super) fn bump_timeout(&mut self, now: Instant, cell: CellIndex) {
        if self.cells[cell.at()].bump.is_some_and(|b| b.until <= now) {
            self.end_bump(now, cell, BumpChange::Failed);
        }
    }

    pub(super) fn bump_aborted(&mut self, now: Instant, cell: CellIndex) {
        self.end_bump(now, cell, BumpChange::Aborted);
    }

    /// The inhibition goes on to its own end: the gas is still there.
    fn end_bump(&mut self, now: Instant, cell: CellIndex, change: BumpChange) {
        if let Some(bump) = self.cells[cell.at()].bump.take() {
            self.tell_bump(now, cell, &bump, change);
        }
    }

    fn tell_bump(&mut self, now: Instant, cell: CellIndex, bump: &Bump, change: BumpChange) {
        let result = bump.result(now, change);
        self.tell(now, EventKind::BumpTest { cell, result });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::gas::station::bench::*;
    use crate::gas::station::tests::plain;
    use expect_test::expect;

    #[test]
    fn a_bump_test_passes_when_the_cell_sees_the_gas_and_nothing_alarms() {
        check(
            &plain(),
            "1 bump a 30 120 | 2..20/2 a 10 | 22 a 45 | 24 a 80 | 26..120/2 a 0 | 122 a 0",
            expect![[r#"
                1 a inhibited on
                1 a BumpTestStarted of 30 peak - after 0
                1 +inhibit
                22 a BumpTestPassed of 30 peak 45 after 21
                121 a inhibited off
                121 -inhibit
            "#]],
        );
    }

    #[test]
    fn a_bump_test_fails_at_the_end_of_its_window() {
        check(
            &plain(),
            "1 bump a 30 20 | 2..20/2 a 29.999 | 21 tick",
            expect![[r#"
                1 a inhibited on
                1 a BumpTestStarted of 30 peak - after 0
                1 +inhibit
                21 a BumpTestFailed of 30 peak 29.999 after 20
                21 a inhibited off
                21 -inhibit
            "#]],
        );
    }

    #[test]
    fn a_faulty_cell_does_not_pass_and_a_return_aborts() {
        check(
            &plain(),
            "1 bump a 30 60 | 2 a !adc_rail | 3 return a | 4 return a",
            expect![[r#"
                1 a inhibited on
                1 a BumpTestStarted of 30 peak - after 0
                1 +inhibit
                2 a fault adc_rail
                2 zone 0 lost
                2 healthy off
                2 out0 on
                2 out1 on
                2 out2 on
                3 a BumpTestAborted of 30 peak - after 2
                3 a inhibited off
                3 -inhibit
                4 refused in_service
            "#]],
        );
    }

    #[test]
    fn a_cell_out_of_service_is_not_bumped() {
        check(
            &plain(),
            "1 out a | 2 bump a 30 60 | 3 return a | 4 bump a 30 0",
            expect![[r#"
                1 a out_of_service on
                1 +out_of_service
                2 refused out_of_service
                3 a out_of_service off
                3 -out_of_service
                4 refused span_out_of_range
            "#]],
        );
    }
}
