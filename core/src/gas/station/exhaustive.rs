//! The whole reachable state space of alarms with their overlays, faults, votes and outputs, breadth first
//! through the real station, and the safety properties checked on every transition.
//!
//! A state is what can influence the future, with time left out: every input that depends on time is one that
//! lets all of it pass. A state is rebuilt by playing the shortest path to it.
#![allow(clippy::unwrap_used)]

use super::bench::*;
use crate::gas::plan::*;
use crate::gas::status::{Health, Lamp, OverlayKind, Quality};
use crate::gas::*;
use crate::time::Instant;
use std::collections::{HashMap, HashSet, VecDeque};
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

/// What the world or an operator can do. `{cell}` and `{alarm}` are filled in for each.
const INPUTS: &[&str] = &[
    // Three good polls, so that a faulty cell is healthy after them.
    "{cell} 200",
    "{cell} 40",
    "{cell} 0",
    // Five failed polls; a fault by the sensor itself.
    "{cell} x",
    "{cell} !adc_rail",
    "bus0 down",
    "bus0 up",
    "ack {alarm}",
    "ack",
    "reset {alarm}",
    "silence",
    "button",
    "shelve {alarm} 300",
    "unshelve {alarm}",
    "inhibit {cell} 300",
    "out {cell}",
    "return {cell}",
    // Everything that ends by itself ends; nobody polled meanwhile.
    "wait",
    // The process is killed and started again on what it had saved.
    "restart",
];

/// Where nothing depends on fault alarms (no loss action), they are left out, and the bus with them.
fn inputs(plan: &TestPlan) -> Vec<String> {
    let faults = plan.zones[0].loss_stage > 0;
    let mut all = Vec::new();
    for input in INPUTS {
        if input.starts_with("bus0") && !faults {
            continue;
        }
        if input.contains("{cell}") {
            let cells = 0..plan.cells.len() as u8;
            all.extend(
                cells.map(|cell| input.replace("{cell}", &char::from(b'a' + cell).to_string())),
            );
        } else if input.contains("{alarm}") {
            let stages = plan
                .set_points
                .iter()
                .map(|plan| format!("ap{}", plan.stage));
            let cells = (0..plan.cells.len() as u8).map(|cell| char::from(b'a' + cell).to_string());
            let names: Vec<String> = stages.chain(cells).chain(["bus0".to_string()]).collect();
            all.extend(names.iter().map(|name| input.replace("{alarm}", name)));
        } else {
            all.push((*input).to_string());
        }
    }
    all
}

/// One state of everything that matters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct View {
    gas: Vec<GasAlarm>,
    faults: Vec<(AlarmState, bool)>,
    /// Starting, faulty, inhibited or out of service.
    cells: Vec<(bool, bool, Option<OverlayKind>)>,
    bus_up: bool,
    level: u8,
    health: Health,
    horn: bool,
    outputs: Vec<Lamp>,
    healthy: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct GasAlarm {
    state: AlarmState,
    silenced: bool,
    overlay: Option<OverlayKind>,
    over: CellSet,
    frozen: CellSet,
    k_eff: u8,
}

struct Run {
    bench: Bench,
    now: u64,
    raised: usize,
}

impl Run {
    fn new(plan: &TestPlan) -> Self {
        let mut bench = Bench::new(plan);
        bench.play("0 bus0 up");
        Self {
            bench,
            now: 0,
            raised: 0,
        }
    }

    fn apply(&mut self, input: &str) {
        self.bench.log.clear();
        let words: Vec<&str> = input.split(' ').collect();
        let repeats = match words[..] {
            ["wait"] => {
                self.now += 9 * 3600;
                self.bench.run_to(Instant::from_secs(self.now));
                self.count_raised();
                return;
            }
            ["restart"] => {
                self.restart();
                return;
            }
            [cell, "x"] if cell.len() == 1 => 5,
            [cell, _] if cell.len() == 1 => 3,
            _ => 1,
        };
        // Inputs between two waits share an instant: otherwise a cell would fall silent on the way.
        for _ in 0..repeats {
            self.bench.play(&format!("{} {input}", self.now));
        }
        self.count_raised();
    }

    fn restart(&mut self) {
        let mut buffer = [0; 4096];
        let length = self.bench.station.save(&mut buffer).unwrap();
        let plan = self.bench.station.plan().clone();
        let now = Instant::from_secs(self.now);
        self.bench.station = TestStation::new(&plan, now);
        self.bench.station.load(&buffer[..length], None).unwrap();
        self.bench.run_to(now);
        self.bench.play(&format!("{} bus0 up", self.now));
        self.count_raised();
    }

