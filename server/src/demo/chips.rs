//! An output board of the simulated site: the real pulses, into a model of the chips.

use leitstand_core::shift::{BitBang, Register};
use leitstand_gas::register::{OutputRegister, WiringFault};
use leitstand_hal_mock::digital::{Bench, Line};

pub(super) struct Board {
    bench: Bench,
    register: Register<BitBang<Line, Line, Line>, Line>,
}

impl Board {
    pub(super) fn new() -> Result<Self, WiringFault> {
        let bench = Bench::default();
        let chain = BitBang {
            data: bench.line("ds"),
            clock: bench.line("clock"),
            latch: bench.line("latch"),
        };
        let register = Register::new(chain, bench.line("oe")).map_err(|_| broken())?;
        Ok(Self { bench, register })
    }
}

fn broken() -> WiringFault {
    WiringFault("a simulated line is broken".into())
}

impl OutputRegister for Board {
    fn show(&mut self, image: u64) -> Result<(), WiringFault> {
        let shown = self.register.show(image).map_err(|_| broken());
        // The record is for tests; here it would only grow.
        drop(self.bench.take());
        shown
    }

    fn hold_off(&mut self) {
        let _ = self.register.hold_off();
    }
}
