//! What takes calls for a module, one at a time for each car.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
};

use leitstand_kit::BoxFuture;
use tokio::sync::watch;

use super::{CarModule, Module, NOT_OK, Offers};
use crate::{
    name::CarName,
    session::Leave,
    wire::{Device, host::request::What},
};

/// Which of a module's contexts: the car's number in this process.
pub(crate) type CarNumber = u32;

/// How a call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    /// 0 is good.
    pub(crate) code: i32,
    /// For `connected`: whether the device type is known.
    pub(crate) supported: bool,
    /// Inside the module.
    pub(crate) micros: u32,
}

/// The runner ended before it answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

/// Something that runs a module.
pub(crate) trait Runner: Send + Sync {
    /// Which run it is; `None` while there is none. A new run knows nothing of the last.
    fn run(&self) -> watch::Receiver<Option<u64>>;
    /// Ends when the module turns out to be unusable; says why.
    fn refused(&self) -> BoxFuture<'_, String> {
        Box::pin(std::future::pending())
    }
    /// Makes a call and waits for its end.
    fn invoke(&self, car: CarNumber, what: What) -> BoxFuture<'_, Result<Done, Gone>>;
    /// Ends this run by force, because a call does not return; another begins.
    fn kill(&self, why: &str);
    /// Ends for good; contexts were closed before.
    fn stop(&self) -> BoxFuture<'_, ()>;
}

/// The offers of each car, by its number.
pub(crate) type OffersOf = Arc<Mutex<BTreeMap<CarNumber, (CarName, Offers)>>>;

/// A module in Rust: calls are made at once.
pub(crate) struct Builtin {
    module: Mutex<Box<dyn Module>>,
    cars: Mutex<BTreeMap<CarNumber, Box<dyn CarModule>>>,
    offers: OffersOf,
    run: watch::Sender<Option<u64>>,
}

impl Builtin {
    pub(crate) fn new(module: Box<dyn Module>, offers: OffersOf) -> Self {
        Self {
            module: Mutex::new(module),
            cars: Mutex::default(),
            offers,
            run: watch::Sender::new(Some(1)),
        }
    }

    fn call(&self, car: CarNumber, what: What) -> Done {
        let mut supported = true;
        let result = match what {
            What::Open(_) => self.open(car),
            What::Close(_) => {
                lock(&self.cars).remove(&car);
                Ok(())
            }
            What::Connected(m) => {
                let device = m.device.unwrap_or_default();
                supported = lock(&self.module).supports(device.device_type);
                if supported {
                    self.with(car, |module| module.connected(&device))
                } else {
                    Ok(())
                }
            }
            What::Status(m) => {
                let device = m.device.unwrap_or_default();
                self.with(car, |module| module.status(&device, &m.data))
            }
            What::Error(m) => {
                let device = m.device.unwrap_or_default();
                self.with(car, |module| module.error(&device, &m.data))
            }
            What::Disconnected(m) => {
                let device: Device = m.device.unwrap_or_default();
                let why = leave(m.why);
                self.with(car, |module| {
                    module.disconnected(&device, why);
                    Ok(())
                })
            }
            What::Acknowledged(m) => {
                let device = m.device.unwrap_or_default();
                self.with(car, |module| {
                    module.acknowledged(&device, &m.data);
                    Ok(())
                })
            }
        };
        Done {
            code: result.err().unwrap_or(0),
            supported,
            micros: 0,
        }
    }

    fn open(&self, car: CarNumber) -> Result<(), i32> {
        let (name, offers) = lock(&self.offers).get(&car).cloned().ok_or(NOT_OK)?;
        match lock(&self.module).open(&name, offers) {
            Ok(opened) => {
                lock(&self.cars).insert(car, opened);
                Ok(())
            }
            Err(error) => {
                tracing::warn!(car = %name, %error, "a module does not open");
                Err(NOT_OK)
            }
        }
    }

    fn with(
        &self,
        car: CarNumber,
        call: impl FnOnce(&mut dyn CarModule) -> Result<(), i32>,
    ) -> Result<(), i32> {
        let mut cars = lock(&self.cars);
        let module = cars.get_mut(&car).ok_or(super::CONTEXT_INCORRECT)?;
        let caught = catch_unwind(AssertUnwindSafe(|| call(module.as_mut())));
        caught.unwrap_or(Err(NOT_OK))
    }
}

impl Runner for Builtin {
    fn run(&self) -> watch::Receiver<Option<u64>> {
        self.run.subscribe()
    }

    fn invoke(&self, car: CarNumber, what: What) -> BoxFuture<'_, Result<Done, Gone>> {
        let started = std::time::Instant::now();
        let mut done = self.call(car, what);
        done.micros = u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX);
        Box::pin(std::future::ready(Ok(done)))
    }

    fn kill(&self, _why: &str) {}

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// From the number of the C interface.
pub(crate) fn leave(why: i32) -> Leave {
    match why {
        0 => Leave::Announced,
        1 => Leave::Timeout,
        _ => Leave::Error,
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
