//! Set points of zones that list none.

use super::raw::{DirectionConfig, Gas, Preset, QuantityConfig, SetPointConfig, Unit};

/// Quantity, limit and hysteresis of stages 1 to 3.
type Stages = [(QuantityConfig, f64, f64); 3];

/// What a preset says about one kind of cell; `name` begins the ids of its set points.
struct Table {
    name: &'static str,
    direction: DirectionConfig,
    stages: Stages,
}

/// A cell as far as presets care.
pub(super) struct Candidate {
    pub(super) id: String,
    pub(super) gas: Gas,
    pub(super) unit: Unit,
    pub(super) range_hi: f64,
}

const fn averaged(low: (f64, f64), high: (f64, f64), top: (f64, f64)) -> Stages {
    [
        (QuantityConfig::Average, low.0, low.1),
        (QuantityConfig::Average, high.0, high.1),
        (QuantityConfig::Direct, top.0, top.1),
    ]
}

const fn direct(on: [f64; 3], hysteresis: [f64; 3]) -> Stages {
    [
        (QuantityConfig::Direct, on[0], hysteresis[0]),
        (QuantityConfig::Direct, on[1], hysteresis[1]),
        (QuantityConfig::Direct, on[2], hysteresis[2]),
    ]
}

/// Source: specification of the service, 3.3: garage preset, and the factory settings of a four-gas centre.
fn table(preset: Preset, cell: &Candidate) -> Option<Table> {
    let (name, stages) = match (preset, cell.gas, cell.unit) {
        (Preset::None, ..) => return None,
        (Preset::Garage, Gas::Co, _) => ("co", averaged((30.0, 5.0), (60.0, 10.0), (150.0, 10.0))),
        (Preset::Garage, Gas::No2, _) => ("no2", averaged((3.0, 0.5), (6.0, 1.0), (15.0, 2.0))),
        (Preset::Garage, ..) => return None,
        // Two ranges of CO cells are sold; the wider one guards processes, not people.
        (Preset::Factory, Gas::Co, _) if cell.range_hi > 300.0 => {
            ("co1000", direct([600.0, 750.0, 900.0], [50.0; 3]))
        }
        (Preset::Factory, Gas::Co, _) => ("co", direct([30.0, 60.0, 120.0], [5.0, 10.0, 10.0])),
        (Preset::Factory, Gas::No2, _) => ("no2", direct([7.0, 10.0, 15.0], [2.0; 3])),
        (Preset::Factory, Gas::Nh3, _) => ("nh3", direct([30.0, 50.0, 70.0], [5.0; 3])),
        (Preset::Factory, Gas::Cl2, _) => ("cl2", direct([2.0, 3.0, 4.0], [1.0; 3])),
        (Preset::Factory, Gas::Co2, Unit::PercentVol) => {
            ("co2", direct([1.0, 1.5, 2.0], [0.05; 3]))
        }
        (Preset::Factory, Gas::Co2, _) => {
            ("co2", direct([10_000.0, 15_000.0, 20_000.0], [500.0; 3]))
        }
        (Preset::Factory, Gas::Ch4 | Gas::C3h8 | Gas::H2, Unit::PercentLel) => {
            (cell.gas.as_str(), direct([20.0, 30.0, 40.0], [5.0; 3]))
        }
        (Preset::Factory, Gas::R134a, _) => ("r134a", direct([500.0, 1000.0, 1500.0], [50.0; 3])),
        (Preset::Factory, Gas::O2, _) => ("o2", direct([19.0, 16.0, 14.0], [1.0; 3])),
        (Preset::Factory, ..) => return None,
    };
    let direction = match cell.gas {
        Gas::O2 => DirectionConfig::Falling,
        _ => DirectionConfig::Rising,
    };
    Some(Table {
        name,
        direction,
        stages,
    })
}

/// Whether the preset knows the cell's gas in its unit.
pub(super) fn covers(preset: Preset, cell: &Candidate) -> bool {
    table(preset, cell).is_some()
}

