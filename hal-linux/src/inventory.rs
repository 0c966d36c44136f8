//! What is plugged into this machine: serial lines, GPIO chips, I2C and SPI buses.

use crate::gpio::chips::{self, ChipInfo};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A serial line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SerialLine {
    /// Device file, as `/dev/ttyUSB0`.
    pub path: PathBuf,
    /// The name that stays when it is plugged in elsewhere; `None` for built-in ports.
    pub by_id: Option<PathBuf>,
    /// Kernel driver.
    pub driver: String,
}

/// An I2C or SPI bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bus {
    /// Device file.
    pub path: PathBuf,
    /// What the kernel calls it; may be empty.
    pub name: String,
}

/// All of it, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Serial lines with hardware behind them.
    pub serial: Vec<SerialLine>,
    /// GPIO chips.
    pub gpio: Vec<ChipInfo>,
    /// GPIO chips that we may not open.
    pub gpio_denied: Vec<PathBuf>,
    /// I2C buses.
    pub i2c: Vec<Bus>,
    /// SPI devices.
    pub spi: Vec<Bus>,
}

impl Inventory {
    /// Looks around. What cannot be read is not there.
    #[must_use]
    pub fn take() -> Self {
        let root = Path::new("/");
        let (gpio, gpio_denied) = chips::list().unwrap_or_default();
        Self {
            serial: serial(root),
            gpio,
            gpio_denied,
            i2c: buses(root, "sys/class/i2c-dev", "name"),
            spi: buses(root, "sys/class/spidev", "device/modalias"),
        }
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    // ttyUSB2 before ttyUSB10.
    names.sort_by_key(|name| {
        let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let (stem, number) = name.split_at(name.len() - digits);
        (stem.to_owned(), number.parse::<u64>().unwrap_or(0))
    });
    names
}

fn serial(root: &Path) -> Vec<SerialLine> {
    let by_id: BTreeMap<PathBuf, PathBuf> = names(&root.join("dev/serial/by-id"))
        .into_iter()
        .filter_map(|name| {
            let link = root.join("dev/serial/by-id").join(&name);
            let target = link.canonicalize().ok()?;
            Some((target, Path::new("/dev/serial/by-id").join(name)))
        })
        .collect();
    names(&root.join("sys/class/tty"))
        .into_iter()
        .filter_map(|name| {
            // Consoles and pseudo-terminals have no device behind them.
            let device = root.join("sys/class/tty").join(&name).join("device");
            let driver = device.join("driver").canonicalize().ok()?;
            let driver = driver.file_name()?.to_string_lossy().into_owned();
            // Ports that the 8250 driver only makes room for: there is no UART.
            let kind = fs::read_to_string(root.join("sys/class/tty").join(&name).join("type"));
            if driver == "serial8250" && kind.is_ok_and(|kind| kind.trim() == "0") {
                return None;
            }
            let file = root.join("dev").join(&name);
            let by_id = file
                .canonicalize()
                .ok()
                .and_then(|f| by_id.get(&f).cloned());
            let path = Path::new("/dev").join(name);
            Some(SerialLine {
                path,
                by_id,
                driver,
            })
        })
        .collect()
}

fn buses(root: &Path, class: &str, label: &str) -> Vec<Bus> {
    let class = root.join(class);
    names(&class)
        .into_iter()
        .map(|name| Bus {
            name: fs::read_to_string(class.join(&name).join(label))
                .unwrap_or_default()
                .trim()
                .to_owned(),
            path: Path::new("/dev").join(name),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::symlink;

    fn make(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn tty(root: &Path, name: &str, driver: &str, kind: &str) {
        let drivers = root.join("sys/drivers").join(driver);
        fs::create_dir_all(&drivers).unwrap();
        make(root, &format!("sys/class/tty/{name}/type"), kind);
        let device = root.join("sys/class/tty").join(name).join("device");
        fs::create_dir_all(&device).unwrap();
        symlink(drivers, device.join("driver")).unwrap();
        make(root, &format!("dev/{name}"), "");
    }

    #[test]
    fn only_lines_with_hardware_are_listed_and_by_their_lasting_name() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        tty(root, "ttyUSB10", "ftdi_sio", "0");
        tty(root, "ttyUSB2", "ftdi_sio", "0");
        tty(root, "ttyS0", "serial8250", "4");
        tty(root, "ttyS1", "serial8250", "0");
        make(root, "sys/class/tty/tty1/dev", "4:1");
        let by_id = root.join("dev/serial/by-id");
        fs::create_dir_all(&by_id).unwrap();
        symlink("../../ttyUSB2", by_id.join("usb-FTDI-if00")).unwrap();
        let found = serial(root);
        let told: Vec<_> = found
            .iter()
            .map(|line| (line.path.to_str().unwrap(), line.driver.as_str()))
            .collect();
        let expected = [
            ("/dev/ttyS0", "serial8250"),
            ("/dev/ttyUSB2", "ftdi_sio"),
            ("/dev/ttyUSB10", "ftdi_sio"),
        ];
        assert_eq!(told, expected);
        let lasting = Path::new("/dev/serial/by-id/usb-FTDI-if00");
        assert_eq!(found[1].by_id.as_deref(), Some(lasting));
        assert_eq!(found[2].by_id, None);
    }

    #[test]
    fn buses_carry_the_kernels_name() {
        let dir = tempfile::tempdir().unwrap();
        make(
            dir.path(),
            "sys/class/i2c-dev/i2c-1/name",
            "bcm2835 (i2c@7e804000)\n",
        );
        fs::create_dir_all(dir.path().join("sys/class/i2c-dev/i2c-20")).unwrap();
        let found = buses(dir.path(), "sys/class/i2c-dev", "name");
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].name, "bcm2835 (i2c@7e804000)");
        assert_eq!(found[1].path, Path::new("/dev/i2c-20"));
    }

    #[test]
    fn a_machine_without_any_is_an_empty_list() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(serial(dir.path()), []);
        assert_eq!(buses(dir.path(), "sys/class/spidev", "name"), []);
    }
}
