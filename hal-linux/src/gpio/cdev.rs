//! Lines by the kernel's character device.

use super::chips::{self, ChipInfo, system};
use super::{Edge, GpioError, Pull};
use crate::group;
use embedded_hal::digital::{ErrorType, InputPin, OutputPin};
use gpiocdev::Request;
use gpiocdev::line::{Bias, EdgeDetection, EdgeKind, Value};
use gpiocdev::request::Builder;
use rustix::io::Errno;
use std::time::Duration;

/// Bytes of a user's name that the kernel keeps, less the one that ends it.
const NAME_MAX: usize = 31;

/// A line that we drive. Free for others again when this is dropped.
#[derive(Debug)]
pub struct OutputLine {
    request: Request,
    chip: ChipInfo,
}

impl OutputLine {
    /// Takes line `line` of `chip` and drives it to `high` in the same moment. `purpose` is what others read
    /// who ask why the line is in use.
    ///
    /// # Errors
    /// Every kind of [`GpioError`].
    pub fn open(chip: &str, line: u32, high: bool, purpose: &str) -> Result<Self, GpioError> {
        let level = if high { Value::Active } else { Value::Inactive };
        let (request, chip) = request(chip, line, purpose, |builder| {
            builder.as_output(level);
        })?;
        Ok(Self { request, chip })
    }

    fn set(&mut self, level: Value) -> Result<(), GpioError> {
        self.request
            .set_lone_value(level)
            .map_err(|error| lost(&self.chip, "switching a GPIO line", &error))
    }
}

impl ErrorType for OutputLine {
    type Error = GpioError;
}

impl OutputPin for OutputLine {
    fn set_low(&mut self) -> Result<(), GpioError> {
        self.set(Value::Inactive)
    }

    fn set_high(&mut self) -> Result<(), GpioError> {
        self.set(Value::Active)
    }
}

/// A line that we read.
#[derive(Debug)]
pub struct InputLine {
    request: Request,
    chip: ChipInfo,
}

impl InputLine {
    /// Takes line `line` of `chip`. From here on the kernel remembers its edges.
    ///
    /// # Errors
    /// Every kind of [`GpioError`].
    pub fn open(chip: &str, line: u32, pull: Pull, purpose: &str) -> Result<Self, GpioError> {
        let bias = match pull {
            Pull::AsIs => None,
            Pull::Up => Some(Bias::PullUp),
            Pull::Down => Some(Bias::PullDown),
        };
        let (request, chip) = request(chip, line, purpose, |builder| {
            builder
                .as_input()
                .with_bias(bias)
                .with_edge_detection(EdgeDetection::BothEdges);
        })?;
        Ok(Self { request, chip })
    }

    /// The next edge, waiting at most `timeout`; `None` when there was none.
    ///
    /// # Errors
    /// [`GpioError::Gone`], [`GpioError::Io`].
    pub fn wait_edge(&mut self, timeout: Duration) -> Result<Option<Edge>, GpioError> {
        let doing = "waiting for a GPIO edge";
        let lost = |error| lost(&self.chip, doing, &error);
        if !self.request.wait_edge_event(timeout).map_err(lost)? {
            return Ok(None);
        }
        let event = self.request.read_edge_event().map_err(lost)?;
        Ok(Some(match event.kind {
            EdgeKind::Rising => Edge::Rising,
            EdgeKind::Falling => Edge::Falling,
        }))
    }
}

impl ErrorType for InputLine {
    type Error = GpioError;
}

impl InputPin for InputLine {
    fn is_high(&mut self) -> Result<bool, GpioError> {
        self.request
            .lone_value()
            .map(|value| value == Value::Active)
            .map_err(|error| lost(&self.chip, "reading a GPIO line", &error))
    }

    fn is_low(&mut self) -> Result<bool, GpioError> {
        self.is_high().map(|high| !high)
    }
}

fn request(
    chip: &str,
    line: u32,
    purpose: &str,
    prepare: impl FnOnce(&mut Builder),
) -> Result<(Request, ChipInfo), GpioError> {
    let chip = chips::find(chip)?;
    if line >= chip.lines {
        return Err(GpioError::NoSuchLine {
            chip: chip.label,
            line,
            lines: chip.lines,
        });
    }
    let consumer: String = format!("leitstand {purpose}")
        .chars()
        .take(NAME_MAX)
        .collect();
    let mut builder = Request::builder();
    prepare(
        builder
            .on_chip(&chip.path)
            .with_consumer(consumer)
            .with_line(line),
    );
    match builder.request() {
        Ok(request) => Ok((request, chip)),
        Err(error) => Err(refused(chip, line, &error)),
    }
}

fn refused(chip: ChipInfo, line: u32, error: &gpiocdev::Error) -> GpioError {
    let source = system(error);
    match Errno::from_io_error(&source) {
        Some(Errno::BUSY) => GpioError::InUse {
            by: user(&chip, line),
            chip: chip.label,
            line,
        },
        Some(Errno::ACCESS | Errno::PERM) => GpioError::Denied {
            remedy: group::remedy(&chip.path),
            path: chip.path,
        },
        Some(Errno::NODEV | Errno::NXIO | Errno::NOENT) => GpioError::Gone { chip: chip.label },
        _ => GpioError::Io {
            doing: format!("taking GPIO line {line} of `{}`", chip.label),
            source,
        },
    }
}

/// What the program or driver that has the line calls itself.
fn user(chip: &ChipInfo, line: u32) -> String {
    gpiocdev::Chip::from_path(&chip.path)
        .and_then(|chip| chip.line_info(line))
        .map(|info| info.consumer)
        .unwrap_or_default()
}

fn lost(chip: &ChipInfo, doing: &str, error: &gpiocdev::Error) -> GpioError {
    let source = system(error);
    match Errno::from_io_error(&source) {
        Some(Errno::NODEV | Errno::NXIO) => GpioError::Gone {
            chip: chip.label.clone(),
        },
        _ => GpioError::Io {
            doing: doing.to_owned(),
            source,
        },
    }
}
