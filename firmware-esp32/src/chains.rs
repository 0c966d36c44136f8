//! Both shift-register chains on their one bus, and whether the input chain is whole.
//!
//! The far end of the input chain is tied high, so one byte beyond the last chip reads `FF`. A cut wire, a
//! chip without supply or a data line that hangs in the air reads something else, and would look like pressed
//! buttons: such a scan is not used. What this cannot see: a data line that is stuck high (give it a
//! pull-down, then it reads `00` when cut) and a chain with too few chips (its buttons never press).

use leitstand_core::limits::PANEL_CHIPS_MAX;
use leitstand_core::panel::PanelSize;
use leitstand_core::panel::chain::{ChainBytes, ChainError, ReadChain, WriteChain};

/// What the byte beyond the last chip reads on a whole chain.
const FAR_END: u8 = 0xff;

/// Why a scan is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanFault {
    /// The bus or a line failed.
    Chain(ChainError),
    /// The byte beyond the last chip reads this instead of `FF`.
    FarEnd(u8),
}

impl ScanFault {
    /// As the host is told, see [`leitstand_core::panel::frame::fault::CHAIN`].
    #[must_use]
    pub const fn argument(self) -> u32 {
        match self {
            Self::Chain(_) => 256,
            Self::FarEnd(read) => read as u32,
        }
    }
}

/// Both chains.
#[derive(Debug)]
pub struct Chains<I: ReadChain, O> {
    bus: I::Bus,
    input: I,
    output: O,
    chips: usize,
}

impl<I: ReadChain, O: WriteChain<Bus = I::Bus>> Chains<I, O> {
    /// The chains of a panel of `size` on `bus`.
    pub fn new(size: PanelSize, bus: I::Bus, input: I, output: O) -> Self {
        Self {
            bus,
            input,
            output,
            chips: size.chips(),
        }
    }

    /// The buttons of this instant in normal form.
    ///
    /// # Errors
    /// Nothing that was read can be trusted; the caller reports it and tries again at the next scan.
    pub fn read(&mut self) -> Result<ChainBytes, ScanFault> {
        let mut bytes = [0; PANEL_CHIPS_MAX + 1];
        let bytes = &mut bytes[..=self.chips];
        self.input
            .read(&mut self.bus, bytes)
            .map_err(ScanFault::Chain)?;
        match bytes.split_last() {
            // Never truncated: a panel has at most PANEL_CHIPS_MAX chips.
            Some((&FAR_END, normal)) => Ok(ChainBytes::from_slice(normal).unwrap_or_default()),
            Some((&other, _)) => Err(ScanFault::FarEnd(other)),
            None => Err(ScanFault::FarEnd(0)),
        }
    }

    /// Shows `bytes`, given in sending order.
    ///
    /// # Errors
    /// The LEDs may show anything until the next write.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ChainError> {
        self.output.write(&mut self.bus, bytes)
    }
}
