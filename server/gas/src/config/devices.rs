//! Buses and sensors: what hangs on which line.

use super::actions::resolve;
use super::check::{Checker, small};
use super::raw::{FormatConfig, SensorConfig, SensorKind};
use crate::bus::{self, SpecError};
use crate::seam::{AnalogProfile, BusSpec, DeviceKind, DeviceSpec};
use crate::simulate;
use crate::site::SensorInfo;
use leitstand_core::gas::BusIndex;
use leitstand_core::gas::analog::RegisterFormat;
use leitstand_kit::config::Path;
use std::collections::HashMap;
use std::time::Duration;

/// Rates that serial lines and the field's modules know.
const BAUDS: [u32; 8] = [1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200];
/// The register layout that is built in. Its registers could not be confirmed on a device.
const MR_CI4: AnalogProfile = AnalogProfile {
    function: 4,
    start: 0,
    stride: 2,
    format: RegisterFormat::F32Be,
    scale: 1.0,
    offset: 0.0,
};

impl Checker<'_> {
    pub(super) fn buses(&mut self) {
        let gas = self.gas;
        self.too_many("buses", gas.buses.len(), 16);
        let mut devices = HashMap::new();
        for (i, bus) in gas.buses.iter().take(16).enumerate() {
            let path = self.at("buses", i);
            if !BAUDS.contains(&bus.baud) {
                self.diags
                    .error(
                        &path.key("baud"),
                        "bad_baud",
                        format!("{} is no usual rate", bus.baud),
                    )
                    .allowed("1200, 2400, 4800, 9600, 19200, 38400, 57600 or 115200");
            }
            if bus.device.trim().is_empty() {
                self.diags
                    .error(&path.key("device"), "empty", "a bus needs a device")
                    .allowed("a path such as /dev/serial/by-id/...");
            } else if let Some(other) = devices.insert(bus.device.as_str(), &bus.id) {
                self.diags
                    .error(
                        &path.key("device"),
                        "device_twice",
                        format!("bus `{other}` uses {} already", bus.device),
                    )
                    .allowed("one bus a device");
            }
            self.parts.buses.push(BusSpec {
                index: BusIndex(small(i)),
                id: bus.id.clone(),
                device: bus.device.clone(),
                baud: bus.baud,
                parity: bus.parity,
                rts: bus.rts.unwrap_or_default(),
                timeout: Duration::from_millis(bus.timeout_ms.into()),
                retries: bus.retries,
                scan: Duration::from_secs(bus.scan_s.into()),
                devices: Vec::new(),
            });
        }
        self.parts.plan.buses = small(self.parts.buses.len());
    }

    /// The position of `id` among buses.
    pub(super) fn bus(&mut self, path: &Path, id: &str) -> Option<usize> {
        let gas = self.gas;
        resolve(
            self.diags,
            path,
            id,
            "bus",
            gas.buses.iter().map(|b| b.id.as_str()),
        )
        .filter(|i| *i < self.parts.buses.len())
    }

    /// Puts a device on its bus, whose addresses are unique. Answers the bus and the position on it.
    pub(super) fn device(
        &mut self,
        item: &Path,
        id: &str,
        bus: Option<&str>,
        address: Option<u8>,
        kind: DeviceKind,
    ) -> Option<(BusIndex, usize)> {
        let bus = match bus {
            Some(id) => self.bus(&item.key("bus"), id),
            None => self.missing(item, "bus", "the id of its bus"),
        };
        let address = match address {
            Some(address) => Some(address),
            None => self.missing(item, "address", "its slave address, 1 to 247"),
        };
        let (bus, address) = (bus?, address?);
        let devices = &mut self.parts.buses[bus].devices;
        if let Some(other) = devices.iter().find(|d| d.address == address) {
            let message = format!("`{}` has address {address} on this bus already", other.id);
            self.diags
                .error(&item.key("address"), "address_twice", message)
                .allowed("one device an address");
            return None;
        }
        devices.push(DeviceSpec {
            id: id.to_owned(),
            address,
            kind,
        });
        Some((BusIndex(small(bus)), devices.len() - 1))
    }

    pub(super) fn profile(&mut self, item: &Path, id: &str) -> Option<AnalogProfile> {
        let gas = self.gas;
        let path = item.key("profile");
        if id == "mr_ci4" {
            let text = "the register layout of the MR-CI4 was never confirmed on a device";
            self.diags.warning(&path, "profile_unverified", text);
            return Some(MR_CI4);
        }
        let ids = gas.profiles.iter().map(|p| p.id.as_str()).chain(["mr_ci4"]);
        let at = resolve(self.diags, &path, id, "register layout", ids)?;
        let profile = &gas.profiles[at];
        if !profile.verified {
            let text = format!("the register layout `{id}` is not marked as verified");
            self.diags.warning(&path, "profile_unverified", text);
        }
        Some(AnalogProfile {
            function: profile.function,
            start: profile.start,
            stride: profile.stride,
            format: match profile.format {
                FormatConfig::U16 => RegisterFormat::U16,
                FormatConfig::I16 => RegisterFormat::I16,
                FormatConfig::F32be => RegisterFormat::F32Be,
                FormatConfig::F32le => RegisterFormat::F32Le,
            },
            scale: profile.scale,
            offset: profile.offset,
        })
    }

    pub(super) fn sensors(&mut self) {
        let gas = self.gas;
        for (i, profile) in gas.profiles.iter().enumerate() {
            let path = self.at("profiles", i);
            if !profile.scale.is_finite() || profile.scale == 0.0 {
                self.diags
                    .error(&path.key("scale"), "bad_scale", "a scale must not be zero")
                    .allowed("a number other than 0");
            }
            if !profile.offset.is_finite() {
                let path = path.key("offset");
                self.diags
                    .error(&path, "not_finite", "an offset must be a number");
            }
            let words = match profile.format {
                FormatConfig::U16 | FormatConfig::I16 => 1,
                FormatConfig::F32be | FormatConfig::F32le => 2,
            };
            if profile.stride < words {
                self.diags
                    .error(&path.key("stride"), "bad_stride", "channels overlap")
                    .allowed(format!("at least {words} for this format"));
            }
        }
        self.too_many("sensors", gas.sensors.len(), 64);
        for (i, sensor) in gas.sensors.iter().take(64).enumerate() {
            let path = self.at("sensors", i);
            let simulation = [
                ("low", sensor.low.is_some()),
                ("high", sensor.high.is_some()),
                ("period_s", sensor.period_s.is_some()),
            ];
            let (kind, place) = match sensor.kind {
                SensorKind::RaGasCoNo2 => {
                    self.not_allowed(&path, &simulation, "a combi sensor");
                    self.not_allowed(
                        &path,
                        &[("profile", sensor.profile.is_some())],
                        "a combi sensor",
                    );
                    let kind = DeviceKind::RaGas { cells: [None; 2] };
                    let (bus, address) = (sensor.bus.as_deref(), sensor.address);
                    (
                        "ra_gas_co_no2",
                        self.device(&path, &sensor.id, bus, address, kind),
                    )
                }
                SensorKind::Analog => {
                    self.not_allowed(&path, &simulation, "an analog module");
                    let profile = match sensor.profile.as_deref() {
                        Some(id) => self.profile(&path, id),
                        None => self.missing(
                            &path,
                            "profile",
                            "the id of a register layout, or `mr_ci4`",
                        ),
                    };
                    let kind = DeviceKind::Analog {
                        profile: profile.unwrap_or(MR_CI4),
                        channels: Vec::new(),
                    };
                    let (bus, address) = (sensor.bus.as_deref(), sensor.address);
                    ("analog", self.device(&path, &sensor.id, bus, address, kind))
                }
                SensorKind::Simulated => {
                    self.simulated(&path, sensor);
                    ("simulated", None)
                }
            };
            self.parts.sensors.push(SensorInfo {
                id: sensor.id.clone(),
                kind,
                place,
                address: sensor.address,
                profile: sensor.profile.clone(),
                cells: Vec::new(),
            });
        }
    }

    pub(super) fn simulated(&mut self, path: &Path, sensor: &SensorConfig) {
        if self.parts.production {
            self.diags
                .error(
                    &path.key("kind"),
                    "simulated_in_production",
                    format!("`{}` is simulated", sensor.id),
                )
                .allowed("a real sensor, or `production = false`");
        }
        let given = [
            ("bus", sensor.bus.is_some()),
            ("address", sensor.address.is_some()),
        ];
        self.not_allowed(path, &given, "a simulated sensor");
        let names = simulate::PROFILES.map(|(name, ..)| name);
        match sensor.profile.as_deref() {
            None => {
                let _: Option<()> = self.missing(path, "profile", &names.join(", "));
            }
            Some(given) => {
                if let Some(at) = resolve(self.diags, &path.key("profile"), given, "profile", names)
                {
                    let fixed = simulate::PROFILES[at].2.is_some();
                    self.not_allowed(
                        path,
                        &[("period_s", fixed && sensor.period_s.is_some())],
                        given,
                    );
                }
            }
        }
        let low = self.number(&path.key("low"), sensor.low.unwrap_or(0.0));
        if let (Some(low), Some(high)) = (low, sensor.high) {
            let high = self.number(&path.key("high"), high);
            if high.is_some_and(|high| high < low) {
                self.diags
                    .error(&path.key("high"), "bad_range", "`high` lies below `low`")
                    .allowed("at least `low`");
            }
        }
    }

    /// What the bus master has to say about a line with all its devices.
    pub(super) fn lines(&mut self) {
        for i in 0..self.parts.buses.len() {
            let spec = &self.parts.buses[i];
            let path = self.at("buses", i);
            let id = &spec.id;
            if spec.devices.is_empty() {
                let message = format!("nothing is on bus `{id}`");
                self.diags.warning(&path, "unused_bus", message);
                continue;
            }
            let device = |at: usize| {
                spec.devices
                    .get(at)
                    .map_or("?", |d| d.id.as_str())
                    .to_owned()
            };
            let (code, message, allowed) = match bus::plan(spec) {
                Ok(_) => continue,
                // Reported with their own keys.
                Err(SpecError::Address(_)) => continue,
                Err(SpecError::Settings(_)) if self.diags.has_errors() => continue,
                Err(SpecError::TooManyDevices) => (
                    "too_many",
                    format!("{} devices are on bus `{id}`", spec.devices.len()),
                    "fewer devices, or a second bus",
                ),
                Err(SpecError::Registers(at)) => (
                    "bad_layout",
                    format!("the registers of `{}` cannot be read", device(at)),
                    "channels and a register layout below register 65536",
                ),
                Err(error @ SpecError::Settings(_)) => (
                    "bad_bus",
                    format!("bus `{id}` cannot work: {error}"),
                    "usual rates and times",
                ),
            };
            self.diags.error(&path, code, message).allowed(allowed);
        }
    }
}