    fn count_raised(&mut self) {
        self.raised = self
            .bench
            .log
            .lines()
            .filter(|line| line.contains("ActiveUnack"))
            .count();
    }

    fn view(&self) -> View {
        let station = &self.bench.station;
        let plan = station.plan();
        let cells = || (0..plan.cells.len() as u8).map(CellIndex);
        let alarm = |key| station.alarm(key).unwrap();
        let mut faults: Vec<_> = cells().map(AlarmKey::Cell).map(alarm).collect();
        faults.push(alarm(AlarmKey::Bus(BusIndex(0))));
        View {
            gas: (0..plan.set_points.len() as u8)
                .map(SetPointIndex)
                .map(|at| {
                    let status = station.set_point(at);
                    GasAlarm {
                        state: status.alarm.state,
                        silenced: status.alarm.silenced && status.alarm.state.is_unacknowledged(),
                        overlay: status.alarm.overlay.map(|overlay| overlay.kind),
                        over: status.over,
                        frozen: status.frozen,
                        k_eff: status.k_eff,
                    }
                })
                .collect(),
            faults: faults
                .iter()
                .filter(|_| plan.zones[0].loss_stage > 0)
                .map(|alarm| {
                    (
                        alarm.state,
                        alarm.silenced && alarm.state.is_unacknowledged(),
                    )
                })
                .collect(),
            cells: cells()
                .map(|cell| station.cell(cell))
                .map(|cell| {
                    let starting = cell.quality == Quality::Starting;
                    (
                        starting,
                        cell.fault.is_some(),
                        cell.mask.map(|mask| mask.kind),
                    )
                })
                .collect(),
            bus_up: station.site().healthy_signal || !self.bus_lost(),
            level: station.zone(ZoneIndex(0)).level.0,
            health: station.zone(ZoneIndex(0)).health,
            horn: station.site().horn.on,
            outputs: (0..plan.outputs.len() as u8)
                .map(|output| station.output(OutputIndex(output)).lamp)
                .collect(),
            healthy: station.site().healthy_signal,
        }
    }

    fn bus_lost(&self) -> bool {
        self.bench
            .station
            .alarm(AlarmKey::Bus(BusIndex(0)))
            .unwrap()
            .state
            .is_active()
    }
}

/// Everything that must hold in a state, worked out anew from the rules.
fn check_state(plan: &TestPlan, view: &View, path: &[String]) {
    let driving = |gas: &GasAlarm| gas.state.is_on() && gas.overlay.is_none();
    let highest = |wanted: &dyn Fn(&GasAlarm) -> bool| {
        let pairs = plan.set_points.iter().zip(&view.gas);
        pairs
            .filter(|(_, gas)| wanted(gas))
            .map(|(plan, _)| plan.stage)
            .max()
            .unwrap_or(0)
    };
    let level = highest(&|gas| gas.state.is_on());
    assert_eq!(
        view.level, level,
        "level is the highest stage active or latched: {path:?}"
    );
    let lost = view.cells.iter().all(|(_, fault, _)| *fault);
    assert_eq!(view.health == Health::Lost, lost, "{path:?}");

    let stage_on = highest(&driving);
    let loss_stage = if lost { plan.zones[0].loss_stage } else { 0 };
    let sounds =
        |gas: &GasAlarm| gas.state.is_unacknowledged() && !gas.silenced && gas.overlay.is_none();
    assert_eq!(
        view.horn,
        view.gas.iter().any(sounds),
        "silence and overlays stop the horn: {path:?}"
    );
    let fault_sounds = view
        .faults
        .iter()
        .take(plan.cells.len())
        .any(|(state, silenced)| state.is_unacknowledged() && !silenced);
    for (at, output) in plan.outputs.iter().enumerate() {
        let naming = plan
            .set_points
            .iter()
            .zip(&view.gas)
            .filter(|(plan, _)| plan.actions.iter().any(|action| action.output.at() == at));
        let naming: Vec<_> = naming.collect();
        let on = naming
            .iter()
            .any(|(plan, gas)| driving(gas) || plan.stage < stage_on || plan.stage <= loss_stage);
        let returned = naming
            .iter()
            .any(|(_, gas)| gas.state == AlarmState::RtnUnack && gas.overlay.is_none());
        let stage_sounds = highest(&|gas| gas.state.is_on() && sounds(gas));
        let horn = naming.iter().any(|(plan, gas)| {
            sounds(gas) || plan.stage < stage_sounds || (plan.stage <= loss_stage && fault_sounds)
        });
        let expected = match output.kind {
            OutputKind::Relay if on => Lamp::On,
            OutputKind::Led if on => Lamp::On,
            OutputKind::Led if returned => Lamp::Flash,
            OutputKind::Horn if horn => Lamp::On,
            _ => Lamp::Off,
        };
        assert_eq!(
            view.outputs[at], expected,
            "outputs follow state, out{at}: {path:?}\n{view:?}"
        );
    }
    let not_good = |(starting, fault, _): &(bool, bool, _)| *starting || *fault;
    let fault = view.cells.iter().any(not_good) || !view.bus_up;
    assert_eq!(
        view.healthy, !fault,
        "the healthy signal drops while any fault: {path:?}"
    );
    for (plan, gas) in plan.set_points.iter().zip(&view.gas) {
        let stands = gas.over.len() >= gas.k_eff;
        assert_eq!(
            gas.state.is_active(),
            stands,
            "active is what the votes say: {path:?}"
        );
        if plan.latching {
            assert_ne!(
                gas.state,
                AlarmState::RtnUnack,
                "latching never just returns: {path:?}"
            );
        } else {
            let latched = matches!(gas.state, AlarmState::LatchedUnack | AlarmState::LatchedAck);
            assert!(!latched, "{path:?}");
        }
    }
}

