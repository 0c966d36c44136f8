//! # The button panel: both ends of the cable, and playback
//!
//! A panel carries 1 to 100 illuminated push buttons. A press lights its LED on the board at once, goes
//! over the cable, and starts picture and sound in every browser; the end of the sound darkens the LED.
//!
//! Terms: *id* number of a button as printed on the panel, from 1. *Selection* the one button whose LED is
//! lit (one-hot), or none. *Retrigger* a press of what is already playing. *Preempt* the newest press wins.
//! *Text v1* the line protocol that every generation of boards speaks; *v2* framed and checked messages,
//! negotiated. *Host* the gateway, *device* the board.
//!
//! From the contact to the picture:
//! [`chain`] (shift registers to bits) → [`debounce`] (bits to events) → [`board`] (the device application)
//! → [`message`] lines or [`mod@frame`]s on the wire, cut by [`mod@line`] → [`link`] (the host's end of the cable)
//! → [`playback`] (what plays, and who may end it) → back to [`link`] as an LED command.
//!
//! The wire formats are tabulated in `PROTOCOL.md` beside this file.
//!
//! Deliberately absent: pins (the drivers of [`chain`] are generic over embedded-hal), sockets, media
//! files, and any way in which garbage on the wire becomes a press.

pub mod board;
mod button;
pub mod chain;
pub mod debounce;
pub mod frame;
pub mod line;
pub mod link;
pub mod message;
pub mod name;
pub mod playback;

pub use button::{ButtonId, ButtonSet, Ids, PanelSize};

#[cfg(test)]
mod protocol;
#[cfg(test)]
mod tests;
