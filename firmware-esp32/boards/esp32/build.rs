//! Tells the linker how the chip is laid out; esp-hal brings the script.

fn main() {
    println!("cargo:rustc-link-arg=-Tlinkall.x");
}
