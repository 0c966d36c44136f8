//! GPIO lines and output boards on a real chip of a real kernel.
//!
//! Switching lines of a machine that somebody uses is not a test. So these run only where `LEITSTAND_GUEST`
//! says that the machine was made for them: `tests/arm64/gpio` boots one, with a PL061 of 8 lines, whose line 3
//! is wired to the power button. Elsewhere each says that it was skipped.
// Printed for whoever watches the console: what was skipped, and when to press the button.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use embedded_hal::digital::{InputPin as _, OutputPin as _};
use leitstand_core::hal::MainsSense as _;
use leitstand_hal_linux::gpio::chips::{self, ChipInfo};
use leitstand_hal_linux::gpio::{Edge, GpioError, InputLine, OutputLine, Pull};
use leitstand_hal_linux::inventory::Inventory;
use leitstand_hal_linux::mains::MainsLine;
use leitstand_hal_linux::register::{Bits, Board, BoardError, Wiring};
use leitstand_hal_linux::rs485::{Direction, Turned, turn};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The power button's line on QEMU's `virt` machine.
const BUTTON: u32 = 3;
/// Reasoning: an emulated machine on a busy one.
const PATIENCE: Duration = Duration::from_secs(60);

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Whether this is the machine that was made for it, with the user `who`.
fn guest(who: &str) -> Option<MutexGuard<'static, ()>> {
    if std::env::var("LEITSTAND_GUEST").is_ok_and(|is| is == who) {
        return Some(ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner));
    }
    println!("SKIPPED: needs the machine of tests/arm64/gpio, as {who}");
    None
}

fn chip() -> ChipInfo {
    let (chips, denied) = chips::list().unwrap();
    assert_eq!((chips.len(), denied.len()), (1, 0), "{chips:?}");
    chips.into_iter().next().unwrap()
}

/// What the kernel says about a line, from an interface that we do not use: `out hi`.
fn kernel_says(purpose: &str) -> String {
    let all = std::fs::read_to_string("/sys/kernel/debug/gpio").unwrap();
    // It shows 20 characters of a name.
    let wanted: String = format!("leitstand {purpose}").chars().take(20).collect();
    let line = all
        .lines()
        .find(|line| line.contains(&format!("|{wanted}")));
    let line = line.unwrap_or_else(|| panic!("no line `{purpose}` in:\n{all}"));
    let words: Vec<_> = line.split(')').nth(1).unwrap().split_whitespace().collect();
    words[..2].join(" ")
}

#[test]
fn the_chip_is_found_by_its_label_and_listed() {
    let Some(_guest) = guest("root") else { return };
    let chip = chip();
    assert_eq!(chip.lines, 8);
    assert_eq!(chips::find(&chip.label).unwrap(), chip);
    assert_eq!(chips::find("/dev/gpiochip0").unwrap(), chip);
    let inventory = Inventory::take();
    assert_eq!(inventory.gpio, [chip]);
    let names: Vec<_> = inventory.serial.iter().map(|s| s.path.to_str()).collect();
    assert!(names.contains(&Some("/dev/ttyAMA0")), "{names:?}");
}

#[test]
fn an_output_starts_at_its_level_and_follows() {
    let Some(_guest) = guest("root") else { return };
    let chip = chip();
    let mut line = OutputLine::open(&chip.label, 5, true, "lamp").unwrap();
    assert_eq!(kernel_says("lamp"), "out hi", "high from the first moment");
    line.set_low().unwrap();
    assert_eq!(kernel_says("lamp"), "out lo");
    line.set_high().unwrap();
    assert_eq!(kernel_says("lamp"), "out hi");
}

#[test]
fn a_line_in_use_names_its_user_and_is_free_again_afterwards() {
    let Some(_guest) = guest("root") else { return };
    let chip = chip();
    let first = OutputLine::open(&chip.label, 5, false, "relays oe").unwrap();
    let error = OutputLine::open(&chip.label, 5, false, "lamps oe").unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, GpioError::InUse { line: 5, .. }), "{text}");
    assert!(
        text.contains("`leitstand relays oe`") && text.contains("wire another"),
        "{text}"
    );
    drop(first);
    assert!(OutputLine::open(&chip.label, 5, false, "lamps oe").is_ok());
}

#[test]
fn what_does_not_exist_is_named_with_what_does() {
    let Some(_guest) = guest("root") else { return };
    let chip = chip();
    let error = OutputLine::open(&chip.label, 8, false, "lamp").unwrap_err();
    assert!(error.to_string().contains("lines 0 to 7, not 8"), "{error}");
    let error = OutputLine::open("pinctrl-rp1", 1, false, "lamp").unwrap_err();
    assert!(
        error.to_string().contains(&format!("`{}`", chip.label)),
        "{error}"
    );
}

