//! # GPIO lines
//! [`OutputLine`] and [`InputLine`], one line each, with the traits of `embedded-hal`.
//!
//! A chip is named by its **label** (`pinctrl-bcm2711` on a Pi 4, `pinctrl-rp1` on a Pi 5): the number in
//! `/dev/gpiochip0` differs between kernels. Where two chips share a label, as port expanders do, the path of a
//! link that a udev rule makes names one of them.
//!
//! Behind the two types stands the kernel's character device, or with the feature `rppal` the registers of a
//! Raspberry Pi. The interface and the errors are the same.

use std::fmt;
use std::io;
use std::path::PathBuf;

#[cfg(not(feature = "rppal"))]
mod cdev;
#[cfg(not(feature = "rppal"))]
pub use cdev::{InputLine, OutputLine};
#[cfg(feature = "rppal")]
mod pi;
#[cfg(feature = "rppal")]
pub use pi::{InputLine, OutputLine};

pub mod chips;

/// A GPIO line that cannot be had or used. Every text names the cause and what a person can do.
#[derive(Debug, thiserror::Error)]
pub enum GpioError {
    /// No chip of that name. Retry: a chip on USB may come later.
    #[error("no GPIO chip is called `{wanted}`; {}", there(present))]
    NoSuchChip {
        /// As configured.
        wanted: String,
        /// Labels that exist.
        present: Vec<String>,
    },
    /// Two chips of that label. Do not retry.
    #[error(
        "{} GPIO chips are called `{label}`; name one by a path that stays, for example a link made by a udev \
         rule",
        paths.len()
    )]
    Ambiguous {
        /// As configured.
        label: String,
        /// Device files of that label.
        paths: Vec<PathBuf>,
    },
    /// The chip has fewer lines. Do not retry.
    #[error("GPIO chip `{chip}` has lines 0 to {}, not {line}; correct the number", lines.saturating_sub(1))]
    NoSuchLine {
        /// Label.
        chip: String,
        /// As configured.
        line: u32,
        /// How many it has.
        lines: u32,
    },
    /// Somebody else has the line. Retry later.
    #[error(
        "GPIO line {line} of `{chip}` is in use by {}; stop that program, remove its overlay from the boot \
         configuration, or wire another line",
        user(by)
    )]
    InUse {
        /// Label.
        chip: String,
        /// Offset on the chip.
        line: u32,
        /// What the user of the line calls itself; may be empty.
        by: String,
    },
    /// No permission. Retrying does not help.
    #[error("no permission for {}; {remedy}", path.display())]
    Denied {
        /// The device file.
        path: PathBuf,
        /// What a person can do.
        remedy: String,
    },
    /// The chip was there and went. Open the line anew.
    #[error("GPIO chip `{chip}` has gone; plug it in again")]
    Gone {
        /// Label.
        chip: String,
    },
    /// Anything else.
    #[error("{doing}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why it failed.
        source: io::Error,
    },
}

fn there(present: &[String]) -> String {
    if present.is_empty() {
        return "this machine has none: is it a virtual one, or does the kernel lack the driver?"
            .to_owned();
    }
    let list: Vec<_> = present.iter().map(|label| format!("`{label}`")).collect();
    format!(
        "this machine has {}; put one of them into `chip`",
        list.join(", ")
    )
}

fn user(by: &str) -> String {
    if by.is_empty() {
        "a program that gives no name".to_owned()
    } else {
        format!("`{by}`")
    }
}

impl embedded_hal::digital::Error for GpioError {
    fn kind(&self) -> embedded_hal::digital::ErrorKind {
        embedded_hal::digital::ErrorKind::Other
    }
}

/// How a line rests where nothing drives it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pull {
    /// As the chip has it.
    #[default]
    AsIs,
    /// Towards the supply.
    Up,
    /// Towards ground.
    Down,
}

/// A change of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// Low to high.
    Rising,
    /// High to low.
    Falling,
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rising => "rising",
            Self::Falling => "falling",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_names_the_cause_and_the_remedy() {
        let chip = || "pinctrl-rp1".to_owned();
        let cases: [(GpioError, &str, &str); 6] = [
            (
                GpioError::NoSuchChip {
                    wanted: chip(),
                    present: vec!["pinctrl-bcm2711".into()],
                },
                "no GPIO chip is called `pinctrl-rp1`",
                "this machine has `pinctrl-bcm2711`",
            ),
            (
                GpioError::NoSuchChip {
                    wanted: chip(),
                    present: vec![],
                },
                "this machine has none",
                "kernel",
            ),
            (
                GpioError::NoSuchLine {
                    chip: chip(),
                    line: 99,
                    lines: 54,
                },
                "has lines 0 to 53, not 99",
                "correct the number",
            ),
            (
                GpioError::InUse {
                    chip: chip(),
                    line: 4,
                    by: "onewire@0".into(),
                },
                "line 4 of `pinctrl-rp1` is in use by `onewire@0`",
                "stop that program",
            ),
            (
                GpioError::InUse {
                    chip: chip(),
                    line: 4,
                    by: String::new(),
                },
                "a program that gives no name",
                "wire another line",
            ),
            (
                GpioError::Gone { chip: chip() },
                "has gone",
                "plug it in again",
            ),
        ];
        for (error, cause, remedy) in cases {
            let text = error.to_string();
            assert!(text.contains(cause) && text.contains(remedy), "{text}");
        }
    }
}
