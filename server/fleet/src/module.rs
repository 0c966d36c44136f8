//! Modules: code that knows what the bytes of a device mean.
//!
//! A module is a library with the C interface ([`library`]) that runs in a process of its own ([`host`]), or Rust
//! behind the trait [`Module`]. Either is a [`runner::Runner`]: something that takes one call a car at a time. A
//! [`lane`] stands between a car and a runner; it keeps the order, waits out an outage, and never lets a car wait.

pub(crate) mod backlog;
mod contexts;
mod example;
pub mod frame;
pub mod host;
pub(crate) mod inline;
pub(crate) mod lane;
pub mod library;
pub(crate) mod runner;
mod spool;
pub(crate) mod transparent;

use std::sync::Arc;

use crate::{
    name::CarName,
    session::{CommandId, Leave},
    wire::Device,
};
pub use example::Example;
pub use transparent::{Desk, Transparent};

/// Code of a module call that went wrong; 0 is never one.
pub type Code = i32;
/// `NOT_OK` of the C interface.
pub const NOT_OK: Code = -1;
/// `CONTEXT_INCORRECT`.
pub const CONTEXT_INCORRECT: Code = -11;
/// `TIMEOUT_OCCURRED`.
pub const TIMEOUT_OCCURRED: Code = -12;

/// A module written in Rust.
///
/// Its methods must not block: they run on the threads of the gateway. A panic is caught and counts as
/// [`NOT_OK`].
pub trait Module: Send {
    /// Whether it knows this device type.
    fn supports(&self, device_type: u32) -> bool;

    /// Begins with a car. `offers` takes the commands that the module has for it, at any time.
    ///
    /// # Errors
    /// Why not, for people; the module is then not there for this car.
    fn open(&mut self, car: &CarName, offers: Offers) -> Result<Box<dyn CarModule>, String>;
}

/// A module's side of one car.
pub trait CarModule: Send {
    /// A device is there.
    ///
    /// # Errors
    /// The device is refused: it is answered, and goes no further.
    fn connected(&mut self, device: &Device) -> Result<(), Code>;
    /// Its status.
    ///
    /// # Errors
    /// Counted; the vehicle is answered all the same.
    fn status(&mut self, device: &Device, data: &[u8]) -> Result<(), Code>;
    /// What went wrong while the vehicle was out of reach, folded into one message.
    ///
    /// # Errors
    /// As `status`.
    fn error(&mut self, device: &Device, data: &[u8]) -> Result<(), Code> {
        let _ = (device, data);
        Ok(())
    }
    /// It is gone.
    fn disconnected(&mut self, device: &Device, why: Leave);
    /// The vehicle took a command.
    fn acknowledged(&mut self, device: &Device, data: &[u8]) {
        let _ = (device, data);
    }
}

/// Takes commands of one module for one car. Cheap to clone.
#[derive(Clone)]
pub struct Offers(Arc<dyn Fn(CommandId, Device, Vec<u8>) + Send + Sync>, Ids);

impl Offers {
    pub(crate) fn new(
        ids: Ids,
        take: impl Fn(CommandId, Device, Vec<u8>) + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(take), ids)
    }

    /// Offers a command; it is sent when its device is connected and its turn has come.
    pub fn offer(&self, device: Device, data: Vec<u8>) -> CommandId {
        let id = self.next_id();
        (self.0)(id, device, data);
        id
    }

    /// A number for a command that is offered later, by [`offer_as`](Self::offer_as).
    #[must_use]
    pub fn next_id(&self) -> CommandId {
        self.1.next()
    }

    /// Offers a command under a number that was drawn before.
    pub fn offer_as(&self, id: CommandId, device: Device, data: Vec<u8>) {
        (self.0)(id, device, data);
    }
}

/// Draws the numbers of commands.
#[derive(Clone, Default)]
pub struct Ids(Arc<std::sync::atomic::AtomicU64>);

impl Ids {
    /// The next.
    #[must_use]
    pub fn next(&self) -> CommandId {
        CommandId(1 + self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
    }
}