/// Everything that must hold for one transition.
fn check_transition(
    plan: &TestPlan,
    before: &View,
    input: &str,
    after: &View,
    run: &Run,
    path: &[String],
) {
    let verb = input.split(' ').next().unwrap();
    let is_ack = verb == "ack";
    let is_fault = input.ends_with(" x") || input.ends_with("!adc_rail") || verb == "bus0";
    let is_overlay = ["shelve", "unshelve", "inhibit", "out"].contains(&verb);
    let resets = verb == "reset" || verb == "button";
    for (at, (old, new)) in before.gas.iter().zip(&after.gas).enumerate() {
        let context = format!(
            "ap{} {old:?} -> {new:?} by {input:?} after {path:?}",
            plan.set_points[at].stage
        );
        if is_ack || verb == "silence" {
            assert_eq!(
                old.state.is_active(),
                new.state.is_active(),
                "an ack clears nothing: {context}"
            );
            assert_eq!(old.state.is_on(), new.state.is_on(), "{context}");
        }
        if is_fault {
            assert!(
                !old.state.is_on() || new.state.is_on(),
                "a fault clears no alarm: {context}"
            );
            assert!(
                !old.state.is_active() || new.state == old.state,
                "{context}"
            );
            assert!(
                new.overlay.is_none() || old.overlay.is_some(),
                "a fault hides none: {context}"
            );
            assert!(after.level >= before.level, "{context}");
        }
        if is_overlay {
            // A cell that is taken out of the vote is not waited for, so another's may suffice; nothing else.
            let fewer = new.state == AlarmState::ActiveUnack && new.k_eff < old.k_eff;
            assert!(
                old.state == new.state || fewer,
                "an overlay changes no state: {context}"
            );
        }
        if !old.state.is_active() && new.state.is_active() {
            assert_eq!(
                new.state,
                AlarmState::ActiveUnack,
                "a re-fire un-acknowledges: {context}"
            );
            assert!(!new.silenced, "{context}");
            assert!(run.raised > 0, "told: {context}");
        }
        if plan.set_points[at].latching && old.state.is_on() && !new.state.is_on() {
            assert!(resets, "only a reset ends a latched alarm: {context}");
            assert_eq!(old.state, AlarmState::LatchedAck, "{context}");
            assert!(
                new.over.len() < new.k_eff,
                "after its condition ended: {context}"
            );
        }
        if verb == "silence" {
            assert_eq!(
                old.state, new.state,
                "silence stops only the horn: {context}"
            );
        }
    }
    for (at, output) in plan.outputs.iter().enumerate() {
        let unchanged = match output.kind {
            OutputKind::Relay => is_ack || verb == "silence",
            OutputKind::Led => verb == "silence",
            OutputKind::Horn => false,
        };
        if unchanged {
            assert_eq!(
                before.outputs[at], after.outputs[at],
                "out{at} by {input:?}: {path:?}"
            );
        }
    }
    if verb == "silence" {
        assert_eq!((before.level, before.health), (after.level, after.health));
        assert_eq!(before.healthy, after.healthy);
    }
}