/// The preset for these cells: `<gas>_ap<stage>`, without actions, in the order in which the gases come.
pub(super) fn points(preset: Preset, cells: &[Candidate]) -> Vec<SetPointConfig> {
    let mut groups: Vec<(Table, Vec<String>)> = Vec::new();
    for cell in cells {
        let Some(table) = table(preset, cell) else {
            continue;
        };
        match groups
            .iter_mut()
            .find(|(known, _)| known.name == table.name)
        {
            Some((_, ids)) => ids.push(cell.id.clone()),
            None => groups.push((table, vec![cell.id.clone()])),
        }
    }
    let mut points = Vec::new();
    for (table, ids) in groups {
        for (stage, (quantity, on, hysteresis)) in (1u8..).zip(table.stages) {
            points.push(SetPointConfig {
                id: format!("{}_ap{stage}", table.name),
                stage,
                cells: Some(ids.clone()),
                quantity,
                window_s: None,
                direction: table.direction,
                on,
                hysteresis,
                on_delay_s: 0,
                off_delay_s: 0,
                latching: Some(stage == 3),
                allow_non_latching_ap3: false,
                vote_k: 1,
                actions: Vec::new(),
            });
        }
    }
    points
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn config(cells: &[(&str, &str, f64)]) -> String {
        let mut text = "[gas]\nproduction = false\npreset = \"factory\"\n[[gas.sensors]]\nid = \"s\"\nkind = \"simulated\"\nprofile = \"constant\"\nlow = 15.0\n".to_owned();
        let mut ids = Vec::new();
        for (channel, (gas, unit, hi)) in (1..).zip(cells) {
            text += &format!(
                "[[gas.cells]]\nid = \"{gas}{channel}\"\nsensor = \"s\"\nchannel = {channel}\ngas = \"{gas}\"\nunit = \"{unit}\"\nrange_hi = {hi:.1}\n"
            );
            ids.push(format!("\"{gas}{channel}\""));
        }
        text + &format!("[[gas.zones]]\nid = \"z\"\ncells = [{}]\n", ids.join(", "))
    }

    #[test]
    fn the_factory_preset_is_a_plan_without_a_mistake() {
        let text = config(&[
            ("co", "ppm", 300.0),
            ("co", "ppm", 1000.0),
            ("no2", "ppm", 20.0),
            ("nh3", "ppm", 100.0),
            ("co2", "ppm", 30_000.0),
            ("cl2", "ppm", 5.0),
            ("ch4", "percent_lel", 100.0),
            ("c3h8", "percent_lel", 100.0),
            ("h2", "percent_lel", 100.0),
            ("r134a", "ppm", 2000.0),
            ("o2", "percent_vol", 25.0),
        ]);
        let (site, diags) = crate::config::check_text(&text, "x.toml");
        let site = site.unwrap_or_else(|| panic!("{}", diags.report(false)));
        assert_eq!(site.set_points.len(), 3 * 11);
        assert_eq!(site.set_points[3].alarm, "z.co1000_ap1");
    }

    #[test]
    fn limits_are_those_of_the_specification() {
        let cell = |gas, unit, range_hi| Candidate {
            id: "x".into(),
            gas,
            unit,
            range_hi,
        };
        let on = |preset, gas, unit, hi| -> Vec<f64> {
            let points = points(preset, &[cell(gas, unit, hi)]);
            points.iter().map(|p| p.on).collect()
        };
        let factory = |gas, unit, hi| on(Preset::Factory, gas, unit, hi);
        assert_eq!(factory(Gas::Co, Unit::Ppm, 300.0), [30.0, 60.0, 120.0]);
        assert_eq!(factory(Gas::Co, Unit::Ppm, 1000.0), [600.0, 750.0, 900.0]);
        assert_eq!(
            factory(Gas::H2, Unit::PercentLel, 100.0),
            [20.0, 30.0, 40.0]
        );
        assert_eq!(factory(Gas::O2, Unit::PercentVol, 25.0), [19.0, 16.0, 14.0]);
        assert!(factory(Gas::H2, Unit::Ppm, 1000.0).is_empty());
        assert!(!covers(
            Preset::Factory,
            &cell(Gas::R407c, Unit::Ppm, 2000.0)
        ));
        assert_eq!(
            on(Preset::Garage, Gas::Co, Unit::Ppm, 300.0),
            [30.0, 60.0, 150.0]
        );
        assert!(!covers(
            Preset::Garage,
            &cell(Gas::O2, Unit::PercentVol, 25.0)
        ));
    }
}
