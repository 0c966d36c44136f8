//! What a bus is asked to do, checked, and the times that follow from it.

use super::super::frame::{Address, Request};
use super::super::line::{Line, surely};
use super::super::plan::{Plan, Read};
use crate::limits::BUS_DEVICES_MAX;
use crate::time::Duration;
use heapless::Vec;

/// Position of a device in the configuration of its bus, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceIndex(pub u8);

impl DeviceIndex {
    /// As a position in an array.
    #[must_use]
    pub const fn at(self) -> usize {
        self.0 as usize
    }
}

/// Coils that the master writes at every poll and whenever they change: a relay module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image {
    /// First coil, from 0.
    pub start: u16,
    /// Coils, 1..=16.
    pub count: u8,
}

/// One slave and what is wanted from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its address; unique on the bus.
    pub address: Address,
    /// What each poll reads, in this order. May be empty where an image is written.
    pub plan: Plan,
    /// Coils to write before the reads. Nothing is written before the first
    /// [`Input::Image`](super::Input::Image).
    pub image: Option<Image>,
    /// Time between the starts of two polls, 50 ms..=1 h.
    pub period: Duration,
}

/// A bus and its devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bus {
    /// Speed and parity.
    pub line: Line,
    /// Longest time from the end of a request to the start of its answer, 50..=2000 ms.
    pub timeout: Duration,
    /// Further tries within a poll, 0..=5.
    pub retries: u8,
    /// How late the system may hand over received bytes: latency timers of USB adapters (16 ms), scheduling.
    /// 0..=100 ms. A silence within a frame ends it only when it is longer than t1.5 by this much.
    pub lateness: Duration,
    /// The devices, at most [`BUS_DEVICES_MAX`].
    pub devices: Vec<Device, BUS_DEVICES_MAX>,
}

/// Why a bus is refused. A configuration error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// Baud rate outside 300..=1 000 000.
    Baud,
    /// Timeout outside 50..=2000 ms.
    Timeout,
    /// More than 5 retries.
    Retries,
    /// Lateness above 100 ms.
    Lateness,
    /// Two devices with one address: the position of the second.
    AddressTwice(usize),
    /// A period outside 50 ms..=1 h: the position of the device.
    Period(usize),
    /// An image of no or too many coils: the position of the device.
    Image(usize),
    /// Neither reads nor an image: the position of the device.
    Nothing(usize),
}

impl Bus {
    /// A bus without devices: 300 ms, 2 retries, and lateness for a USB adapter.
    #[must_use]
    pub const fn new(line: Line) -> Self {
        Self {
            line,
            timeout: Duration::from_millis(300),
            retries: 2,
            lateness: Duration::from_millis(20),
            devices: Vec::new(),
        }
    }

    /// Every rule above.
    ///
    /// # Errors
    /// The first one broken.
    pub fn check(&self) -> Result<(), ConfigError> {
        let between = |span: Duration, least: u64, most: u64| {
            span >= Duration::from_millis(least) && span <= Duration::from_millis(most)
        };
        if !(300..=1_000_000).contains(&self.line.baud) {
            return Err(ConfigError::Baud);
        }
        if !between(self.timeout, 50, 2_000) {
            return Err(ConfigError::Timeout);
        }
        if self.retries > 5 {
            return Err(ConfigError::Retries);
        }
        if !between(self.lateness, 0, 100) {
            return Err(ConfigError::Lateness);
        }
        for (at, device) in self.devices.iter().enumerate() {
            let same = |other: &Device| other.address == device.address;
            if self.devices[..at].iter().any(same) {
                return Err(ConfigError::AddressTwice(at));
            }
            if !between(device.period, 50, 3_600_000) {
                return Err(ConfigError::Period(at));
            }
            if device.image.is_some_and(|i| i.count == 0 || i.count > 16) {
                return Err(ConfigError::Image(at));
            }
            if device.image.is_none() && device.plan.reads().is_empty() {
                return Err(ConfigError::Nothing(at));
            }
        }
        Ok(())
    }

    /// The silence kept before a request, on a millisecond clock.
    #[must_use]
    pub const fn gap(&self) -> Duration {
        surely(self.line.t3_5())
    }

