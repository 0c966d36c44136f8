//! Output boards on shift registers: LED and relay boards of the gas centre.

use crate::gpio::{GpioError, OutputLine};
use crate::spi::{self, SpiError};
use leitstand_core::shift::{BitBang, Chain, Register, RegisterError, SpiChain, SpiChainError};
use linux_embedded_hal::{SPIError, SpidevBus};
use std::path::PathBuf;

/// Which lines a board is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wiring {
    /// Id of the board, shown to whoever asks why a line is in use.
    pub board: String,
    /// Label of the GPIO chip, or its path.
    pub chip: String,
    /// Output-enable, active low.
    pub oe: u32,
    /// Latch.
    pub latch: u32,
    /// How the bits get in.
    pub bits: Bits,
}

/// How the bits get into the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bits {
    /// By two lines of the same chip.
    Lines {
        /// Data.
        ds: u32,
        /// Clock.
        clock: u32,
    },
    /// By an SPI bus.
    Spi {
        /// As `/dev/spidev0.0`.
        device: PathBuf,
        /// See [`spi::CLOCK_HZ`].
        clock_hz: u32,
    },
}

/// A board that cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// A line.
    #[error(transparent)]
    Line(#[from] GpioError),
    /// The bus at its opening.
    #[error(transparent)]
    Bus(#[from] SpiError),
    /// The bus in use.
    #[error("writing to the shift registers by SPI")]
    Transfer(#[source] SPIError),
}

/// A board, its outputs held off until the first image.
pub struct Board(Register<AnyChain, OutputLine>);

impl Board {
    /// Takes the lines: output-enable first, driven high in the same moment.
    ///
    /// # Errors
    /// What could not be had; nothing is held then.
    pub fn open(wiring: &Wiring) -> Result<Self, BoardError> {
        let line = |line, high, what: &str| {
            let purpose = format!("{} {what}", wiring.board);
            OutputLine::open(&wiring.chip, line, high, &purpose)
        };
        let oe = line(wiring.oe, true, "oe")?;
        let latch = line(wiring.latch, false, "latch")?;
        let chain = match &wiring.bits {
            Bits::Lines { ds, clock } => AnyChain::Lines(BitBang {
                data: line(*ds, false, "ds")?,
                clock: line(*clock, false, "clock")?,
                latch,
            }),
            Bits::Spi { device, clock_hz } => AnyChain::Spi(SpiChain {
                bus: spi::open(device, *clock_hz)?,
                latch,
            }),
        };
        Ok(Self(Register::new(chain, oe).map_err(flat)?))
    }

    /// Shows `image`, output n (from 1) at bit n - 1.
    ///
    /// # Errors
    /// Outputs are held off then. [`GpioError::Gone`]: open the board anew.
    pub fn show(&mut self, image: u64) -> Result<(), BoardError> {
        self.0.show(image).map_err(flat)
    }

    /// Drops all outputs at once.
    ///
    /// # Errors
    /// They may still act.
    pub fn hold_off(&mut self) -> Result<(), BoardError> {
        self.0.hold_off().map_err(flat)
    }
}

enum AnyChain {
    Lines(BitBang<OutputLine, OutputLine, OutputLine>),
    Spi(SpiChain<SpidevBus, OutputLine>),
}

impl Chain for AnyChain {
    type Error = BoardError;

    fn load(&mut self, image: u64) -> Result<(), BoardError> {
        match self {
            Self::Lines(lines) => lines.load(image).map_err(BoardError::Line),
            Self::Spi(spi) => spi.load(image).map_err(|error| match error {
                SpiChainError::Bus(error) => BoardError::Transfer(error),
                SpiChainError::Latch(error) => BoardError::Line(error),
            }),
        }
    }
}

fn flat(error: RegisterError<BoardError, GpioError>) -> BoardError {
    match error {
        RegisterError::Chain(error) => error,
        RegisterError::OutputEnable(error) => BoardError::Line(error),
    }
}
