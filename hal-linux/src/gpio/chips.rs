//! Which GPIO chips there are, and which one a name means.

use super::GpioError;
use crate::group;
use std::io;
use std::path::{Path, PathBuf};

/// A GPIO chip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChipInfo {
    /// Device file.
    pub path: PathBuf,
    /// What kind of chip it is; the name to configure.
    pub label: String,
    /// How many lines it has.
    pub lines: u32,
}

/// All chips, and the device files of those that we may not open.
///
/// # Errors
/// [`GpioError::Io`] when `/dev` cannot be read.
pub fn list() -> Result<(Vec<ChipInfo>, Vec<PathBuf>), GpioError> {
    let paths = gpiocdev::chip::chips().map_err(|error| GpioError::Io {
        doing: "looking for GPIO chips".into(),
        source: system(&error),
    })?;
    let (mut chips, mut denied) = (Vec::new(), Vec::new());
    for path in paths {
        match info(&path) {
            Ok(chip) => chips.push(chip),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => denied.push(path),
            // It went while we looked.
            Err(_) => {}
        }
    }
    Ok((chips, denied))
}

/// The chip that `name` means: a label, or a path that starts with `/`.
///
/// # Errors
/// [`GpioError::NoSuchChip`], [`GpioError::Ambiguous`], [`GpioError::Denied`], [`GpioError::Io`].
pub fn find(name: &str) -> Result<ChipInfo, GpioError> {
    if name.starts_with('/') {
        return by_path(Path::new(name));
    }
    let (chips, denied) = list()?;
    choose(name, chips, &denied)
}

fn choose(name: &str, chips: Vec<ChipInfo>, denied: &[PathBuf]) -> Result<ChipInfo, GpioError> {
    let (mut fit, others): (Vec<_>, Vec<_>) = chips.into_iter().partition(|c| c.label == name);
    match (fit.len(), denied.first()) {
        (1, _) => Ok(fit.remove(0)),
        // One of those that we may not open could be it.
        (0, Some(path)) => Err(refused(path)),
        (0, None) => Err(GpioError::NoSuchChip {
            wanted: name.to_owned(),
            present: others.into_iter().map(|c| c.label).collect(),
        }),
        _ => Err(GpioError::Ambiguous {
            label: name.to_owned(),
            paths: fit.into_iter().map(|c| c.path).collect(),
        }),
    }
}

fn by_path(path: &Path) -> Result<ChipInfo, GpioError> {
    info(path).map_err(|source| match source.kind() {
        io::ErrorKind::PermissionDenied => refused(path),
        io::ErrorKind::NotFound => GpioError::NoSuchChip {
            wanted: path.display().to_string(),
            present: list().map_or_else(
                |_| Vec::new(),
                |(chips, _)| chips.into_iter().map(|c| c.label).collect(),
            ),
        },
        _ => GpioError::Io {
            doing: format!("opening {} as a GPIO chip", path.display()),
            source,
        },
    })
}

fn refused(path: &Path) -> GpioError {
    GpioError::Denied {
        path: path.to_owned(),
        remedy: group::remedy(path),
    }
}

fn info(path: &Path) -> Result<ChipInfo, io::Error> {
    let info = gpiocdev::Chip::from_path(path)
        .and_then(|chip| chip.info())
        .map_err(|error| system(&error))?;
    Ok(ChipInfo {
        path: path.to_owned(),
        label: info.label,
        lines: info.num_lines,
    })
}

/// The system's error inside, where there is one.
pub(super) fn system(error: &gpiocdev::Error) -> io::Error {
    use gpiocdev::Error;
    match error {
        Error::Os(number) | Error::Uapi(_, gpiocdev_uapi::Error::Os(number)) => {
            io::Error::from_raw_os_error(number.0)
        }
        other => io::Error::other(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn chip(n: u32, label: &str) -> ChipInfo {
        ChipInfo {
            path: format!("/dev/gpiochip{n}").into(),
            label: label.into(),
            lines: 54,
        }
    }

    #[test]
    fn the_label_decides_and_never_the_number() {
        let chips = vec![chip(0, "raspberrypi-exp-gpio"), chip(4, "pinctrl-rp1")];
        let found = choose("pinctrl-rp1", chips.clone(), &[]).unwrap();
        assert_eq!(found.path, Path::new("/dev/gpiochip4"));
        let text = choose("pinctrl-bcm2711", chips, &[])
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("`raspberrypi-exp-gpio`, `pinctrl-rp1`"),
            "{text}"
        );
    }

    #[test]
    fn a_label_that_two_chips_share_is_refused() {
        let chips = vec![chip(1, "mcp23017"), chip(2, "mcp23017")];
        let error = choose("mcp23017", chips, &[]).unwrap_err();
        assert!(matches!(error, GpioError::Ambiguous { .. }));
        assert!(error.to_string().contains("udev rule"), "{error}");
    }

    #[test]
    fn a_chip_behind_closed_doors_is_a_matter_of_permission() {
        let error = choose("pinctrl-rp1", vec![], &["/dev/gpiochip0".into()]).unwrap_err();
        assert!(matches!(error, GpioError::Denied { .. }), "{error}");
        assert!(error.to_string().contains("/dev/gpiochip0"));
    }

    #[test]
    fn what_is_no_gpio_chip_is_refused() {
        let error = find("/dev/null").unwrap_err();
        assert!(matches!(error, GpioError::Io { .. }), "{error:?}");
        let error = find("/dev/no such chip").unwrap_err();
        assert!(matches!(error, GpioError::NoSuchChip { .. }), "{error:?}");
    }
}
