//! The sections `[gas]` and `[power]` of the configuration file.
//!
//! `raw` is the literal shape with its documentation, from which schema and reference are made; [`check`]
//! turns it into a [`GasSite`](crate::site::GasSite) and reports every mistake with its key. A part of the check a
//! file: `devices`, `boards`, `cells`, `outputs`, `zones`, `supply`, and `verdict` for what the core finds.

mod actions;
mod boards;
mod cells;
mod check;
mod devices;
mod outputs;
mod presets;
mod raw;
mod supply;
mod text;
mod verdict;
mod zones;

pub use check::check;
pub use raw::{
    ActionConfig, ActionModeConfig, BandsConfig, BoardConfig, BoardKindConfig, BusConfig,
    CellConfig, ChemistryConfig, DirectionConfig, FormatConfig, FunctionConfig, Gas, GasSection,
    GaugeConfig, GaugeKind, LossAction, MainsConfig, ManualConfig, Normally, OutputConfig,
    OutputKindConfig, PowerSection, Preset, ProfileConfig, QuantityConfig, SensorConfig,
    SensorKind, SetPointConfig, Unit, ZoneConfig,
};
pub use text::check_text;
