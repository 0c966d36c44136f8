//! Another plan without a restart: what stands keeps standing.

use super::Station;
use crate::gas::index::CellIndex;
use crate::gas::plan::CellPlan;
use crate::gas::set_point::Votes;

/// Where each position of the new plan was in the old one; `None` = it is new. By position in the new plan;
/// a slice that is too short means `None` for the rest.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moves<'a> {
    /// Cells: the same place, gas and unit.
    pub cells: &'a [Option<u8>],
    /// Zones.
    pub zones: &'a [Option<u8>],
    /// Set points.
    pub set_points: &'a [Option<u8>],
    /// Outputs.
    pub outputs: &'a [Option<u8>],
    /// Buses.
    pub buses: &'a [Option<u8>],
}

impl<const C: usize, const Z: usize, const S: usize, const O: usize, const B: usize, const N: usize>
    Station<C, Z, S, O, B, N>
{
    /// Takes over everything that `old` knows, at the same instant of the same clock: alarms with latches and
    /// acknowledgements, contributions, faults, averages, outputs with their times, supply and operating time.
    /// Call once, right after [`new`](Self::new), with `old` drained; what differs is told by the next step.
    ///
    /// A cell whose range, curve or bands differ measures something else from now on: it starts anew, and only
    /// its overlay and its frozen contributions come along. A set point whose limit or delays differ keeps its
    /// alarm and is weighed anew with the next reading.
    pub fn take_over(&mut self, old: &mut Self, moves: &Moves<'_>) {
        let now = self.now.max(old.now);
        self.now = now;
        self.take_cells(old, moves);
        self.take_set_points(old, moves);
        for (at, from) in pairs(moves.zones, self.plan.zones.len(), old.plan.zones.len()) {
            self.zones[at] = old.zones[from];
        }
        for (at, from) in pairs(
            moves.outputs,
            self.plan.outputs.len(),
            old.plan.outputs.len(),
        ) {
            self.outputs[at] = old.outputs[from];
            self.output_alarms[at] = old.output_alarms[from];
        }
        let buses = [self.plan.buses, old.plan.buses].map(|count| usize::from(count).min(B));
        for (at, from) in pairs(moves.buses, buses[0], buses[1]) {
            self.bus_up[at] = old.bus_up[from];
            self.bus_alarms[at] = old.bus_alarms[from];
        }
        if self.supply.is_some() && old.supply.is_some() {
            self.supply = old.supply.take();
            self.power_alarm = old.power_alarm;
        }
        core::mem::swap(&mut self.runtime, &mut old.runtime);
        self.battery_test_at_s = old.battery_test_at_s;
        self.service_state = old.service_state;
        self.check_states = old.check_states;
        self.special = old.special;
        self.healthy = old.healthy;
        self.horn = old.horn;
        self.lamp_test_until = old.lamp_test_until;
        self.self_test_ok = old.self_test_ok;
        self.settle();
    }

    fn take_cells(&mut self, old: &mut Self, moves: &Moves<'_>) {
        let (new_windows, old_windows) = (self.windows, old.windows);
        for (at, from) in pairs(moves.cells, self.plan.cells.len(), old.plan.cells.len()) {
            self.cell_alarms[at] = old.cell_alarms[from];
            if measures_the_same(&self.plan.cells[at], &old.plan.cells[from]) {
                core::mem::swap(&mut self.cells[at], &mut old.cells[from]);
                if new_windows != old_windows {
                    let history = &mut self.cells[at].history;
                    history.advance(self.now, &old_windows);
                    history.rewindow(&new_windows);
                }
            } else {
                self.cells[at].mask = old.cells[from].mask;
            }
        }
    }

    fn take_set_points(&mut self, old: &Self, moves: &Moves<'_>) {
        let counts = (self.plan.set_points.len(), old.plan.set_points.len());
        for (at, from) in pairs(moves.set_points, counts.0, counts.1) {
            self.alarms[at] = old.alarms[from];
            let (plan, before) = (&self.plan.set_points[at], &old.plan.set_points[from]);
            let same = plan.quantity == before.quantity
                && plan.direction == before.direction
                && (plan.on, plan.hysteresis) == (before.on, before.hysteresis)
                && (plan.on_delay, plan.off_delay) == (before.on_delay, before.off_delay);
            let mut votes = Votes::new();
            for cell in plan.cells.iter() {
                let Some(was) = moves.cells.get(cell.at()).copied().flatten() else {
                    continue;
                };
                votes.inherit(cell, &old.votes[from], CellIndex(was), same);
            }
            self.votes[at] = votes;
            self.freeze_if_active(at);
            if old.driven & 1 << from != 0 {
                self.driven |= 1 << at;
            }
        }
    }
}

