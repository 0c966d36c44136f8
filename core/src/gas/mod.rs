//! Gas-warning logic: cells, averages, set points, alarms, zones, outputs, the station step.
pub mod station;
