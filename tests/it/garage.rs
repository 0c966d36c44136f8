//! A small garage for tests: sensors and a relay module on a line that the test holds, so that they outlive the
//! gateway.

use leitstand_core::modbus::frame::Address;
use leitstand_core::modbus::line::Line;
use leitstand_hal_mock::bus::{Bus, Handle};
use leitstand_hal_mock::fault::Fault;
use leitstand_hal_mock::mr_do4::MrDo4;
use leitstand_hal_mock::ra_gas::RaGas;
use leitstand_hal_mock::rs485::{Device, Rs485};
use std::fmt::Write as _;
use tempfile::TempDir;

/// Address of the relay module.
const RELAYS: u8 = 34;

/// The far side of the cable.
pub(crate) struct Garage {
    bus: Bus,
    sensors: u8,
    /// Where the device file is, whose name is in [`Garage::config`].
    dir: TempDir,
}

impl Garage {
    /// `sensors` combi sensors at addresses 1.., in clean air, and a relay module.
    pub(crate) fn new(sensors: u8) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut devices: Vec<Device> = (1..=sensors)
            .map(|a| Device::RaGas(RaGas::new(Address::new(a).unwrap())))
            .collect();
        devices.push(Device::MrDo4(MrDo4::new(Address::new(RELAYS).unwrap())));
        let line = Line {
            baud: 57_600,
            ..Line::RA_GAS
        };
        let bus = Bus::start(Rs485::new(line, devices), &dir.path().join("rs485")).unwrap();
        Self { bus, sensors, dir }
    }

    /// The line.
    pub(crate) fn line(&self) -> Handle {
        self.bus.handle()
    }

    /// The device file of the line.
    pub(crate) fn device(&self) -> std::path::PathBuf {
        self.dir.path().join("rs485")
    }

    /// CO at a sensor, in ppm; NO2 stays 0.
    pub(crate) fn co(&self, sensor: u8, ppm: f64) {
        match self.bus.handle().line().device(sensor) {
            Some(Device::RaGas(device)) => device.set_ppm(0.0, ppm),
            other => panic!("no sensor {sensor}: {other:?}"),
        }
    }

    /// A fault of a device.
    pub(crate) fn fault(&self, address: u8, fault: Fault, on: bool) {
        self.bus
            .handle()
            .line()
            .device(address)
            .unwrap()
            .fault(fault, on);
    }

    /// The relays 1 to 4 as the coils are.
    pub(crate) fn relays(&self) -> [bool; 4] {
        match self.bus.handle().line().device(RELAYS) {
            Some(Device::MrDo4(module)) => module.relays(),
            other => panic!("no relays: {other:?}"),
        }
    }

    /// Every cell has AP1 at 30 ppm (direct, not latching), AP2 at 60 ppm (10 s average) and AP3 at 150 ppm (direct,
    /// latching); relays: 1 healthy, 2 fan (AP1), 3 fan fast (AP2), 4 horn (AP3).
    pub(crate) fn config(&self, more_of_the_bus: &str) -> String {
        let device = self.dir.path().join("rs485");
        let mut text = format!(
            "site = \"Test garage\"\n[gas]\nproduction = true\n\
            [[gas.buses]]\nid = \"rs485\"\ndevice = \"{}\"\nbaud = 57600\n{more_of_the_bus}\n\
            [[gas.boards]]\nid = \"relays\"\nkind = \"mr_do4\"\nbus = \"rs485\"\naddress = {RELAYS}\n",
            device.display()
        );
        for (id, kind, pin, more) in [
            ("fault", "relay", 1, "normally = \"energised\""),
            ("fan", "relay", 2, ""),
            ("fan_fast", "relay", 3, ""),
            ("horn", "horn", 4, ""),
        ] {
            let _ = write!(
                text,
                "[[gas.outputs]]\nid = \"{id}\"\nkind = \"{kind}\"\npin = {pin}\n{more}\n"
            );
        }
        for n in 1..=self.sensors {
            let _ = write!(
                text,
                "[[gas.sensors]]\nid = \"level{n}\"\nkind = \"ra_gas_co_no2\"\nbus = \"rs485\"\naddress = {n}\n\
                [[gas.cells]]\nid = \"co_{n}\"\nsensor = \"level{n}\"\nchannel = 2\ngas = \"co\"\nunit = \"ppm\"\n\
                range_hi = 300\nwarmup_s = 0\n\
                [[gas.zones]]\nid = \"zone{n}\"\ncells = [\"co_{n}\"]\n\
                [[gas.zones.setpoints]]\nid = \"ap1\"\nstage = 1\non = 30.0\nhysteresis = 5.0\nactions = [{{ output = \"fan\" }}]\n\
                [[gas.zones.setpoints]]\nid = \"ap2\"\nstage = 2\nquantity = \"average\"\nwindow_s = 10\non = 60.0\n\
                hysteresis = 10.0\nactions = [{{ output = \"fan_fast\" }}]\n\
                [[gas.zones.setpoints]]\nid = \"ap3\"\nstage = 3\non = 150.0\nhysteresis = 10.0\nactions = [{{ output = \"horn\" }}]\n"
            );
        }
        text
    }
}
