//! Set points of zones that list none.

use super::raw::{DirectionConfig, Gas, QuantityConfig, SetPointConfig};

/// Stage, quantity, limit and hysteresis. Source: specification of the service, 3.3, garage preset.
type Row = (u8, QuantityConfig, f64, f64);

const CO: [Row; 3] = [
    (1, QuantityConfig::Average, 30.0, 5.0),
    (2, QuantityConfig::Average, 60.0, 10.0),
    (3, QuantityConfig::Direct, 150.0, 10.0),
];
const NO2: [Row; 3] = [
    (1, QuantityConfig::Average, 3.0, 0.5),
    (2, QuantityConfig::Average, 6.0, 1.0),
    (3, QuantityConfig::Direct, 15.0, 2.0),
];

/// Whether the garage preset knows the gas.
pub(super) fn covers(gas: Gas) -> bool {
    matches!(gas, Gas::Co | Gas::No2)
}

/// The garage preset for these cells: `<gas>_ap<stage>`, without actions.
pub(super) fn garage(cells: &[(String, Gas)]) -> Vec<SetPointConfig> {
    let mut points = Vec::new();
    for (gas, rows) in [(Gas::Co, &CO), (Gas::No2, &NO2)] {
        let ids: Vec<String> = cells
            .iter()
            .filter(|(_, g)| *g == gas)
            .map(|(id, _)| id.clone())
            .collect();
        if ids.is_empty() {
            continue;
        }
        for (stage, quantity, on, hysteresis) in rows {
            points.push(SetPointConfig {
                id: format!("{}_ap{stage}", gas.as_str()),
                stage: *stage,
                cells: Some(ids.clone()),
                quantity: *quantity,
                window_s: None,
                direction: DirectionConfig::Rising,
                on: *on,
                hysteresis: *hysteresis,
                on_delay_s: 0,
                off_delay_s: 0,
                latching: Some(*stage == 3),
                allow_non_latching_ap3: false,
                vote_k: 1,
                actions: Vec::new(),
            });
        }
    }
    points
}