/// Explores everything; returns how many states and transitions there are.
fn explore(plan: &TestPlan) -> (usize, usize) {
    let inputs = inputs(plan);
    let start = Run::new(plan).view();
    check_state(plan, &start, &[]);
    let mut paths: HashMap<View, Vec<String>> = HashMap::from([(start.clone(), Vec::new())]);
    let mut edges: HashMap<View, HashSet<View>> = HashMap::new();
    let mut queue = VecDeque::from([start.clone()]);
    let mut transitions = 0;
    while let Some(before) = queue.pop_front() {
        let path = paths[&before].clone();
        for input in &inputs {
            let mut run = Run::new(plan);
            for step in &path {
                run.apply(step);
            }
            assert_eq!(run.view(), before, "the path leads back: {path:?}");
            run.apply(input);
            let after = run.view();
            transitions += 1;
            check_transition(plan, &before, input, &after, &run, &path);
            edges
                .entry(before.clone())
                .or_default()
                .insert(after.clone());
            if !paths.contains_key(&after) {
                let mut longer = path.clone();
                longer.push(input.clone());
                check_state(plan, &after, &longer);
                paths.insert(after.clone(), longer);
                queue.push_back(after);
            }
        }
    }
    check_exits(&start, &paths, &edges);
    (paths.len(), transitions)
}

/// From every state the quiet one can be reached again.
fn check_exits(
    quiet: &View,
    paths: &HashMap<View, Vec<String>>,
    edges: &HashMap<View, HashSet<View>>,
) {
    let mut back: HashMap<&View, Vec<&View>> = HashMap::new();
    for (from, all) in edges {
        for to in all {
            back.entry(to).or_default().push(from);
        }
    }
    let (mut reached, mut queue) = (HashSet::from([quiet]), VecDeque::from([quiet]));
    while let Some(to) = queue.pop_front() {
        for &from in back.get(to).into_iter().flatten() {
            if reached.insert(from) {
                queue.push_back(from);
            }
        }
    }
    for (state, path) in paths {
        assert!(
            reached.contains(state),
            "no way back to quiet from {path:?}"
        );
    }
}

/// A zone with a set point of each kind of output.
fn site(cells: u8, set_points: &[(u8, f64, bool, u8)]) -> TestPlan {
    let mut plan = zone_of(cells);
    for &(stage, on, latching, vote_k) in set_points {
        let mut set_point = set_point(&plan, stage, on, 5.0);
        set_point.latching = latching;
        set_point.vote_k = vote_k;
        for kind in [OutputKind::Relay, OutputKind::Led, OutputKind::Horn] {
            switches(&mut plan, &mut set_point, kind, ActionMode::Follow);
        }
        plan.set_points.push(set_point).unwrap();
    }
    plan
}

#[test]
fn every_state_of_a_plain_alarm() {
    let (states, transitions) = explore(&site(1, &[(1, 150.0, false, 1)]));
    expect_test::expect!["2340 states, 63180 transitions"]
        .assert_eq(&format!("{states} states, {transitions} transitions"));
}

#[test]
fn every_state_of_a_latching_alarm() {
    let (states, transitions) = explore(&site(1, &[(3, 150.0, true, 1)]));
    expect_test::expect!["1380 states, 37260 transitions"]
        .assert_eq(&format!("{states} states, {transitions} transitions"));
}

#[test]
fn every_state_of_a_vote_of_two() {
    let mut plan = site(2, &[(2, 150.0, true, 2)]);
    plan.zones[0].loss_stage = 0;
    let (states, transitions) = explore(&plan);
    expect_test::expect!["2178 states, 80586 transitions"]
        .assert_eq(&format!("{states} states, {transitions} transitions"));
}

#[test]
fn every_state_of_two_stages() {
    let mut plan = site(1, &[(1, 30.0, false, 1), (3, 150.0, true, 1)]);
    plan.zones[0].loss_stage = 0;
    let (states, transitions) = explore(&plan);
    expect_test::expect!["576 states, 16704 transitions"]
        .assert_eq(&format!("{states} states, {transitions} transitions"));
}
