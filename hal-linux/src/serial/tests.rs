//! Over pseudo-terminals.
#![allow(clippy::unwrap_used)]
use super::*;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::path::PathBuf;

const SOON: Duration = Duration::from_secs(5);

/// The other end, and the device file.
fn pty() -> (OwnedFd, PathBuf) {
    let far = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&far).unwrap();
    unlockpt(&far).unwrap();
    let path = ptsname(&far, Vec::new()).unwrap().into_string().unwrap();
    (far, PathBuf::from(path))
}

fn read_all(port: &mut Port, count: usize) -> Vec<u8> {
    let mut got = Vec::new();
    let mut buffer = [0; 64];
    while got.len() < count {
        let read = port.read(&mut buffer, SOON).unwrap();
        assert_ne!(read, 0, "only {} of {count} bytes", got.len());
        got.extend_from_slice(&buffer[..read]);
    }
    got
}

#[test]
fn every_byte_value_crosses_unchanged_both_ways() {
    let (far, path) = pty();
    let mut port = Port::open(&path, Line::RA_GAS).unwrap();
    let all: Vec<u8> = (0..=255).collect();
    port.write(&all).unwrap();
    let mut got = Vec::new();
    let mut buffer = [0; 64];
    while got.len() < all.len() {
        let read = rustix::io::read(&far, &mut buffer).unwrap();
        got.extend_from_slice(&buffer[..read]);
    }
    assert_eq!(got, all);
    rustix::io::write(&far, &all).unwrap();
    assert_eq!(read_all(&mut port, all.len()), all);
}

#[test]
fn the_line_is_set_up_and_keeps_its_modem_lines_when_closed() {
    let (_far, path) = pty();
    let line = Line {
        baud: 19_200,
        parity: Parity::Even,
    };
    let port = Port::open(&path, line).unwrap();
    let settings = tcgetattr(&port.device).unwrap();
    assert_eq!(settings.output_speed(), 19_200);
    let modes = settings.control_modes;
    assert!(!modes.intersects(ControlModes::HUPCL | ControlModes::CRTSCTS | ControlModes::CSTOPB));
    assert!(modes.contains(ControlModes::CLOCAL | ControlModes::CREAD | ControlModes::CS8));
}

#[test]
fn parity_and_odd_speeds_are_asked_for() {
    let (_far, path) = pty();
    let port = Port::open(&path, Line::RA_GAS).unwrap();
    let mut settings = tcgetattr(&port.device).unwrap();
    let line = |baud, parity| Line { baud, parity };
    prepare(&mut settings, line(19_200, Parity::Even)).unwrap();
    assert!(settings.control_modes.contains(ControlModes::PARENB));
    assert!(!settings.control_modes.contains(ControlModes::PARODD));
    prepare(&mut settings, line(19_200, Parity::Odd)).unwrap();
    assert!(
        settings
            .control_modes
            .contains(ControlModes::PARENB | ControlModes::PARODD)
    );
    prepare(&mut settings, line(250_000, Parity::None)).unwrap();
    assert!(!settings.control_modes.intersects(ControlModes::PARENB));
    assert_eq!(settings.output_speed(), 250_000);
}

#[test]
fn silence_lasts_as_long_as_asked() {
    let (_far, path) = pty();
    let mut port = Port::open(&path, Line::RA_GAS).unwrap();
    let started = Instant::now();
    assert_eq!(port.read(&mut [0; 8], Duration::from_millis(30)), Ok(0));
    assert!(started.elapsed() >= Duration::from_millis(30));
    assert_eq!(port.read(&mut [0; 8], Duration::ZERO), Ok(0));
}

#[test]
fn a_second_opener_is_refused_even_if_it_is_root_and_by_another_name() {
    let (_far, path) = pty();
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("bus");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let port = Port::open(&path, Line::RA_GAS).unwrap();
    assert_eq!(Port::open(&link, Line::RA_GAS).err(), Some(PortError::Busy));
    drop(port);
    assert!(Port::open(&link, Line::RA_GAS).is_ok());
}

#[test]
fn a_pulled_plug_is_noticed_at_once_and_a_new_device_behind_the_same_name_opens() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("bus");
    let (far, path) = pty();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let mut port = Port::open(&link, Line::RA_GAS).unwrap();
    // Unplugged while the reader waits: it must not sit out its timeout.
    let puller = std::thread::spawn(move || drop(far));
    let started = Instant::now();
    assert_eq!(
        port.read(&mut [0; 8], Duration::from_secs(60)),
        Err(PortError::Gone)
    );
    assert!(started.elapsed() < Duration::from_secs(30));
    puller.join().unwrap();
    assert_eq!(port.write(&[1]), Err(PortError::Gone));
    assert_eq!(port.discard_input(), Err(PortError::Gone));
    drop(port);

    std::fs::remove_file(&link).unwrap();
    assert_eq!(
        Port::open(&link, Line::RA_GAS).err(),
        Some(PortError::NotFound)
    );
    let (far, path) = pty();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let mut port = Port::open(&link, Line::RA_GAS).unwrap();
    rustix::io::write(&far, b"back").unwrap();
    assert_eq!(read_all(&mut port, 4), b"back");
}

#[test]
fn unread_input_is_dropped_and_counted() {
    let (far, path) = pty();
    let mut port = Port::open(&path, Line::RA_GAS).unwrap();
    rustix::io::write(&far, b"stale").unwrap();
    // The pty hands bytes over on its own time.
    let deadline = Instant::now() + SOON;
    assert!(port.wait(PollFlags::IN, deadline).unwrap());
    assert_eq!(port.discard_input(), Ok(5));
    assert_eq!(port.read(&mut [0; 8], Duration::ZERO), Ok(0));
}

#[test]
fn a_line_that_takes_nothing_is_gone_and_the_write_comes_back() {
    let (_far, path) = pty();
    let line = Line {
        baud: 115_200,
        parity: Parity::None,
    };
    let mut port = Port::open(&path, line).unwrap();
    // Nobody reads the far end, so its buffer fills up.
    let endless = [0x55; 1024];
    let error = (0..1_000).find_map(|_| port.write(&endless).err());
    assert_eq!(error, Some(PortError::Gone));
}

#[test]
fn what_cannot_be_opened_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    assert_eq!(
        Port::open(&path, Line::RA_GAS).err(),
        Some(PortError::NotFound)
    );
    std::fs::write(&path, b"").unwrap();
    let no_tty = PortError::Io(Errno::NOTTY.raw_os_error());
    assert_eq!(Port::open(&path, Line::RA_GAS).err(), Some(no_tty));
    assert_eq!(refused(Errno::ACCESS), PortError::Denied);
    assert_eq!(refused(Errno::BUSY), PortError::Busy);
}