#[test]
fn an_input_sees_both_edges_of_a_button() {
    let Some(_guest) = guest("root") else { return };
    let mut button = InputLine::open(&chip().label, BUTTON, Pull::AsIs, "button").unwrap();
    assert!(button.is_low().unwrap());
    assert_eq!(button.wait_edge(Duration::ZERO).unwrap(), None);
    // Whoever watches the console presses it.
    println!("PRESS-POWER");
    assert_eq!(button.wait_edge(PATIENCE).unwrap(), Some(Edge::Rising));
    assert_eq!(button.wait_edge(PATIENCE).unwrap(), Some(Edge::Falling));
    assert!(button.is_low().unwrap());
}

#[test]
fn mains_is_present_or_not_by_its_polarity() {
    let Some(_guest) = guest("root") else { return };
    let label = chip().label;
    for active_low in [true, false] {
        // The button is not pressed: low.
        let mut mains = MainsLine::open(&label, BUTTON, active_low).unwrap();
        assert_eq!(mains.mains_ok(), Ok(active_low));
    }
}

#[test]
fn a_board_is_held_off_until_its_first_image() {
    let Some(_guest) = guest("root") else { return };
    let wiring = Wiring {
        board: "relays".into(),
        chip: chip().label,
        oe: 0,
        latch: 4,
        bits: Bits::Lines { ds: 1, clock: 2 },
    };
    let mut board = Board::open(&wiring).unwrap();
    assert_eq!(kernel_says("relays oe"), "out hi", "held off");
    let begun = std::time::Instant::now();
    board.show(1).unwrap();
    println!(
        "an image took {} us (emulated)",
        begun.elapsed().as_micros()
    );
    assert_eq!(kernel_says("relays oe"), "out lo", "outputs act");
    assert_eq!(kernel_says("relays ds"), "out hi", "bit 0 was the last");
    assert_eq!(kernel_says("relays clock"), "out lo");
    assert_eq!(kernel_says("relays latch"), "out lo");
    board.show(2).unwrap();
    assert_eq!(kernel_says("relays ds"), "out lo");
    // A second board on the same lines.
    let Err(BoardError::Line(error)) = Board::open(&wiring) else {
        panic!("two boards on one line");
    };
    assert!(
        error.to_string().contains("`leitstand relays oe`"),
        "{error}"
    );
    board.hold_off().unwrap();
    assert_eq!(kernel_says("relays oe"), "out hi");
}

#[test]
fn the_kernel_turns_the_transceiver_of_a_uart() {
    let Some(_guest) = guest("root") else { return };
    let uart = std::fs::File::open("/dev/ttyAMA0").unwrap();
    for direction in [Direction::LowOnSend, Direction::HighOnSend] {
        assert_eq!(turn(&uart, direction), Ok(Turned::ByKernel));
    }
}

/// Runs last, by its name: afterwards the machine has no chip.
#[test]
fn zz_a_chip_that_is_pulled_out_has_gone() {
    let Some(_guest) = guest("root") else { return };
    let chip = chip();
    let mut line = OutputLine::open(&chip.label, 5, true, "lamp").unwrap();
    let mut mains = InputLine::open(&chip.label, 6, Pull::AsIs, "mains").unwrap();
    let driver = std::path::Path::new("/sys/bus/amba/drivers/pl061_gpio");
    std::fs::write(driver.join("unbind"), &chip.label).unwrap();
    let error = line.set_low().unwrap_err();
    assert!(matches!(error, GpioError::Gone { .. }), "{error:?}");
    assert!(matches!(mains.is_high(), Err(GpioError::Gone { .. })));
    let error = OutputLine::open(&chip.label, 5, true, "lamp").unwrap_err();
    assert!(
        error.to_string().contains("this machine has none"),
        "{error}"
    );
    std::fs::write(driver.join("bind"), &chip.label).unwrap();
    drop((line, mains));
    assert!(
        OutputLine::open(&chip.label, 5, true, "lamp").is_ok(),
        "plugged in again"
    );
}

/// Runs as a user in no group, while the device file belongs to the group `gpio`.
#[test]
fn without_permission_the_group_to_join_is_named() {
    let Some(_guest) = guest("nobody") else {
        return;
    };
    for name in ["9030000.pl061", "/dev/gpiochip0"] {
        let error = OutputLine::open(name, 5, true, "lamp").unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, GpioError::Denied { .. }), "{text}");
        assert!(text.contains("group `gpio`"), "{text}");
    }
    assert_eq!(Inventory::take().gpio_denied.len(), 1);
}
