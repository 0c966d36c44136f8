//! A day in an underground garage, from a seed and without a clock.
//!
//! Cars drive in at the rush hour, carbon monoxide and nitrogen dioxide rise, the fans that the gateway's
//! relays switch on thin them out, and afterwards the air clears. Now and then a sensor falls silent or the
//! mains fail. One round takes [`ROUND_S`] seconds, so that a visitor sees every alarm stage, the horn, the
//! return, a fault and a mains failure within five minutes. The first round is the same for every seed;
//! later ones vary.
//!
//! The numbers are chosen to be seen, not to model a real garage: gas that takes ten minutes there takes
//! one here.

use leitstand_core::time::Duration;

/// Length of one round of the day, in scenario seconds.
pub const ROUND_S: f64 = 300.0;
/// Levels of the garage, each with one CO/NO2 combi sensor. Level 0 has the entry ramp.
pub const LEVELS: usize = 4;

/// One step of the integration.
const STEP: Duration = Duration::from_millis(100);
/// Natural exchange of air, per second.
const DRAUGHT: f64 = 0.008;
/// What the low fan speed adds.
const FAN_LOW: f64 = 0.012;
/// What the high fan speed adds on top.
const FAN_HIGH: f64 = 0.020;
/// CO of the queue at the ramp at its longest, in ppm a second. Reasoning: with both fan speeds on, the air
/// settles at 7.6 / 0.04 = 190 ppm, above the direct alarm at 150, so that AP3 comes in spite of the fans.
const PEAK_PPM_PER_S: f64 = 7.6;
/// How much of the ramp's exhaust each level gets.
const SHARE: [f64; LEVELS] = [1.0, 0.72, 0.45, 0.28];
/// Parts of NO2 for one part of CO.
const NO2_PER_CO: f64 = 1.0 / 42.0;

/// What the gateway's relays do to the air.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fans {
    /// Low speed is on.
    pub low: bool,
    /// High speed is on.
    pub high: bool,
}

/// What happens in the garage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// A car now and then.
    Quiet,
    /// A queue with running engines.
    RushHour,
    /// The queue has gone, the air clears.
    Clearing,
}

impl Phase {
    /// Stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::RushHour => "rush_hour",
            Self::Clearing => "clearing",
        }
    }
}

/// When things happen in one round, in seconds from its start.
#[derive(Clone, Copy, Debug)]
struct Round {
    rush_from: f64,
    /// Share of the usual queue.
    rush_size: f64,
    mains_lost: Option<(f64, f64)>,
    /// A silent sensor: level, from, to.
    silent: Option<(usize, f64, f64)>,
}

const RAMP_UP_S: f64 = 60.0;
const HOLD_S: f64 = 15.0;
const RAMP_DOWN_S: f64 = 15.0;

impl Round {
    const FIRST: Self = Self {
        rush_from: 12.0,
        rush_size: 1.0,
        mains_lost: Some((150.0, 195.0)),
        silent: Some((LEVELS - 1, 215.0, 245.0)),
    };

    fn later(rng: &mut Rng) -> Self {
        let rush_from = rng.between(10.0, 60.0);
        let mains_lost = rng.chance(0.5).then(|| {
            let from = rng.between(150.0, 200.0);
            (from, from + rng.between(20.0, 60.0))
        });
        let silent = rng.chance(0.6).then(|| {
            let from = rng.between(20.0, 240.0);
            (rng.below(LEVELS), from, from + rng.between(15.0, 45.0))
        });
        Self {
            rush_from,
            rush_size: rng.between(0.35, 1.1),
            mains_lost,
            silent,
        }
    }

    fn traffic(&self, t: f64) -> f64 {
        let t = t - self.rush_from;
        let queue = if t < 0.0 {
            0.0
        } else if t < RAMP_UP_S {
            t / RAMP_UP_S
        } else if t < RAMP_UP_S + HOLD_S {
            1.0
        } else {
            (1.0 - (t - RAMP_UP_S - HOLD_S) / RAMP_DOWN_S).max(0.0)
        };
        queue * self.rush_size
    }

    fn phase(&self, t: f64) -> Phase {
        let rush_end = self.rush_from + RAMP_UP_S + HOLD_S + RAMP_DOWN_S;
        if t < self.rush_from {
            Phase::Quiet
        } else if t < rush_end {
            Phase::RushHour
        } else if t < rush_end + 60.0 {
            Phase::Clearing
        } else {
            Phase::Quiet
        }
    }
}

