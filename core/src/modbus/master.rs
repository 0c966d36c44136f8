//! # Bus master
//! Owns a bus: asks each device in turn, takes only what answers the question, and says how it is going.
//! Entry: [`Master`], a [`Machine`].

pub mod config;
pub mod report;

pub use config::{Bus, ConfigError, Device, DeviceIndex, Image};
pub use report::{Counters, DATA_MAX, Data, DeviceState, Failure, Input, Output, Strays, Write};

use crate::machine::Machine;
use crate::time::{Duration, Instant};

/// The owner of one bus.
#[derive(Debug)]
pub struct Master {
    bus: Bus,
}

impl Master {
    /// A master of a closed port; [`Input::Opened`] starts it.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn new(bus: Bus) -> Result<Self, ConfigError> {
        bus.check()?;
        Ok(Self { bus })
    }

    /// The configuration, with the times that follow from it ([`Bus::worst_age`]).
    #[must_use]
    pub const fn bus(&self) -> &Bus {
        &self.bus
    }

    /// How a device is doing.
    #[must_use]
    pub fn state(&self, _device: DeviceIndex) -> DeviceState {
        DeviceState::Waiting
    }

    /// What happened with a device; all zero for one that does not exist.
    #[must_use]
    pub fn counters(&self, _device: DeviceIndex) -> Counters {
        Counters::default()
    }

    /// The sum over all devices.
    #[must_use]
    pub fn totals(&self) -> Counters {
        Counters::default()
    }

    /// What was received and not taken.
    #[must_use]
    pub fn strays(&self) -> Strays {
        Strays::default()
    }

    /// How long the last whole cycle took: every living device polled once. `None` before the first.
    #[must_use]
    pub fn cycle(&self) -> Option<Duration> {
        None
    }

    /// Share of the bus time spent with exchanges that brought something, in thousandths, since the start of
    /// the last whole minute or so. 1000 while nothing was sent.
    #[must_use]
    pub fn efficiency_permille(&self) -> u16 {
        1000
    }
}

impl Machine for Master {
    type Input<'a> = Input<'a>;
    type Output = Output;

    fn handle(&mut self, _now: Instant, _input: Input<'_>) {
        todo!()
    }

    fn handle_timeout(&mut self, _now: Instant) {
        todo!()
    }

    fn poll_output(&mut self) -> Option<Output> {
        todo!()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        todo!()
    }
}
