//! Linux hardware behind the traits of `leitstand-core` and `embedded-hal`: newtypes without policy.
//!
//! | Module | Device |
//! |---|---|
//! | [`serial`], [`rs485`] | UARTs, USB adapters, pseudo-terminals; who turns the transceiver around |
//! | [`gpio`] | lines of a GPIO chip that is found by its label |
//! | [`register`] | output boards on shift registers, by lines or SPI |
//! | [`spi`], [`gauge`] | buses; INA219 and INA226 battery monitors on I2C |
//! | [`mains`] | a GPIO line that tells whether mains is there |
//! | [`inventory`] | what is plugged in, for `leitstand scan` |
//!
//! Every error names the cause and what a person can do about it.
//!
//! Deliberately absent: retries, protocols, tokio.

pub mod gauge;
pub mod gpio;
mod group;
pub mod inventory;
mod lock;
pub mod mains;
pub mod register;
pub mod rs485;
pub mod serial;
pub mod spi;
