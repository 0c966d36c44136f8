//! Which pin is which, one table a chip. **From general knowledge of the XIAO boards, checked on no board**: compare
//! with the data sheet of yours before you solder.
//!
//! | Signal | to | XIAO ESP32-C3 | XIAO ESP32-C6 | XIAO ESP32-S3 |
//! |---|---|---|---|---|
//! | latch | 74HC595 pin 12 | D1, GPIO3 | D0, GPIO0 | D0, GPIO1 |
//! | load | CD4021B pin 9 | D3, GPIO5 | D1, GPIO1 | D1, GPIO2 |
//! | OE | 74HC595 pin 13, 10 kOhm to 3.3 V | D2, GPIO4 | D2, GPIO2 | D2, GPIO3 |
//! | SCK | CD4021B pin 10, 74HC595 pin 11 | D4, GPIO6 | D8, GPIO19 | D8, GPIO7 |
//! | data in | CD4021B pin 3 of the nearest chip | D5, GPIO7 | D9, GPIO20 | D9, GPIO8 |
//! | data out | 74HC595 pin 14 of the nearest chip | D10, GPIO10 | D10, GPIO18 | D10, GPIO9 |
//!
//! The C3's labelled SPI pins are not used: GPIO2, 8 and 9 decide how it boots, and a chain that holds its data
//! line low on GPIO9 at reset puts it into the loader. USB (C3 18/19, C6 12/13, S3 19/20) is the cable.

#[cfg(not(any(
    all(
        feature = "esp32c3",
        not(feature = "esp32c6"),
        not(feature = "esp32s3")
    ),
    all(
        feature = "esp32c6",
        not(feature = "esp32c3"),
        not(feature = "esp32s3")
    ),
    all(
        feature = "esp32s3",
        not(feature = "esp32c3"),
        not(feature = "esp32c6")
    ),
)))]
compile_error!("switch exactly one chip on: --features esp32c3, esp32c6 or esp32s3");

/// One macro a signal, since every pin is a type of its own.
macro_rules! table {
    ($chip:literal: $($signal:ident = $pin:ident),*; oe = $oe:ident) => {
        table!(@ ($) $chip $($signal $pin)* oe $oe);
        #[cfg(feature = $chip)]
        macro_rules! steal_oe {
            () => { esp_hal::peripherals::$oe::steal() };
        }
    };
    (@ ($dollar:tt) $chip:literal $($signal:ident $pin:ident)*) => {
        $(
            #[cfg(feature = $chip)]
            macro_rules! $signal {
                ($dollar peripherals:ident) => { $dollar peripherals.$pin };
            }
        )*
    };
}

table!("esp32c3": latch = GPIO3, load = GPIO5, sck = GPIO6, miso = GPIO7, mosi = GPIO10; oe = GPIO4);
table!("esp32c6": latch = GPIO0, load = GPIO1, sck = GPIO19, miso = GPIO20, mosi = GPIO18; oe = GPIO2);
table!("esp32s3": latch = GPIO1, load = GPIO2, sck = GPIO7, miso = GPIO8, mosi = GPIO9; oe = GPIO3);

pub(crate) use {latch, load, miso, mosi, oe, sck, steal_oe};
