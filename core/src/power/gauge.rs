//! Voltage to state of charge, and charge to time.
//!
//! Sources of the tables: `monitor.md` section 4, with how sure they are. They hold for a resting pack of 6 lead
//! or 4 LiFePO4 cells; other packs are scaled by their number of cells.

use super::{Chemistry, SupplyPlan};
use crate::time::Duration;
use crate::units::{MicroAmp, MilliVolt, PerMille, div_round};

type Point = (i32, u16);

/// Published deep-cycle chart, 25 °C.
const FLOODED: &[Point] = &[
    (11_360, 0),
    (11_510, 100),
    (11_660, 200),
    (11_810, 300),
    (11_960, 400),
    (12_100, 500),
    (12_240, 600),
    (12_370, 700),
    (12_500, 800),
    (12_620, 900),
    (12_730, 1000),
];

/// One published user chart; gives the lower figure, hence the default for lead.
const AGM: &[Point] = &[
    (11_850, 0),
    (12_000, 150),
    (12_100, 250),
    (12_200, 350),
    (12_300, 450),
    (12_400, 550),
    (12_500, 650),
    (12_600, 750),
    (12_700, 850),
    (12_950, 950),
    (13_200, 1000),
];

/// Charts disagree by up to 30 points between 13.1 and 13.3 V; the lower value.
const LIFEPO4: &[Point] = &[
    (10_000, 0),
    (12_000, 90),
    (12_800, 170),
    (13_000, 300),
    (13_200, 400),
    (13_300, 700),
    (13_400, 900),
    (13_600, 1000),
];

impl Chemistry {
    const fn table(self) -> &'static [Point] {
        match self {
            Self::Flooded => FLOODED,
            Self::Agm => AGM,
            Self::LiFePo4 => LIFEPO4,
        }
    }

    /// Cells of the pack that tables and limits are given for.
    #[must_use]
    pub const fn reference_cells(self) -> u8 {
        match self {
            Self::Agm | Self::Flooded => 6,
            Self::LiFePo4 => 4,
        }
    }

    /// Half-width of the uncertainty of a charge read from the voltage alone.
    const fn uncertainty(self, reference: MilliVolt) -> PerMille {
        match self {
            Self::LiFePo4 if reference.0 >= 13_000 && reference.0 <= 13_400 => PerMille(200),
            Self::Flooded => PerMille(50),
            Self::Agm | Self::LiFePo4 => PerMille(100),
        }
    }
}

impl SupplyPlan {
    /// State of charge at a **resting** voltage of the whole pack, linear between the pairs of the table, clamped
    /// at its ends.
    #[must_use]
    pub fn state_of_charge(&self, resting: MilliVolt) -> PerMille {
        match &self.table {
            Some(table) => interpolate(
                table.len(),
                |at| (i64::from(table[at].0.0), i64::from(table[at].1.0)),
                i64::from(resting.0),
            ),
            None => {
                let table = self.chemistry.table();
                interpolate(
                    table.len(),
                    |at| (i64::from(table[at].0), i64::from(table[at].1)),
                    i64::from(self.reference(resting).0),
                )
            }
        }
    }

    /// Half-width of the uncertainty of [`state_of_charge`](Self::state_of_charge).
    #[must_use]
    pub fn uncertainty(&self, resting: MilliVolt) -> PerMille {
        match &self.table {
            Some(_) => PerMille(50),
            None => self.chemistry.uncertainty(self.reference(resting)),
        }
    }

    /// The resting voltage behind a terminal voltage under a discharge current (positive).
    #[must_use]
    pub fn load_corrected(&self, terminal: MilliVolt, discharge: MicroAmp) -> MilliVolt {
        let drop_uv = i64::from(discharge.0) * i64::from(self.r_internal_mohm) / 1000;
        MilliVolt(terminal.0.saturating_add(saturate(drop_uv / 1000)))
    }

    /// Time left at `load_ma`; `None` without a load.
    #[must_use]
    pub fn remaining(&self, soc: PerMille, load_ma: u32) -> Option<Duration> {
        let usable = u64::from(soc.0.saturating_sub(self.min_soc.0));
        let milliamp_ms = u64::from(self.capacity_mah) * 3_600_000 * usable / 1000;
        milliamp_ms
            .checked_div(u64::from(load_ma))
            .map(Duration::from_millis)
    }

    /// The voltage a pack of the reference size would show.
    #[must_use]
    pub fn reference(&self, voltage: MilliVolt) -> MilliVolt {
        let cells = i64::from(self.cells.max(1));
        let reference = i64::from(self.chemistry.reference_cells());
        MilliVolt(saturate(div_round(i64::from(voltage.0) * reference, cells)))
    }

    /// Above this resting voltage the battery is charged or floats.
    pub(super) fn is_full_voltage(&self, terminal: MilliVolt) -> bool {
        match &self.table {
            Some(table) => table.last().is_some_and(|point| terminal > point.0),
            None => {
                let full = self
                    .chemistry
                    .table()
                    .last()
                    .map_or(i32::MAX, |point| point.0);
                self.reference(terminal).0 > full
            }
        }
    }
}

fn interpolate(len: usize, point: impl Fn(usize) -> (i64, i64), at: i64) -> PerMille {
    let share = match (0..len).find(|&upper| at <= point(upper).0) {
        Some(0) => point(0).1,
        Some(upper) => {
            let (from, to) = (point(upper - 1), point(upper));
            from.1 + div_round((at - from.0) * (to.1 - from.1), to.0 - from.0)
        }
        None if len == 0 => 0,
        None => point(len - 1).1,
    };
    PerMille(share.clamp(0, 1000) as u16)
}

