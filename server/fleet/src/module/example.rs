//! The public example: a button and a lamp. The lamp is lit while the button is pressed.
//!
//! Status `{"pressed": true}`, command `{"lit_up": true}`. A command goes out when the lamp has to change.

use std::collections::BTreeMap;

use super::{CarModule, Code, Module, NOT_OK, Offers};
use crate::{
    name::CarName,
    session::{Key, Leave},
    wire::Device,
};

/// Module 1000.
#[derive(Default)]
pub struct Example;

impl Module for Example {
    fn supports(&self, device_type: u32) -> bool {
        device_type == 0
    }

    fn open(&mut self, _car: &CarName, offers: Offers) -> Result<Box<dyn CarModule>, String> {
        Ok(Box::new(Buttons {
            offers,
            lit: BTreeMap::new(),
        }))
    }
}

struct Buttons {
    offers: Offers,
    /// Whether the lamp is lit; `None` until the first status.
    lit: BTreeMap<Key, Option<bool>>,
}

impl CarModule for Buttons {
    fn connected(&mut self, device: &Device) -> Result<(), Code> {
        self.lit.insert(Key::of(device), None);
        Ok(())
    }

    fn status(&mut self, device: &Device, data: &[u8]) -> Result<(), Code> {
        let status: serde_json::Value = serde_json::from_slice(data).map_err(|_| NOT_OK)?;
        let pressed = status["pressed"].as_bool().ok_or(NOT_OK)?;
        let lit = self.lit.entry(Key::of(device)).or_default();
        if lit.replace(pressed) != Some(pressed) {
            let command = format!("{{\"lit_up\": {pressed}}}");
            self.offers.offer(device.clone(), command.into());
        }
        Ok(())
    }

    fn disconnected(&mut self, device: &Device, _why: Leave) {
        self.lit.remove(&Key::of(device));
    }
}