/// Readings before and after mean the same.
fn measures_the_same(new: &CellPlan, old: &CellPlan) -> bool {
    (new.range_lo, new.range_hi) == (old.range_lo, old.range_hi)
        && new.curve == old.curve
        && new.bands == old.bands
}

/// New and old positions that exist on both sides; no old one twice.
fn pairs(
    moves: &[Option<u8>],
    new: usize,
    old: usize,
) -> impl Iterator<Item = (usize, usize)> + '_ {
    let first = move |at: usize| !moves[..at].contains(&moves[at]);
    (0..moves.len().min(new))
        .filter(move |&at| first(at))
        .filter_map(move |at| Some((at, usize::from(moves[at]?))))
        .filter(move |&(_, from)| from < old)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::gas::plan::*;
    use crate::gas::station::bench::*;
    use crate::gas::{AlarmState, OutputIndex, SetPointIndex, ZoneIndex};
    use crate::time::Duration;
    use expect_test::expect;

    /// AP1 on the average of a minute drives a relay, AP3 latches and drives another.
    fn site(cells: u8) -> TestPlan {
        let mut plan = zone_of(cells);
        let mut ap1 = averaged(set_point(&plan, 1, 30.0, 5.0), 60);
        switches(&mut plan, &mut ap1, OutputKind::Relay, ActionMode::Follow);
        let mut ap3 = latching(set_point(&plan, 3, 150.0, 10.0));
        switches(&mut plan, &mut ap3, OutputKind::Relay, ActionMode::Follow);
        plan.set_points.extend([ap1, ap3]);
        plan
    }

    fn switch(bench: &mut Bench, plan: &TestPlan, moves: &Moves<'_>) {
        bench.drain();
        bench.log.clear();
        let now = bench.station.now();
        let mut next = TestStation::new(plan, now);
        next.take_over(&mut bench.station, moves);
        bench.station = next;
        bench.run_to(now);
    }

    const SAME: &[Option<u8>] = &[Some(0), Some(1), Some(2), Some(3)];

    fn same() -> Moves<'static> {
        Moves {
            cells: SAME,
            zones: SAME,
            set_points: SAME,
            outputs: SAME,
            buses: SAME,
        }
    }

    #[test]
    fn the_same_plan_again_says_nothing_and_goes_on() {
        let plan = site(2);
        let mut bench = Bench::new(&plan);
        bench.play("0..60/5 a 40 b 10 | 61 a 151 | 62 ack | 63 a 10");
        assert_eq!(bench.zone(), "ap3");
        let before = bench.station.memory();
        let average = bench.station.average(CellIndex(0), 60);
        switch(&mut bench, &plan, &same());
        assert_eq!(bench.log, "", "nothing changed, nothing is told");
        assert_eq!(bench.station.memory(), before);
        assert_eq!(bench.station.average(CellIndex(0), 60), average);
        bench.play("64 reset ap3 | 65..130/5 a 0 b 0");
        assert_eq!(bench.zone(), "normal");
    }

    #[test]
    fn cells_and_set_points_that_moved_keep_what_they_have() {
        let plan = site(2);
        let mut bench = Bench::new(&plan);
        bench.play("0..60/5 a 10 b 40 | 61 b 151 | 62 ack | 63 b 20");
        // A new cell in front; the set points change places, and with them their outputs.
        let mut next = site(3);
        next.set_points.reverse();
        let moves = Moves {
            cells: &[None, Some(0), Some(1)],
            set_points: &[Some(1), Some(0)],
            ..same()
        };
        switch(&mut bench, &next, &moves);
        expect![[r#"
            63 +starting
            63 healthy off
        "#]]
        .assert_eq(&bench.log);
        assert_eq!(bench.zone(), "ap3");
        let state = |bench: &Bench, at| bench.station.set_point(SetPointIndex(at)).alarm.state;
        assert_eq!(state(&bench, 0), AlarmState::LatchedAck);
        assert_eq!(state(&bench, 1), AlarmState::ActiveAck);
        assert!(
            bench
                .station
                .contributions(SetPointIndex(1))
                .contains(CellIndex(2))
        );
        assert!(bench.station.output(OutputIndex(0)).on && bench.station.output(OutputIndex(1)).on);
        bench.log.clear();
        bench.play("64 a 0 b 10 c 20");
        expect![[r#"
            64 -starting
            64 healthy on
        "#]]
        .assert_eq(&bench.log);
    }

    #[test]
    fn a_new_limit_is_weighed_with_the_next_reading() {
        let plan = site(1);
        let mut bench = Bench::new(&plan);
        bench.play("1 a 100");
        let mut next = site(1);
        next.set_points[1].on = milli(90.0);
        switch(&mut bench, &next, &same());
        assert_eq!(bench.log, "");
        bench.play("2 a 100");
        expect![[r#"
            2 ap3 ActiveUnack 100
            2 zone 0 ap3
            2 horn on
            2 out0 on
            2 out1 on
        "#]]
        .assert_eq(&bench.log);
        switch(&mut bench, &plan, &same());
        bench.play("3 a 100");
        expect![[r#"
            3 ap3 LatchedUnack 100
        "#]]
        .assert_eq(&bench.log);
    }

    #[test]
    fn a_running_delay_survives_and_a_changed_one_starts_anew() {
        let mut plan = site(1);
        plan.set_points[1].on_delay = Duration::from_secs(10);
        let mut bench = Bench::new(&plan);
        bench.play("0 a 160 | 6 a 160");
        switch(&mut bench, &plan, &same());
        bench.play("10 a 160");
        assert_eq!(bench.zone(), "ap3", "counted from 0");

        let mut bench = Bench::new(&plan);
        bench.play("0 a 160 | 6 a 160");
        let mut longer = plan.clone();
        longer.set_points[1].on_delay = Duration::from_secs(20);
        switch(&mut bench, &longer, &same());
        bench.play("7..26/1 a 160");
        assert_eq!(bench.zone(), "normal");
        bench.play("27 a 160");
        assert_eq!(bench.zone(), "ap3", "counted from the first reading after");
    }

    #[test]
    fn a_new_range_starts_the_cell_anew_and_lets_no_alarm_go() {
        let plan = site(1);
        let mut bench = Bench::new(&plan);
        bench.play("0 a 151 | 1 out a");
        let mut next = site(1);
        next.cells[0].range_hi = milli(500.0);
        next.cells[0].curve = CellPlan::new(milli(0.0), milli(500.0)).curve;
        switch(&mut bench, &next, &same());
        let station = &bench.station;
        assert_eq!(station.zone(ZoneIndex(0)).level.0, 3);
        assert!(station.cell(CellIndex(0)).mask.is_some());
        assert_eq!(station.cell(CellIndex(0)).value, None);
    }

    #[test]
    fn other_windows_are_summed_from_the_same_buckets() {
        let plan = site(1);
        let mut bench = Bench::new(&plan);
        bench.play("0..120/5 a 40 | 125..240/5 a 10");
        let mut next = site(1);
        next.windows = heapless::Vec::from_array([60, 200]);
        switch(&mut bench, &next, &same());
        let average = |window| bench.station.average(CellIndex(0), window).unwrap();
        assert_eq!(average(60).value(), Some(milli(10.0)));
        assert_eq!(average(200).covered, Duration::from_secs(200));
        // 40..125 s at 40, the rest at 10: (85 * 40 + 115 * 10) / 200.
        assert_eq!(average(200).value(), Some(milli(22.75)));
        assert_eq!(bench.station.average(CellIndex(0), 900), None);
    }
}
