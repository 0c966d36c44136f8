//! A module that keeps nothing to itself: statuses are shown as they are, commands come from the interface.
//!
//! A command for a device that is not there waits here until it connects, so that a person can prepare it; the car
//! itself drops what was offered before a module's first device, as stale.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use leitstand_kit::clock::Instant;

use super::{CarModule, Code, Module, Offers};
use crate::{
    name::CarName,
    session::{CommandId, Key, Leave},
    wire::Device,
};

/// Commands of a car that wait for their device.
const WAITING_MAX: usize = 100;

/// Any number.
#[derive(Clone, Default)]
pub struct Transparent(Arc<Mutex<BTreeMap<CarName, Desk>>>);

impl Transparent {
    /// The desk of a car, once the module is there for it.
    #[must_use]
    pub fn desk(&self, car: &CarName) -> Option<Desk> {
        let desks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        desks.get(car).cloned()
    }

    pub(crate) fn desks(&self) -> Vec<Desk> {
        let desks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        desks.values().cloned().collect()
    }
}

impl Module for Transparent {
    fn supports(&self, _device_type: u32) -> bool {
        true
    }

    fn open(&mut self, car: &CarName, offers: Offers) -> Result<Box<dyn CarModule>, String> {
        let mut desks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let desk = Desk(Arc::new(Mutex::new(State {
            offers,
            connected: BTreeMap::new(),
            waiting: VecDeque::new(),
        })));
        desks.insert(car.clone(), desk.clone());
        Ok(Box::new(desk))
    }
}

/// Where commands for one car are put down. Cheap to clone.
#[derive(Clone)]
pub struct Desk(Arc<Mutex<State>>);

struct State {
    offers: Offers,
    connected: BTreeMap<Key, Device>,
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    id: CommandId,
    device: Device,
    data: Vec<u8>,
    expires: Option<Instant>,
}

/// The desk is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeskFull;

impl Desk {
    /// Puts down a command. It leaves at once when its device is connected. `known` is told its number before.
    ///
    /// # Errors
    /// A hundred are waiting for devices that are not there.
    pub fn send(
        &self,
        now: Instant,
        device: Device,
        data: Vec<u8>,
        time_to_live: Option<Duration>,
        known: impl FnOnce(CommandId),
    ) -> Result<CommandId, DeskFull> {
        let mut state = self.lock();
        let connected = state.connected.get(&Key::of(&device)).cloned();
        if connected.is_none() && state.waiting.len() >= WAITING_MAX {
            return Err(DeskFull);
        }
        let id = state.offers.next_id();
        known(id);
        match connected {
            Some(device) => state.offers.offer_as(id, device, data),
            None => state.waiting.push_back(Waiting {
                id,
                device,
                data,
                expires: time_to_live.map(|span| now + span),
            }),
        }
        Ok(id)
    }

    /// Takes out what waited too long.
    pub fn expire(&self, now: Instant) -> Vec<CommandId> {
        let mut state = self.lock();
        let old = |w: &Waiting| w.expires.is_some_and(|at| at <= now);
        let expired = state.waiting.iter().filter(|w| old(w)).map(|w| w.id);
        let expired = expired.collect();
        state.waiting.retain(|w| !old(w));
        expired
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CarModule for Desk {
    fn connected(&mut self, device: &Device) -> Result<(), Code> {
        let mut state = self.lock();
        let key = Key::of(device);
        state.connected.insert(key.clone(), device.clone());
        let all = std::mem::take(&mut state.waiting);
        let (ready, rest) = all
            .into_iter()
            .partition::<Vec<_>, _>(|w| Key::of(&w.device) == key);
        state.waiting = rest.into();
        for command in ready {
            let device = device.clone();
            state.offers.offer_as(command.id, device, command.data);
        }
        Ok(())
    }

    fn status(&mut self, _device: &Device, _data: &[u8]) -> Result<(), Code> {
        Ok(())
    }

    fn disconnected(&mut self, device: &Device, _why: Leave) {
        self.lock().connected.remove(&Key::of(device));
    }
}
