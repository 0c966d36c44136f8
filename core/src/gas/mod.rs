//! # Gas-warning logic
//!
//! Cells, averages, set points, alarms, zones, outputs, supply and operating time of one site, in one
//! struct that is fed and drained: [`Station`]. Entry: [`Station::step`].
//!
//! Terms (the German word of the trade once, in brackets):
//! - *cell* (Messzelle): one gas measurement channel; a *sensor* is the bus device with 1..n cells.
//! - *reading*: what one poll of one cell brought, good or not.
//! - *set point* (Schaltpunkt, Alarmpunkt): one limit on the current value or an average (Mittelwert) of
//!   some cells of a zone, with a *stage* AP1..AP4, hysteresis, delays and a vote.
//! - *contribution*: whether a cell stands over the limit of a set point. A cell that cannot vote keeps
//!   ("freezes") its last contribution.
//! - *alarm*: the ISA-18.2 state machine of a set point or of a fault source; *latching* (Selbsthaltung)
//!   alarms end only by *reset* (Rückstellung) after *acknowledge* (Quittierung).
//! - *fault* (Störung): no trustworthy reading. Level (how much gas) and health (how much we can see) are
//!   separate, and neither hides the other.
//! - *healthy signal* (Gutmeldung): on while no fault exists anywhere.
//! - *special state* (Sonderzustand): any mode in which the measuring function is impaired.
//!
//! Deliberately absent: names and texts, the wall clock, polling, pins. The shell owns them.

pub mod alarm;
pub mod analog;
pub mod bump;
pub mod calibrate;
mod cell;
pub mod command;
mod dose;
pub mod event;
pub mod index;
mod mean;
pub mod memory;
mod output;
pub mod plan;
pub mod ra_gas;
pub mod reading;
mod set_point;
pub mod station;
pub mod status;
mod zone;

pub use alarm::AlarmState;
pub use command::{AlarmKey, Command, Input, Refusal};
pub use event::{Event, EventKind};
pub use index::{BoardIndex, BusIndex, CellIndex, CellSet, OutputIndex, SetPointIndex, ZoneIndex};
pub use memory::Memory;
pub use plan::{Plan, PlanError};
pub use reading::{FaultCode, PollFailure, Reading, Warning, Warnings};
pub use station::Station;

/// The description of a whole site: 64 cells, 16 zones, 64 set points, 64 outputs, 16 buses.
pub type SitePlan = Plan<64, 16, 64, 64, 16>;
/// A whole site with 60 minutes of history a cell. About 600 kB: build it on a thread with at least
/// 4 MiB of stack and box it there.
pub type SiteStation = Station<64, 16, 64, 64, 16, 720>;
/// What of a whole site survives a restart, without the averages' buckets.
pub type SiteMemory = Memory<64, 64, 64, 16>;

/// The description of a small node: 8 cells, 4 zones, 16 set points, 32 outputs, 4 buses.
pub type NodePlan = Plan<8, 4, 16, 32, 4>;
/// A small node with 30 minutes of history a cell.
pub type NodeStation = Station<8, 4, 16, 32, 4, 360>;