    /// The silence within a frame that ends it, on a millisecond clock.
    #[must_use]
    pub fn frame_end(&self) -> Duration {
        surely(self.line.t1_5() + self.lateness)
    }

    /// The time from the end of a request to the first byte of its answer, after which there is none, on a
    /// millisecond clock.
    #[must_use]
    pub fn wait(&self) -> Duration {
        surely(self.timeout + self.lateness)
    }

    /// Longest time of one exchange that succeeds at its last try: for each try the gap, the request's
    /// characters, the response timeout, the answer's characters and the silence that ends a bad one.
    #[must_use]
    pub fn exchange_max(&self, request: usize, answer: usize) -> Duration {
        let characters = surely(self.line.span(request)) + surely(self.line.span(answer));
        let once = self.gap() + characters + self.wait() + self.frame_end();
        once * (u32::from(self.retries) + 1)
    }

    /// Time of one exchange whose answer starts 3.5 characters after the request.
    #[must_use]
    pub fn exchange_min(&self, request: usize, answer: usize) -> Duration {
        self.gap() + self.line.span(request + answer) + self.line.t3_5()
    }

    /// Longest time of a whole poll of `device`: the sum over its exchanges.
    #[must_use]
    pub fn poll_max(&self, device: DeviceIndex) -> Duration {
        self.over_exchanges(device, Self::exchange_max)
    }

    /// The oldest that a value of `device` can be while every poll succeeds, if only at its last try:
    ///
    /// ```text
    /// period + sum over all devices of poll_max + sum over images of one more write and poll
    ///        + timeout * number of its own exchanges
    /// ```
    ///
    /// Derivation: a device falls due one period after its last poll started. Devices are served in the order
    /// in which they fell due, and none falls due again before its poll has ended, so each other device is
    /// served at most once before this one; then comes its own poll. A changed image goes first and may do so
    /// once per module in that time, and when that fails brings the module's next poll forward. Probes of a dead device are part of its own summand.
    /// The last term is the time a device is left alone after a repeated try, until no late answer can come.
    ///
    /// Not included: a babbling line, which fails polls and is counted.
    #[must_use]
    pub fn worst_age(&self, device: DeviceIndex) -> Duration {
        let Some(own) = self.devices.get(device.at()) else {
            return Duration::MAX;
        };
        let polls = self.indices().map(|other| self.poll_max(other));
        let images = self.indices().filter_map(|module| {
            let image = self.devices[module.at()].image?;
            let write = self.exchange_max(image_request_length(image), 8);
            Some(write + self.poll_max(module))
        });
        let exchanges = own.plan.reads().len() + usize::from(own.image.is_some());
        let alone = self.timeout * exchanges as u32;
        own.period + polls.sum::<Duration>() + images.sum::<Duration>() + alone
    }

    /// Time of one poll of every device when each answers at once: what the bus can do at best.
    #[must_use]
    pub fn scan_min(&self) -> Duration {
        let polls = self
            .indices()
            .map(|device| self.over_exchanges(device, Self::exchange_min));
        polls.sum()
    }

    fn indices(&self) -> impl Iterator<Item = DeviceIndex> + use<> {
        (0..self.devices.len() as u8).map(DeviceIndex)
    }

    fn over_exchanges(
        &self,
        device: DeviceIndex,
        time: fn(&Self, usize, usize) -> Duration,
    ) -> Duration {
        let Some(device) = self.devices.get(device.at()) else {
            return Duration::ZERO;
        };
        let image = device
            .image
            .map(|image| time(self, image_request_length(image), 8));
        let reads = device.plan.reads().iter().map(|read| {
            let request = request_of(read);
            time(self, 8, request.answer_length())
        });
        image.unwrap_or_default() + reads.sum::<Duration>()
    }
}

/// Length of the request that writes an image.
pub(super) const fn image_request_length(image: Image) -> usize {
    9 + image.count.div_ceil(8) as usize
}

/// The request of a planned read.
pub(super) const fn request_of(read: &Read) -> Request<'static> {
    Request::Read {
        table: read.table,
        start: read.start,
        count: read.count,
    }
}
