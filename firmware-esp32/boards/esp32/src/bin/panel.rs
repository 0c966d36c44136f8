//! The panel on a XIAO board: pins, clocks, the one loop, and what happens after a panic.
#![no_std]
#![no_main]

#[path = "../pins.rs"]
mod pins;
#[path = "../usb.rs"]
mod usb;

use esp_hal::delay::Delay;
use esp_hal::gpio::{Input, InputConfig, Level, Output, OutputConfig, Pull};
use esp_hal::ledc::channel::{self, ChannelIFace as _};
use esp_hal::ledc::timer::{self, TimerIFace as _};
use esp_hal::ledc::{LSGlobalClkSource, Ledc, LowSpeed};
use esp_hal::peripherals::TIMG0;
use esp_hal::rng::Rng;
use esp_hal::spi::Mode;
use esp_hal::spi::master::{Config as SpiConfig, Spi};
use esp_hal::time::Rate;
use esp_hal::timer::timg::{MwdtStage, TimerGroup, Wdt};
use esp_hal::usb::usb_serial_jtag::UsbSerialJtag;
use esp_storage::FlashStorage;
use leitstand_core::panel::PanelSize;
use leitstand_core::panel::board;
use leitstand_core::panel::chain::{Latched, LeadingEdge, LoadLevel, Wiring};
use leitstand_core::time::Instant;
use leitstand_firmware::chains::Chains;
use leitstand_firmware::dimmer::Dimmer;
use leitstand_firmware::panel::{Hardware, Panel};
use leitstand_firmware::settings::Slots;
use leitstand_firmware::watchdog::Watchdog;

esp_bootloader_esp_idf::esp_app_desc!();

/// Buttons of a board that was never told otherwise: the prototype.
const BUTTONS: u8 = 10;
/// SPI clock. Reasoning: a CD4021B at 3.3 V is slow (panel specification 2.3); the 74HC595 takes whatever it gets.
const SPI_KHZ: u32 = 500;
/// PWM of the output-enable line. Source: panel specification 2.3.
const DIM_KHZ: u32 = 1;
/// Where the settings are: the `nvs` partition of the usual table, which nothing else here uses.
const SETTINGS_AT: u32 = 0x9000;
/// Source: panel specification 6.
const HANG: esp_hal::time::Duration = esp_hal::time::Duration::from_secs(2);

struct Dog(Wdt<TIMG0<'static>>);

impl Watchdog for Dog {
    fn feed(&mut self) {
        self.0.feed();
    }
}

fn now() -> Instant {
    Instant::from_millis(
        esp_hal::time::Instant::now()
            .duration_since_epoch()
            .as_millis(),
    )
}

#[esp_hal::main]
fn main() -> ! {
    let peripherals = esp_hal::init(esp_hal::Config::default());
    // First of all: lamps dark, whatever the chain holds.
    let output_enable = Output::new(pins::oe!(peripherals), Level::High, OutputConfig::default());
    let mut dog = Dog(TimerGroup::new(peripherals.TIMG0).wdt);
    dog.0.enable();
    dog.0.set_timeout(MwdtStage::Stage0, HANG);

    let mut ledc = Ledc::new(peripherals.LEDC);
    ledc.set_global_slow_clock(LSGlobalClkSource::APBClk);
    let mut pwm = ledc.timer::<LowSpeed>(timer::Number::Timer0);
    let clock = pwm.configure(timer::config::Config {
        duty: timer::config::Duty::Duty8Bit,
        clock_source: timer::LSClockSource::APBClk,
        frequency: Rate::from_khz(DIM_KHZ),
    });
    let mut dim = ledc.channel(channel::Number::Channel0, output_enable);
    let line = dim.configure(channel::config::Config {
        timer: &pwm,
        duty_pct: 100, // active low: dark
        drive_mode: esp_hal::gpio::DriveMode::PushPull,
    });

    let bus = Spi::new(
        peripherals.SPI2,
        SpiConfig::default()
            .with_frequency(Rate::from_khz(SPI_KHZ))
            .with_mode(Mode::_0),
    );
    // Constants of this file, right on every chip or on none; a panic is dark and resets.
    assert!(
        clock.is_ok() && line.is_ok(),
        "the PWM does not take its configuration"
    );
    let Ok(bus) = bus else {
        panic!("the bus does not take its configuration")
    };
    // A cut data line reads low, which the far end of the chain then shows.
    let data = InputConfig::default().with_pull(Pull::Down);
    let bus = bus
        .with_sck(pins::sck!(peripherals))
        .with_mosi(pins::mosi!(peripherals))
        .with_miso(Input::new(pins::miso!(peripherals), data));

    let (slots, kept) = Slots::open(FlashStorage::new(peripherals.FLASH), SETTINGS_AT);
    let buttons = kept.map_or(BUTTONS, |kept| kept.buttons.get());
    let size = PanelSize::new(buttons).unwrap_or(PanelSize::MAX);
    let load = Output::new(
        pins::load!(peripherals),
        Level::Low,
        OutputConfig::default(),
    );
    let latch = Output::new(
        pins::latch!(peripherals),
        Level::Low,
        OutputConfig::default(),
    );
    let input = LeadingEdge::new(load, LoadLevel::High, Delay::new());
    let output = Latched::new(latch, Delay::new());
    let hardware = Hardware {
        chains: Chains::new(size, bus, input, output),
        link: usb::Usb::new(UsbSerialJtag::new(peripherals.USB_DEVICE)),
        dimmer: Dimmer::new(dim),
        watchdog: dog,
        slots: Some(slots),
    };
    let config = board::Config::new(Wiring::new(size), Rng::new().random());
    let config = kept.iter().fold(config, board::Config::with_settings);
    let mut panel = Panel::new(now(), config, hardware);
    loop {
        let wake = panel.step(now());
        while now() < wake {
            core::hint::spin_loop();
        }
    }
}

/// Lamps dark by the line, the reason on UART 0 (never on the cable), and the watchdog does the rest.
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: nothing else runs any more, so nobody else drives this pin.
    #[allow(unsafe_code)]
    let pin = unsafe { pins::steal_oe!() };
    let _dark = Output::new(pin, Level::High, OutputConfig::default());
    esp_println::println!("{info}");
    loop {
        core::hint::spin_loop();
    }
}
