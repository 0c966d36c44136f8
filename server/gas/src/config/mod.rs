//! The sections `[gas]` and `[power]` of the configuration file.
//!
//! [`raw`] is the literal shape with its documentation, from which schema and reference are made; [`check`]
//! turns it into a [`GasSite`](crate::site::GasSite) and reports every mistake with its key.

mod actions;
mod check;
mod presets;
mod raw;

pub use check::check;
pub use raw::{
    ActionConfig, ActionModeConfig, BandsConfig, BoardConfig, BoardKindConfig, BusConfig,
    CellConfig, ChemistryConfig, DirectionConfig, FormatConfig, FunctionConfig, Gas, GasSection,
    LossAction, ManualConfig, Normally, OutputConfig, OutputKindConfig, PowerSection, Preset,
    ProfileConfig, QuantityConfig, SensorConfig, SensorKind, SetPointConfig, Unit, ZoneConfig,
};
