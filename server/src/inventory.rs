//! `leitstand scan` without a device: what is plugged into this machine, by the names to configure.

use crate::exit::say;
use leitstand_hal_linux::inventory::Inventory;
use serde_json::{Value, json};

/// Prints a line a device.
pub(crate) fn run(as_json: bool) {
    let inventory = Inventory::take();
    if as_json {
        for line in objects(&inventory) {
            say(line.to_string());
        }
        return;
    }
    for line in text(&inventory) {
        say(line);
    }
}

fn text(inventory: &Inventory) -> Vec<String> {
    let mut lines = Vec::new();
    section(
        &mut lines,
        "Serial lines",
        inventory.serial.iter().map(|line| {
            let name = line.by_id.as_ref().unwrap_or(&line.path).display();
            format!("{name}  ({}, {})", line.path.display(), line.driver)
        }),
    );
    section(
        &mut lines,
        "GPIO chips, by label",
        inventory
            .gpio
            .iter()
            .map(|chip| {
                let last = chip.lines.saturating_sub(1);
                format!(
                    "{}  ({}, lines 0 to {last})",
                    chip.label,
                    chip.path.display()
                )
            })
            .chain(
                inventory.gpio_denied.iter().map(|path| {
                    format!("{}: no permission; join its group (gpio)", path.display())
                }),
            ),
    );
    let bus = |bus: &leitstand_hal_linux::inventory::Bus| match bus.name.as_str() {
        "" => bus.path.display().to_string(),
        name => format!("{}  ({name})", bus.path.display()),
    };
    section(&mut lines, "I2C buses", inventory.i2c.iter().map(bus));
    section(&mut lines, "SPI devices", inventory.spi.iter().map(bus));
    lines
}

fn section(lines: &mut Vec<String>, title: &str, items: impl Iterator<Item = String>) {
    lines.push(format!("{title}:"));
    let before = lines.len();
    lines.extend(items.map(|item| format!("  {item}")));
    if lines.len() == before {
        lines.push("  none".into());
    }
}

fn objects(inventory: &Inventory) -> Vec<Value> {
    let serial = inventory.serial.iter().map(|line| {
        json!({"kind": "serial", "path": line.path, "by_id": line.by_id, "driver": line.driver})
    });
    let gpio = inventory.gpio.iter().map(
        |chip| json!({"kind": "gpio", "path": chip.path, "label": chip.label, "lines": chip.lines}),
    );
    let denied = inventory
        .gpio_denied
        .iter()
        .map(|path| json!({"kind": "gpio", "path": path, "denied": true}));
    let i2c = inventory
        .i2c
        .iter()
        .map(|bus| json!({"kind": "i2c", "path": bus.path, "name": bus.name}));
    let spi = inventory
        .spi
        .iter()
        .map(|bus| json!({"kind": "spi", "path": bus.path, "name": bus.name}));
    serial
        .chain(gpio)
        .chain(denied)
        .chain(i2c)
        .chain(spi)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use leitstand_hal_linux::gpio::chips::ChipInfo;
    use leitstand_hal_linux::inventory::{Bus, SerialLine};

    fn pi() -> Inventory {
        Inventory {
            serial: vec![SerialLine {
                path: "/dev/ttyUSB0".into(),
                by_id: Some("/dev/serial/by-id/usb-FTDI-if00".into()),
                driver: "ftdi_sio".into(),
            }],
            gpio: vec![ChipInfo {
                path: "/dev/gpiochip0".into(),
                label: "pinctrl-rp1".into(),
                lines: 54,
            }],
            gpio_denied: vec!["/dev/gpiochip1".into()],
            i2c: vec![Bus {
                path: "/dev/i2c-1".into(),
                name: String::new(),
            }],
            spi: vec![],
        }
    }

    #[test]
    fn people_read_the_names_to_configure() {
        let expected = "Serial lines:\n  /dev/serial/by-id/usb-FTDI-if00  (/dev/ttyUSB0, ftdi_sio)\n\
            GPIO chips, by label:\n  pinctrl-rp1  (/dev/gpiochip0, lines 0 to 53)\n  \
            /dev/gpiochip1: no permission; join its group (gpio)\nI2C buses:\n  /dev/i2c-1\nSPI devices:\n  none";
        assert_eq!(text(&pi()).join("\n"), expected);
    }

    #[test]
    fn programs_read_an_object_a_device() {
        let kinds: Vec<_> = objects(&pi())
            .iter()
            .map(|o| o["kind"].as_str().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(kinds, ["serial", "gpio", "gpio", "i2c"]);
    }
}
