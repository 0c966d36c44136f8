#![allow(clippy::unwrap_used)]
//! Scripts: `seconds mains on|off | seconds 11.9V [-0.6A] | seconds .` (a deadline run), transcript of news.

use super::*;
use crate::power::Chemistry;
use expect_test::{Expect, expect};
use std::format;
use std::string::String;

fn plan() -> SupplyPlan {
    SupplyPlan {
        chemistry: Chemistry::Agm,
        cells: 6,
        capacity_mah: 7_200,
        r_internal_mohm: 0,
        min_soc: PerMille(200),
        load_ma: 450,
        mains_fault: true,
        table: None,
        test_every_days: None,
    }
}

struct Bench {
    supply: Supply,
    plan: SupplyPlan,
    reading: SupplyReading,
    log: String,
}

impl Bench {
    fn new(plan: SupplyPlan) -> Self {
        let reading = SupplyReading {
            mains: Some(true),
            battery: Some(MilliVolt(12_600)),
            ..SupplyReading::default()
        };
        Self {
            supply: Supply::new(Instant::ZERO),
            plan,
            reading,
            log: String::new(),
        }
    }

    fn tell(&mut self, at: Instant, news: News) {
        for item in news {
            let s = at.as_millis() as f64 / 1000.0;
            let text = match item {
                SupplyNews::State(state) => format!("{s} {}", state.as_str()),
                SupplyNews::Test(test) => format!("{s} test {test:?}"),
                SupplyNews::ShutdownAdvised => format!("{s} shut down"),
            };
            self.log.push_str(&text);
            self.log.push('\n');
        }
    }

    fn run_to(&mut self, now: Instant, inclusive: bool, from: Instant) {
        let mut at = from;
        while let Some(due) = self.supply.deadline(at) {
            if due > now || (due == now && !inclusive) {
                break;
            }
            let news = self.supply.timeout(due, &self.plan);
            self.tell(due, news);
            at = due;
        }
    }

    fn play(&mut self, script: &str) {
        let mut last = Instant::ZERO;
        for step in script.split('|') {
            let words: std::vec::Vec<_> = step.split_whitespace().collect();
            let now = Instant::from_millis((words[0].parse::<f64>().unwrap() * 1000.0) as u64);
            self.run_to(now, false, last);
            for word in &words[1..] {
                match *word {
                    "on" => self.reading.mains = Some(true),
                    "off" => self.reading.mains = Some(false),
                    "test" => self.supply.start_test(now),
                    "nobattery" => self.reading.battery = None,
                    "chargerfault" => self.reading.charger_fault = true,
                    "." => {}
                    word if word.ends_with('V') => {
                        let volts: f64 = word[..word.len() - 1].parse().unwrap();
                        self.reading.battery = Some(MilliVolt((volts * 1000.0).round() as i32));
                    }
                    word if word.ends_with('A') => {
                        let amps: f64 = word[..word.len() - 1].parse().unwrap();
                        self.reading.current = Some(MicroAmp((amps * 1e6).round() as i32));
                    }
                    word => panic!("{word}"),
                }
            }
            if words.get(1) != Some(&".") {
                let news = self.supply.reading(now, &self.plan, self.reading);
                self.tell(now, news);
            }
            self.run_to(now, true, last);
            last = now;
        }
    }
}

fn check(script: &str, expect: Expect) {
    let mut bench = Bench::new(plan());
    bench.play(script);
    expect.assert_eq(&bench.log);
}

#[test]
fn golden_mains_lost_and_back() {
    check(
        "0 on | 10 off | 11.9 on | 20 off | 21.9 off | 22 . | 30 on | 38.9 on | 39 off | 39.5 on | 45 on | 49.4 on | 49.5 .",
        expect![[r#"
            0 mains
            22 on_battery
            49.5 mains
        "#]],
    );
}

#[test]
fn a_battery_runs_down() {
    check(
        "0 on | 10 off | 12 12.3V | 100 12.14V | 200 11.9V | 210 . | 240 . | 300 on 13.5V | 310 .",
        expect![[r#"
            0 mains
            12 on_battery
            100 battery_low
            210 battery_critical
            240 shut down
            310 mains
        "#]],
    );
}

#[test]
fn a_dip_under_load_is_not_critical() {
    check(
        "0 on | 10 off | 20 12.6V | 30 10.7V | 39 12.5V | 60 .",
        expect![[r#"
            0 mains
            12 on_battery
            30 battery_low
        "#]],
    );
}

#[test]
fn a_missing_battery_is_seen_on_mains() {
    check(
        "0 on | 5 4.9V | 10 12.6V | 15 15.6V | 20 12.6V | 25 nobattery | 30 12.6V | 35 chargerfault",
        expect![[r#"
            0 mains
            5 battery_fault
            10 mains
            15 battery_fault
            20 mains
            25 battery_fault
            30 mains
            35 battery_fault
        "#]],
    );
}

#[test]
fn a_battery_test_fails_below_twelve_volts() {
    check(
        "0 on 13.6V | 10 test | 609 12.1V | 610 . | 700 test | 1299 11.9V | 1300 . | 1400 test | 1999 12.4V | 2000 .",
        expect![[r#"
            0 mains
            610 test Passed
            1300 battery_fault
            1300 test Failed
            2000 mains
            2000 test Passed
        "#]],
    );
}

#[test]
fn a_test_ends_when_mains_is_lost() {
    check(
        "0 on 13.6V | 10 test | 20 off | 22 .",
        expect![[r#"
        0 mains
        20 test Aborted
        22 on_battery
    "#]],
    );
}

#[test]
fn golden_floating_keeps_the_last_charge() {
    let mut bench = Bench::new(SupplyPlan {
        chemistry: Chemistry::Flooded,
        ..plan()
    });
    bench.play("0 off 12.56V | 10 on 13.65V");
    let status = bench.supply.status(&bench.plan);
    assert_eq!((status.soc, status.charging), (Some(PerMille(850)), true));
    bench.play("10 13.65V | 21610 13.65V");
    assert_eq!(
        bench.supply.status(&bench.plan).soc,
        Some(PerMille(1000)),
        "full after six hours"
    );
}

#[test]
fn a_current_sensor_counts_and_rest_anchors() {
    let mut bench = Bench::new(plan());
    // Half an hour of rest anchors at 75 %; then 0.72 A for an hour take 10 % of 7.2 Ah.
    bench.play("0 on 12.6V 0.01A | 1800 12.6V | 1801 off 12.3V -0.72A | 5401 12.2V");
    assert_eq!(bench.supply.status(&bench.plan).soc, Some(PerMille(649)));
    assert_eq!(
        bench.supply.status(&bench.plan).remaining,
        plan().remaining(PerMille(649), 720)
    );
}
