//! Which device file a board is behind, by rule and not by the luck of enumeration.
//!
//! The answer is looked up at every open, because a board that was pulled and plugged in again may come back
//! under another name.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A rule of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule<'a> {
    /// A file, which may be a symbolic link.
    File(&'a Path),
    /// The first file of the folder, in alphabetical order, whose name fits.
    Pattern(&'a Path, &'a str),
    /// The first serial port of a USB device with this vendor and product, in lower-case hex.
    Usb(&'a str, &'a str),
    /// The serial port of the USB device with this serial number.
    Serial(&'a str),
}

fn parse(text: &str) -> Result<Rule<'_>, &'static str> {
    if let Some(ids) = text.strip_prefix("usb:") {
        let hex = |id: &str| id.len() == 4 && id.chars().all(|c| c.is_ascii_hexdigit());
        return match ids.split_once(':') {
            Some((vendor, product)) if hex(vendor) && hex(product) => {
                Ok(Rule::Usb(vendor, product))
            }
            _ => {
                Err("a USB rule is usb: and two numbers of four hex digits, such as usb:303a:1001")
            }
        };
    }
    if let Some(number) = text.strip_prefix("usb-serial:") {
        return match number {
            "" => Err("a serial number is missing"),
            number => Ok(Rule::Serial(number)),
        };
    }
    let path = Path::new(text);
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str()))
    else {
        return Err("a port is the path of a device");
    };
    let wild = |text: &str| text.contains(['*', '?']);
    if folder.to_str().is_none_or(wild) {
        return Err("only the last part of a port may be a pattern");
    }
    Ok(if wild(name) {
        Rule::Pattern(folder, name)
    } else {
        Rule::File(path)
    })
}

/// Whether `text` is a rule that [`resolve`] understands.
///
/// # Errors
/// What is wrong with it, as a sentence for people.
pub fn check_pattern(text: &str) -> Result<(), &'static str> {
    parse(text).map(drop)
}

/// The device that `rule` names now; `None` while it is not there.
#[must_use]
pub fn resolve(rule: &str) -> Option<PathBuf> {
    resolve_in(rule, Path::new("/sys/class/tty"), Path::new("/dev"))
}

fn resolve_in(rule: &str, sys: &Path, dev: &Path) -> Option<PathBuf> {
    match parse(rule).ok()? {
        Rule::File(path) => path.exists().then(|| path.into()),
        Rule::Pattern(folder, pattern) => names(folder)
            .into_iter()
            .find(|name| fits(pattern.as_bytes(), name.as_bytes()))
            .map(|name| folder.join(name)),
        Rule::Usb(vendor, product) => usb(sys, dev, |file| {
            let same = |name, wanted| file(name).is_some_and(|v| v.eq_ignore_ascii_case(wanted));
            same("idVendor", vendor) && same("idProduct", product)
        }),
        Rule::Serial(number) => usb(sys, dev, |file| file("serial").as_deref() == Some(number)),
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    names
}

/// The first serial port whose USB device `wanted` recognises by the files in its folder.
fn usb(
    sys: &Path,
    dev: &Path,
    wanted: impl Fn(&dyn Fn(&str) -> Option<String>) -> bool,
) -> Option<PathBuf> {
    names(sys)
        .into_iter()
        .filter(|name| name.starts_with("ttyACM") || name.starts_with("ttyUSB"))
        .find(|name| {
            // `device` is the interface; the USB device is above it, for converter chips one level higher.
            ["device/..", "device/../.."].iter().any(|above| {
                let folder = sys.join(name).join(above);
                let file = |file: &str| {
                    let text = fs::read_to_string(folder.join(file)).ok()?;
                    Some(text.trim().to_owned())
                };
                wanted(&file)
            })
        })
        .map(|name| dev.join(name))
}

/// Whether `name` fits `pattern`, in which `*` is any number of bytes and `?` any one.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    // Remember the last star and what it swallowed; on a mismatch let it swallow one more.
    let (mut p, mut n) = (0, 0);
    let mut star = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == b'?' || Some(c) == name.get(n) => {
                p += 1;
                n += 1;
            }
            _ => match &mut star {
                Some((at, swallowed)) => {
                    *swallowed += 1;
                    p = *at + 1;
                    n = *swallowed;
                }
                None => return false,
            },
        }
    }
    pattern
        .get(p..)
        .is_some_and(|rest| rest.iter().all(|c| *c == b'*'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            (
                "usb-Espressif_*",
                "usb-Espressif_USB_JTAG_98:A3:16-if00",
                true,
            ),
            ("*-if00", "usb-Espressif_USB_JTAG_98:A3:16-if00", true),
            ("*a*b*", "xxaybzabz", true),
            ("ttyACM?", "ttyACM0", true),
            ("ttyACM?", "ttyACM10", false),
            ("ttyACM?", "ttyACM", false),
            ("*.x", "y", false),
            ("**", "", true),
        ] {
            assert_eq!(
                fits(pattern.as_bytes(), name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn rules_are_checked() {
        for good in [
            "/dev/ttyACM0",
            "/dev/serial/by-id/usb-*",
            "usb:303a:1001",
            "usb-serial:98:A3",
        ] {
            assert_eq!(check_pattern(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "/",
            "usb:303a",
            "usb:303a:xyzw",
            "usb-serial:",
            "/dev/*/tty0",
        ] {
            assert!(check_pattern(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_board_is_found_again_under_another_name() {
        let dir = tempfile::tempdir().unwrap();
        let (sys, dev) = (dir.path().join("sys"), dir.path().join("dev"));
        let usb = dir.path().join("usb1/1-1");
        fs::create_dir_all(usb.join("1-1:1.0")).unwrap();
        fs::create_dir_all(sys.join("ttyS0")).unwrap();
        fs::write(usb.join("idVendor"), "303a\n").unwrap();
        fs::write(usb.join("idProduct"), "1001\n").unwrap();
        fs::write(usb.join("serial"), "98:A3:16:00:00:01\n").unwrap();
        let plug = |name: &str| {
            fs::create_dir_all(sys.join(name)).unwrap();
            symlink(usb.join("1-1:1.0"), sys.join(name).join("device")).unwrap();
        };
        let at = |rule| resolve_in(rule, &sys, &dev);
        assert_eq!(at("usb:303a:1001"), None);
        plug("ttyACM0");
        assert_eq!(at("usb:303A:1001"), Some(dev.join("ttyACM0")));
        assert_eq!(
            at("usb-serial:98:A3:16:00:00:01"),
            Some(dev.join("ttyACM0"))
        );
        assert_eq!(at("usb-serial:98:A3:16:00:00:02"), None);
        fs::remove_dir_all(sys.join("ttyACM0")).unwrap();
        plug("ttyACM3");
        assert_eq!(at("usb:303a:1001"), Some(dev.join("ttyACM3")));
    }

    #[test]
    fn the_first_name_in_order_wins() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["panel-b", "panel-a", "other"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let rule = dir.path().join("panel-*");
        assert_eq!(
            resolve(rule.to_str().unwrap()),
            Some(dir.path().join("panel-a"))
        );
        let exact = dir.path().join("nothing");
        assert_eq!(resolve(exact.to_str().unwrap()), None);
    }
}
