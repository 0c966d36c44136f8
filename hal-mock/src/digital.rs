//! Scripted digital outputs: what was switched, in which order, and a line that fails when told to.
//!
//! Entry: [`Bench`]. All its lines write into one record, so that a test can demand a pulse train to the edge.
//! [`Bench::seen`] plays the record into a model of 74HC595 chips and tells what their outputs showed.

use embedded_hal::digital::{Error, ErrorKind, ErrorType, OutputPin};
use embedded_hal::spi::{self, SpiBus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One switching of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Name given at [`Bench::line`].
    pub line: &'static str,
    /// The level from here on.
    pub high: bool,
}

/// The line was told to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

impl Error for Broken {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

impl spi::Error for Broken {
    fn kind(&self) -> spi::ErrorKind {
        spi::ErrorKind::Other
    }
}

#[derive(Debug, Default)]
struct Record {
    edges: Vec<Edge>,
    /// Lines that fail, each after so many further writes.
    broken: Vec<(&'static str, usize)>,
}

/// A work bench with lines on it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Bench(Arc<Mutex<Record>>);

impl Bench {
    fn record(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line of this bench.
    #[must_use]
    pub fn line(&self, name: &'static str) -> Line {
        Line {
            bench: self.clone(),
            name,
        }
    }

    /// A bus on two lines of this bench, as an SPI controller drives them: mode 0, highest bit first.
    #[must_use]
    pub fn spi(&self, data: &'static str, clock: &'static str) -> Spi {
        Spi {
            data: self.line(data),
            clock: self.line(clock),
        }
    }

    /// Lets `line` fail after `writes` more that succeed, until [`heal`](Self::heal).
    pub fn break_after(&self, line: &'static str, writes: usize) {
        self.record().broken.push((line, writes));
    }

    /// No line fails any more.
    pub fn heal(&self) {
        self.record().broken.clear();
    }

    /// All that was switched since the last call.
    #[must_use]
    pub fn take(&self) -> Vec<Edge> {
        std::mem::take(&mut self.record().edges)
    }

    /// All that was switched, and the record stays.
    #[must_use]
    pub fn edges(&self) -> Vec<Edge> {
        self.record().edges.clone()
    }

    /// What a chain of 74HC595 with `stages` outputs (1..=64) showed one after the other, `None` while OE held
    /// it off. Lines are named `oe`, `ds`, `clock`, `latch`; OE starts high, as its pull-up makes it, and the
    /// chips power up with random bits.
    ///
    /// # Panics
    /// On an edge of a line with another name: the test wired it wrong.
    #[must_use]
    pub fn seen(&self, stages: u8) -> Vec<Option<u64>> {
        let mut chips = Chips::new(stages);
        let mut seen = vec![chips.shown()];
        for edge in self.edges() {
            chips.feed(edge);
            if seen.last() != Some(&chips.shown()) {
                seen.push(chips.shown());
            }
        }
        seen
    }
}

/// A scripted output.
#[derive(Clone, Debug)]
pub struct Line {
    bench: Bench,
    name: &'static str,
}

impl Line {
    fn set(&self, high: bool) -> Result<(), Broken> {
        let mut record = self.bench.record();
        let script = record
            .broken
            .iter_mut()
            .find(|(line, _)| *line == self.name);
        if let Some((_, left)) = script {
            *left = left.checked_sub(1).ok_or(Broken)?;
        }
        let line = self.name;
        record.edges.push(Edge { line, high });
        Ok(())
    }
}

impl ErrorType for Line {
    type Error = Broken;
}

impl OutputPin for Line {
    fn set_low(&mut self) -> Result<(), Broken> {
        self.set(false)
    }

    fn set_high(&mut self) -> Result<(), Broken> {
        self.set(true)
    }
}

/// A scripted SPI bus that only sends; what it would receive is zeros.
#[derive(Clone, Debug)]
pub struct Spi {
    data: Line,
    clock: Line,
}

impl spi::ErrorType for Spi {
    type Error = Broken;
}

impl SpiBus for Spi {
    fn read(&mut self, words: &mut [u8]) -> Result<(), Broken> {
        words.fill(0);
        self.write(&vec![0; words.len()])
    }

    fn write(&mut self, words: &[u8]) -> Result<(), Broken> {
        for bit in words
            .iter()
            .flat_map(|w| (0..8).rev().map(move |b| w >> b & 1 != 0))
        {
            self.data.set(bit)?;
            self.clock.set(true)?;
            self.clock.set(false)?;
        }
        Ok(())
    }

    fn transfer(&mut self, read: &mut [u8], write: &[u8]) -> Result<(), Broken> {
        read.fill(0);
        self.write(write)
    }

    fn transfer_in_place(&mut self, words: &mut [u8]) -> Result<(), Broken> {
        self.write(words)?;
        words.fill(0);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Broken> {
        Ok(())
    }
}

/// A chain of 74HC595, as its data sheet describes it.
#[derive(Clone, Debug)]
pub struct Chips {
    mask: u64,
    shifted: u64,
    latched: u64,
    oe_high: bool,
    data: bool,
    clock: bool,
    latch: bool,
}

impl Chips {
    /// `stages` outputs, 1 to 64.
    #[must_use]
    pub const fn new(stages: u8) -> Self {
        Self {
            mask: u64::MAX >> (64 - stages),
            shifted: 0xA5A5_5A5A_C3C3_3C3C,
            latched: 0x5A5A_A5A5_3C3C_C3C3,
            oe_high: true,
            data: false,
            clock: false,
            latch: false,
        }
    }

    /// A line changed.
    ///
    /// # Panics
    /// On an unknown name.
    pub fn feed(&mut self, edge: Edge) {
        match edge.line {
            "oe" => self.oe_high = edge.high,
            "ds" => self.data = edge.high,
            "clock" => {
                if edge.high && !self.clock {
                    self.shifted = self.shifted << 1 | u64::from(self.data);
                }
                self.clock = edge.high;
            }
            "latch" => {
                if edge.high && !self.latch {
                    self.latched = self.shifted;
                }
                self.latch = edge.high;
            }
            other => panic!("74HC595 chips have no line `{other}`"),
        }
    }

    /// What stands at the outputs; `None` while they are held off.
    #[must_use]
    pub const fn shown(&self) -> Option<u64> {
        if self.oe_high {
            None
        } else {
            Some(self.latched & self.mask)
        }
    }
}

#[cfg(test)]
mod tests;