fn saturate(value: i64) -> i32 {
    value.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    use expect_test::{Expect, expect};

    pub(in crate::power) fn plan(chemistry: Chemistry) -> SupplyPlan {
        SupplyPlan {
            chemistry,
            cells: chemistry.reference_cells(),
            capacity_mah: 7_200,
            r_internal_mohm: 0,
            min_soc: PerMille(200),
            load_ma: 450,
            mains_fault: true,
            table: None,
            test_every_days: None,
        }
    }

    fn check(plan: &SupplyPlan, millivolts: &[i32], expect: Expect) {
        let lines: Vec<String> = millivolts
            .iter()
            .map(|&mv| {
                let soc = plan.state_of_charge(MilliVolt(mv)).0;
                format!(
                    "{}.{:03} V {}.{} %\n",
                    mv / 1000,
                    mv % 1000,
                    soc / 10,
                    soc % 10
                )
            })
            .collect();
        expect.assert_eq(&lines.concat());
    }

    #[test]
    fn golden_agm() {
        let volts = [
            13_300, 13_000, 12_950, 12_730, 12_550, 12_250, 12_050, 11_900, 11_700,
        ];
        check(
            &plan(Chemistry::Agm),
            &volts,
            expect![[r#"
            13.300 V 100.0 %
            13.000 V 96.0 %
            12.950 V 95.0 %
            12.730 V 86.2 %
            12.550 V 70.0 %
            12.250 V 40.0 %
            12.050 V 20.0 %
            11.900 V 5.0 %
            11.700 V 0.0 %
        "#]],
        );
    }

    #[test]
    fn golden_flooded() {
        let volts = [
            12_730, 12_560, 12_300, 12_100, 12_030, 11_700, 11_360, 10_800,
        ];
        check(
            &plan(Chemistry::Flooded),
            &volts,
            expect![[r#"
            12.730 V 100.0 %
            12.560 V 85.0 %
            12.300 V 64.6 %
            12.100 V 50.0 %
            12.030 V 45.0 %
            11.700 V 22.7 %
            11.360 V 0.0 %
            10.800 V 0.0 %
        "#]],
        );
    }

    #[test]
    fn golden_flooded_24_volts() {
        let pack = SupplyPlan {
            cells: 12,
            ..plan(Chemistry::Flooded)
        };
        check(
            &pack,
            &[25_000, 24_200],
            expect![[r#"
            25.000 V 80.0 %
            24.200 V 50.0 %
        "#]],
        );
    }

    #[test]
    fn golden_lifepo4() {
        let volts = [
            13_600, 13_500, 13_350, 13_250, 13_100, 12_900, 12_400, 11_000, 10_000,
        ];
        check(
            &plan(Chemistry::LiFePo4),
            &volts,
            expect![[r#"
            13.600 V 100.0 %
            13.500 V 95.0 %
            13.350 V 80.0 %
            13.250 V 55.0 %
            13.100 V 35.0 %
            12.900 V 23.5 %
            12.400 V 13.0 %
            11.000 V 4.5 %
            10.000 V 0.0 %
        "#]],
        );
    }

    #[test]
    fn golden_load_correction() {
        let pack = SupplyPlan {
            r_internal_mohm: 50,
            ..plan(Chemistry::Flooded)
        };
        let resting = pack.load_corrected(MilliVolt(12_020), MicroAmp(600_000));
        assert_eq!(
            (resting, pack.state_of_charge(resting)),
            (MilliVolt(12_050), PerMille(464))
        );
    }

    #[test]
    fn golden_autonomy() {
        let hours = |mah, soc, ma| {
            let pack = SupplyPlan {
                capacity_mah: mah,
                ..plan(Chemistry::Agm)
            };
            pack.remaining(PerMille(soc), ma)
                .map(|left| left.as_secs_f64() / 3600.0)
        };
        assert_eq!(
            hours(7_200, 600, 450).map(|h| format!("{h:.2}")).unwrap(),
            "6.40"
        );
        // 10.625 h exactly; the specification rounds half up, `format!` to even.
        assert_eq!(hours(17_000, 950, 1_200), Some(10.625));
        assert_eq!(
            hours(7_200, 600, 0),
            None,
            "no load has no end, and no number"
        );
        assert_eq!(
            hours(7_200, 150, 450),
            Some(0.0),
            "below the reserve nothing is left"
        );
    }

    #[test]
    fn a_table_from_the_data_sheet_wins() {
        let table = [
            (MilliVolt(12_000), PerMille(0)),
            (MilliVolt(13_000), PerMille(1000)),
        ];
        let table = Some(heapless::Vec::from_slice(&table).unwrap());
        check(
            &SupplyPlan {
                table,
                ..plan(Chemistry::Agm)
            },
            &[11_000, 12_550, 14_000],
            expect![[r#"
                11.000 V 0.0 %
                12.550 V 55.0 %
                14.000 V 100.0 %
            "#]],
        );
    }

    #[test]
    fn charge_never_falls_with_rising_voltage() {
        for chemistry in [Chemistry::Agm, Chemistry::Flooded, Chemistry::LiFePo4] {
            let pack = plan(chemistry);
            let charges: Vec<_> = (9_000..15_000)
                .map(|mv| pack.state_of_charge(MilliVolt(mv)))
                .collect();
            assert!(charges.is_sorted());
        }
    }
}