/// The garage and its supply.
#[derive(Clone, Debug)]
pub struct Scenario {
    rng: Rng,
    /// Time that has passed and is not yet a whole step.
    pending: Duration,
    /// Seconds into the round.
    t: f64,
    rounds: u64,
    round: Round,
    co: [f64; LEVELS],
    /// Slow wander of each cell's reading, in ppm.
    noise: [f64; LEVELS],
    /// Charge of the battery, 0 to 1.
    charge: f64,
    mains_override: Option<bool>,
}

impl Scenario {
    /// The day that belongs to `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            rng: Rng::new(seed),
            pending: Duration::ZERO,
            t: 0.0,
            rounds: 0,
            round: Round::FIRST,
            co: [1.5, 1.0, 0.8, 0.5],
            noise: [0.0; LEVELS],
            charge: 0.97,
            mains_override: None,
        }
    }

    /// Lets `span` of scenario time pass while the fans do what the relays say.
    pub fn advance(&mut self, span: Duration, fans: Fans) {
        // Whole steps only, so that the day does not depend on how often the caller looks.
        self.pending += span;
        while self.pending >= STEP {
            self.pending -= STEP;
            self.step(STEP.as_secs_f64(), fans);
        }
    }

    fn step(&mut self, dt: f64, fans: Fans) {
        self.t += dt;
        if self.t >= ROUND_S {
            self.t -= ROUND_S;
            self.rounds += 1;
            self.round = Round::later(&mut self.rng);
        }
        let exchange = DRAUGHT
            + if fans.low || fans.high { FAN_LOW } else { 0.0 }
            + if fans.high { FAN_HIGH } else { 0.0 };
        let queue = self.round.traffic(self.t) * PEAK_PPM_PER_S;
        for ((co, wander), share) in self.co.iter_mut().zip(&mut self.noise).zip(SHARE) {
            // A lone car passing by keeps the quiet hours from being a flat line.
            let lone = if self.rng.chance(0.02 * dt) {
                self.rng.between(0.5, 2.5)
            } else {
                0.0
            };
            *co += (queue * share - exchange * *co) * dt + lone;
            *co = co.max(0.4);
            *wander += (self.rng.between(-1.0, 1.0) - *wander * 0.5) * dt;
        }
        let flow = if self.mains_ok() { 0.004 } else { -0.006 };
        self.charge = (self.charge + flow * dt).clamp(0.02, 1.0);
    }

    /// CO of `level` in ppm.
    #[must_use]
    pub fn co(&self, level: usize) -> f64 {
        // The wander grows a little with the value, as a real cell's does.
        let value = self.co[level];
        (value + self.noise[level] * (0.4 + value * 0.01)).max(0.0)
    }

    /// NO2 of `level` in ppm.
    #[must_use]
    pub fn no2(&self, level: usize) -> f64 {
        self.co(level) * NO2_PER_CO
    }

    /// What happens now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.round.phase(self.t)
    }

    /// Seconds into this round.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.t
    }

    /// Rounds that are over.
    #[must_use]
    pub fn rounds(&self) -> u64 {
        self.rounds
    }

    /// The level whose sensor is silent now, if one is.
    #[must_use]
    pub fn silent_level(&self) -> Option<usize> {
        self.round
            .silent
            .and_then(|(level, from, to)| (from..to).contains(&self.t).then_some(level))
    }

    /// Whether mains is present.
    #[must_use]
    pub fn mains_ok(&self) -> bool {
        self.mains_override.unwrap_or_else(|| {
            !self
                .round
                .mains_lost
                .is_some_and(|(a, b)| (a..b).contains(&self.t))
        })
    }

    /// Holds mains present or absent; `None` gives it back to the scenario.
    pub fn hold_mains(&mut self, ok: Option<bool>) {
        self.mains_override = ok;
    }

    /// Terminal voltage of the 12 V AGM battery in mV: 13.5 V and above while the charger works, else what
    /// the charge gives under the load.
    #[must_use]
    pub fn battery_mv(&self) -> i32 {
        if self.mains_ok() {
            13_500 + (self.charge * 150.0) as i32
        } else {
            11_850 + (self.charge * 1_000.0) as i32
        }
    }

    /// Battery current in mA, positive while charging.
    #[must_use]
    pub fn battery_ma(&self) -> i32 {
        if self.mains_ok() {
            if self.charge < 0.999 { 600 } else { 20 }
        } else {
            -450
        }
    }
}

/// Splitmix64: one multiplication chain, the same numbers on every platform, no dependency.
#[derive(Clone, Debug)]
struct Rng(u64);

impl Rng {
    fn new(seed: u64) -> Self {
        Self(seed ^ 0x6C65_6974_7374_616E)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + self.unit() * (high - low)
    }

    fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the demo's set points do, in short: a 30 s mean of the two upper levels drives the fans.
    struct Controller {
        history: Vec<f64>,
        fans: Fans,
    }

    impl Controller {
        fn new() -> Self {
            Self {
                history: vec![0.0; 30],
                fans: Fans::default(),
            }
        }

        fn second(&mut self, co: f64) -> f64 {
            self.history.remove(0);
            self.history.push(co);
            let mean = self.history.iter().sum::<f64>() / 30.0;
            self.fans.low = mean >= 30.0 || (self.fans.low && mean >= 25.0);
            self.fans.high = mean >= 60.0 || (self.fans.high && mean >= 50.0);
            mean
        }
    }

    #[test]
    fn the_first_round_shows_every_stage_and_the_return() {
        for seed in 0..200 {
            let mut garage = Scenario::new(seed);
            let mut control = Controller::new();
            let (mut ap1, mut ap2, mut ap3, mut below_ap3, mut clear) =
                (None, None, None, None, None);
            for second in 1..=299 {
                garage.advance(Duration::from_secs(1), control.fans);
                let direct = garage.co(0);
                let mean = control.second(direct);
                if mean >= 30.0 {
                    ap1.get_or_insert(second);
                }
                if mean >= 60.0 {
                    ap2.get_or_insert(second);
                }
                if direct >= 150.0 {
                    ap3.get_or_insert(second);
                }
                if ap3.is_some() && direct < 140.0 {
                    below_ap3.get_or_insert(second);
                }
                if ap3.is_some() && !control.fans.low {
                    clear.get_or_insert(second);
                }
            }
            let all = (ap1, ap2, ap3, below_ap3, clear);
            let (Some(ap1), Some(ap2), Some(ap3), Some(below), Some(clear)) = all else {
                panic!("seed {seed}: {all:?}");
            };
            assert!(
                ap1 < ap2 && ap2 < ap3 && ap3 < below && below < clear,
                "seed {seed}: {all:?}"
            );
            assert!(
                ap3 < 120 && clear < 240,
                "seed {seed}: too slow to watch: {all:?}"
            );
        }
    }

    #[test]
    fn readings_stay_within_what_a_sensor_can_report() {
        for seed in 0..50 {
            let mut garage = Scenario::new(seed);
            for second in 0..3_000 {
                // No fan ever runs: the worst air.
                garage.advance(Duration::from_secs(1), Fans::default());
                for level in 0..LEVELS {
                    assert!(
                        (0.0..1_000.0).contains(&garage.co(level)),
                        "seed {seed} at {second} s"
                    );
                }
                let mv = garage.battery_mv();
                assert!(
                    (11_800..=13_700).contains(&mv),
                    "seed {seed} at {second} s: {mv} mV"
                );
            }
        }
    }

    #[test]
    fn fans_thin_the_air() {
        let mut still = Scenario::new(3);
        let mut moving = Scenario::new(3);
        still.advance(Duration::from_secs(100), Fans::default());
        moving.advance(
            Duration::from_secs(100),
            Fans {
                low: true,
                high: true,
            },
        );
        assert!(
            moving.co(0) < still.co(0) * 0.6,
            "{} against {}",
            moving.co(0),
            still.co(0)
        );
    }

    #[test]
    fn the_same_seed_is_the_same_day() {
        let (mut a, mut b) = (Scenario::new(9), Scenario::new(9));
        a.advance(Duration::from_secs(2_000), Fans::default());
        for _ in 0..2_000 {
            b.advance(Duration::from_secs(1), Fans::default());
        }
        assert_eq!(
            (a.co(0).to_bits(), a.battery_mv()),
            (b.co(0).to_bits(), b.battery_mv())
        );
        let mut c = Scenario::new(10);
        c.advance(Duration::from_secs(2_000), Fans::default());
        assert_ne!(a.co(0).to_bits(), c.co(0).to_bits());
    }

    #[test]
    fn mains_fails_in_the_first_round_and_comes_back() {
        let mut garage = Scenario::new(1);
        garage.advance(Duration::from_secs(151), Fans::default());
        assert!(!garage.mains_ok() && garage.battery_ma() < 0 && garage.battery_mv() < 13_000);
        garage.advance(Duration::from_secs(45), Fans::default());
        assert!(garage.mains_ok() && garage.battery_ma() > 0);
        garage.hold_mains(Some(false));
        assert!(!garage.mains_ok());
        garage.hold_mains(None);
        assert!(garage.mains_ok());
    }
}
