//! The bus thread, the real serial port and a pseudo-terminal paced like 9600 baud.

use leitstand_core::gas::{BoardIndex, BusIndex, CellIndex, Input, OutputIndex, Reading};
use leitstand_core::hal::{PortError, SerialPort};
use leitstand_core::modbus::Address;
use leitstand_core::modbus::line::Line;
use leitstand_gas::errand::Errands;
use leitstand_gas::seam::{
    BusLink, BusReport, BusSpec, DeviceKind, DeviceSpec, DeviceState, Images, Inbox, OpenPort,
    Outbox, Parity, Rts, look,
};
use leitstand_gas::{bus, scan};
use leitstand_hal_linux::serial::Port;
use leitstand_hal_mock::bus::{Bus, Handle};
use leitstand_hal_mock::fault::Fault;
use leitstand_hal_mock::mr_do4::MrDo4;
use leitstand_hal_mock::ra_gas::RaGas;
use leitstand_hal_mock::rs485::{Device, Micros, Record, Rs485, Sender};
use leitstand_kit::{Clock, Health};
use leitstand_tests::wait;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// 3.5 characters of 10 bits at 9600 baud.
const GAP: Duration = Duration::from_micros(3_646);
const SECOND: Duration = Duration::from_secs(1);
/// Register of a RA-GAS sensor that tells here which one it is: the upper end of the NO2 range.
const IDENTITY: usize = 13;

fn sensor(address: u8) -> Device {
    let mut sensor = RaGas::new(Address::new(address).unwrap());
    sensor.set_register(IDENTITY, 1_000 + u16::from(address));
    Device::RaGas(sensor)
}

/// A site: the simulated line, and a bus thread on a real port that notes when it writes and reads.
struct Rig {
    line: Handle,
    _bus: Bus,
    _folder: tempfile::TempDir,
    link: PathBuf,
    outbox: Outbox,
    images: Images,
    report: Arc<Mutex<BusReport>>,
    near: Arc<Mutex<Vec<Near>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    inputs: Vec<Input>,
}

/// What the port did, as seen by the gateway.
#[derive(Clone, Copy, Debug)]
enum Near {
    /// A request to this slave was handed to the system at this time.
    Wrote(Instant, u8),
    /// Bytes were there at this time.
    Read(Instant),
}

struct Noting {
    port: Port,
    near: Arc<Mutex<Vec<Near>>>,
}

impl SerialPort for Noting {
    fn read(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<usize, PortError> {
        let count = self.port.read(buffer, timeout)?;
        if count > 0 {
            self.near.lock().unwrap().push(Near::Read(Instant::now()));
        }
        Ok(count)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), PortError> {
        let now = Near::Wrote(Instant::now(), bytes[0]);
        self.near.lock().unwrap().push(now);
        self.port.write(bytes)
    }

    fn discard_input(&mut self) -> Result<usize, PortError> {
        self.port.discard_input()
    }
}

impl Rig {
    /// RA-GAS sensors at 1..=`sensors`; cells 2n and 2n + 1 belong to sensor n + 1. A relay module at 34.
    fn start(sensors: u8, relays: bool, scan: Duration) -> Self {
        let mut devices: Vec<Device> = (1..=sensors).map(sensor).collect();
        let mut specs: Vec<DeviceSpec> = (0..sensors)
            .map(|n| DeviceSpec {
                id: format!("sensor{}", n + 1),
                address: n + 1,
                kind: DeviceKind::RaGas {
                    cells: [Some(CellIndex(2 * n)), Some(CellIndex(2 * n + 1))],
                },
            })
            .collect();
        if relays {
            devices.push(Device::MrDo4(MrDo4::new(Address::new(34).unwrap())));
            specs.push(DeviceSpec {
                id: "relays".into(),
                address: 34,
                kind: DeviceKind::MrDo4 {
                    board: BoardIndex(0),
                    outputs: [0, 1, 2, 3].map(|n| Some(OutputIndex(n))),
                },
            });
        }
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("rs485");
        let bus = Bus::start(Rs485::new(Line::RA_GAS, devices), &link).unwrap();
        let clock = Clock::real();
        let (inbox, outbox) = Inbox::channel(10_000);
        let near = Arc::default();
        let mut rig = Self {
            line: bus.handle(),
            _bus: bus,
            _folder: folder,
            link: link.clone(),
            outbox,
            images: Images::new(1),
            report: Arc::new(Mutex::new(BusReport::for_devices(specs.len()))),
            near: Arc::clone(&near),
            stop: Arc::default(),
            thread: None,
            inputs: Vec::new(),
        };
        let open: OpenPort = Box::new(move || {
            let port = Port::open(&link, Line::RA_GAS)?;
            let near = Arc::clone(&near);
            Ok(Box::new(Noting { port, near }) as Box<dyn SerialPort>)
        });
        let spec = BusSpec {
            index: BusIndex(0),
            id: "rs485".into(),
            device: rig.link.display().to_string(),
            baud: 9_600,
            parity: Parity::None,
            rts: Rts::None,
            timeout: Duration::from_millis(300),
            retries: 2,
            scan,
            devices: specs,
        };
        let link = BusLink {
            inbox,
            images: rig.images.clone(),
            errands: Errands::default(),
            report: Arc::clone(&rig.report),
            heartbeat: Health::new(clock.clone()).watch("gas", "bus rs485", Duration::from_secs(5)),
            clock,
            stop: Arc::clone(&rig.stop),
        };
        rig.thread = Some(bus::spawn(spec, open, link).unwrap());
        rig
    }

    fn fault(&self, address: u8, fault: Fault, on: bool) {
        self.line.line().device(address).unwrap().fault(fault, on);
    }

    fn report(&self) -> BusReport {
        look(&self.report)
    }

    fn record(&self) -> Vec<Record> {
        self.line.line().record().cloned().collect()
    }

    /// Takes what came in, and returns how many good readings of `cell` there are by now.
    fn good(&mut self, cell: u8) -> usize {
        while let Some((_, input)) = self.outbox.next(Duration::ZERO) {
            self.inputs.push(input);
        }
        let good = |input: &&Input| matches!(input, Input::Reading { cell: CellIndex(at), reading: Reading::RaGas(_) } if *at == cell);
        self.inputs.iter().filter(good).count()
    }

    fn wait_for_input(&mut self, what: &str, wanted: Input) {
        let start = self.inputs.len();
        wait::until(what, || {
            let (_, input) = self.outbox.next(Duration::from_millis(20))?;
            self.inputs.push(input);
            (input == wanted).then_some(())
        });
        assert!(self.inputs.len() > start);
    }

    fn relays(&self) -> [bool; 4] {
        match self.line.line().device(34) {
            Some(Device::MrDo4(module)) => module.relays(),
            other => panic!("{other:?} at 34"),
        }
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// When requests to `dead` devices were sent, and how long until the next request.
fn probes(near: &[Near], dead: &[u8]) -> Vec<(Instant, Duration)> {
    let requests: Vec<(Instant, u8)> = near
        .iter()
        .filter_map(|event| match event {
            Near::Wrote(at, slave) => Some((*at, *slave)),
            Near::Read(_) => None,
        })
        .collect();
    let asked = requests.windows(2).filter(|pair| dead.contains(&pair[0].1));
    asked
        .map(|pair| (pair[0].0, pair[1].0 - pair[0].0))
        .collect()
}

/// How many silences before a request the far side saw, from the end of whatever was on the line, and the
/// shortest.
///
/// The far side stamps a request when its thread gets to run. On a busy machine that may be so late that the
/// gateway has asked again already; then both requests, and two answers, follow each other without a silence
/// that was never missing. So what follows a repeated question to a device that answers is left out here. The
/// near side, whose stamps are never late, leaves nothing out.
fn far_silences(record: &[Record]) -> (usize, Micros) {
    const LEFT_OUT: usize = 4;
    let (mut checked, mut shortest) = (0, Micros::MAX);
    let (mut busy_until, mut left_out) = (0, 0);
    let (mut asked, mut answered): (&[u8], bool) = (&[], false);
    for frame in record {
        if frame.sender == Sender::Master {
            if answered && frame.bytes == asked {
                left_out = LEFT_OUT;
            }
            asked = &frame.bytes;
            if left_out > 0 {
                left_out -= 1;
            } else if busy_until > 0 {
                checked += 1;
                shortest = shortest.min(frame.start_us.saturating_sub(busy_until));
            }
        }
        answered = frame.sender != Sender::Master;
        busy_until = busy_until.max(frame.end_us);
    }
    (checked, shortest)
}

/// Acceptance: 8 slaves of which 2 are dead.
#[test]
fn a_bus_with_two_dead_of_eight_keeps_silences_loses_little_time_and_mixes_nothing_up() {
    let mut rig = Rig::start(8, false, Duration::from_millis(500));
    wait::until("every sensor polled twice", || {
        (0..8).all(|n| rig.good(2 * n) >= 2).then_some(())
    });

    let dead = [3, 6];
    for address in dead {
        rig.fault(address, Fault::Silence, true);
    }
    let probing = |rig: &Rig| {
        dead.iter()
            .all(|at| rig.report().devices[usize::from(*at) - 1].state == DeviceState::Probe)
    };
    wait::until("both dead ones missed three polls", || {
        probing(&rig).then_some(())
    });
    // The six living ones are wanted twice a second and take longer than that, so the line is never idle and the
    // time from a probe to the next request is what the probe cost them.
    let from = Instant::now();
    let known = rig.near.lock().unwrap().len();
    let before: Vec<usize> = (0..8).map(|n| rig.good(2 * n)).collect();
    // Each window holds two probes and the rests before them. On a machine that is too busy the thread's stamps
    // say little about the line: then a later window must do.
    wait::until("two probes within 5 % of the time", || {
        let probes = probes(&rig.near.lock().unwrap()[known..], &dead);
        let ends = probes.iter().map(|(at, cost)| *at + *cost);
        let starts = std::iter::once(from).chain(ends);
        let mut windows = probes.windows(2).zip(starts);
        let fits = windows.any(|(pair, start)| {
            let spent = pair[0].1 + pair[1].1;
            spent * 20 <= pair[1].0 + pair[1].1 - start
        });
        fits.then_some(())
    });
    wait::until("the living are polled all the time", || {
        let living = [1, 2, 4, 5, 7, 8].map(|address| address - 1);
        let polled = |n: &u8| rig.good(2 * n) >= before[usize::from(*n)] + 5;
        living.iter().all(polled).then_some(())
    });

    let orderly = rig.record();

    // One sensor answers so late that its answers arrive while others are asked.
    rig.fault(2, Fault::Late, true);
    wait::until("late answers", || {
        let late = rig.report().devices[1].timeout >= 4;
        late.then_some(())
    });
    rig.end();

    // Nobody's answer was taken for another's.
    rig.good(0);
    let mut taken = 0;
    for input in &rig.inputs {
        match input {
            Input::Reading {
                cell,
                reading: Reading::RaGas(channel),
            } if cell.0 % 2 == 0 => {
                taken += 1;
                assert_eq!(
                    channel.range_max,
                    1_001 + u16::from(cell.0 / 2),
                    "of {cell:?}"
                );
            }
            Input::Reading {
                reading: Reading::RaGas(_) | Reading::Failed(_),
                ..
            }
            | Input::Bus { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(taken > 60, "{taken}");

    let (checked, shortest) = far_silences(&orderly);
    assert!(checked >= 40, "only {checked} silences");
    assert!(
        u128::from(shortest) >= GAP.as_micros(),
        "{shortest} us at the far side"
    );
    // And as the near side saw them: from the last bytes read to the next write.
    let near = rig.near.lock().unwrap();
    let gaps = near.windows(2).filter_map(|pair| match pair {
        [Near::Read(read), Near::Wrote(wrote, _)] => Some(*wrote - *read),
        _ => None,
    });
    let shortest = gaps.min().unwrap();
    assert!(shortest >= GAP, "{shortest:?} at the near side");
}

#[test]
fn an_unplugged_bus_is_told_and_comes_back_behind_its_name() {
    let mut rig = Rig::start(2, false, SECOND);
    let port = |up| Input::Bus {
        bus: BusIndex(0),
        up,
    };
    rig.wait_for_input("the port", port(true));
    wait::until("readings", || (rig.good(0) > 0).then_some(()));
    for _ in 0..2 {
        rig.line.plug(false);
        rig.wait_for_input("the loss", port(false));
        assert!(!rig.report().open);
        assert!(!Path::new(&rig.link).exists());
        rig.line.plug(true);
        rig.wait_for_input("the port again", port(true));
        let before = rig.good(2);
        wait::until("readings again", || (rig.good(2) > before).then_some(()));
        assert!(rig.report().open);
    }
    rig.end();
}

#[test]
fn relays_follow_their_image_are_read_back_and_drop_at_the_end() {
    let mut rig = Rig::start(1, true, SECOND);
    let agrees = |output, agrees, hand| Input::OutputReport {
        output: OutputIndex(output),
        agrees,
        hand,
    };
    rig.images.set(BoardIndex(0), 0b0101);
    wait::until("relays 1 and 3", || {
        (rig.relays() == [true, false, true, false]).then_some(())
    });
    rig.wait_for_input("read back", agrees(2, true, false));
    // Somebody turns the switch on the module.
    if let Some(Device::MrDo4(module)) = rig.line.line().device(34) {
        module.set_by_hand(1, Some(true));
    }
    rig.wait_for_input("hand mode", agrees(1, false, true));
    rig.images.set(BoardIndex(0), 0b1111);
    rig.wait_for_input("in agreement again", agrees(1, true, true));
    rig.images.all_off();
    rig.end();
    assert_eq!(
        rig.relays(),
        [false, true, false, false],
        "only the one set by hand stays"
    );
}

#[test]
fn a_port_that_another_holds_or_that_is_not_there_is_told_and_retried() {
    let mut rig = Rig::start(1, false, SECOND);
    // The thread holds the line: nobody else can open it.
    wait::until("open", || rig.report().open.then_some(()));
    assert_eq!(
        Port::open(&rig.link, Line::RA_GAS).err(),
        Some(PortError::Busy)
    );
    rig.end();
    assert!(Port::open(&rig.link, Line::RA_GAS).is_ok());
}

#[test]
fn a_scan_finds_devices_and_tells_their_kinds() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("rs485");
    let module = Device::MrDo4(MrDo4::new(Address::new(34).unwrap()));
    let mut other = RaGas::new(Address::new(9).unwrap());
    // The layout of a firmware that is too old.
    other.set_register(10, 0);
    let devices = vec![sensor(1), module, Device::RaGas(other), sensor(247)];
    let _bus = Bus::start(Rs485::new(Line::RA_GAS, devices), &link).unwrap();
    let search = scan::Search {
        lines: vec![Line::RA_GAS],
        addresses: vec![0, 248, 247, 35, 34, 9, 8, 1],
        ..scan::Search::default()
    };
    let open = |line| Ok(Box::new(Port::open(&link, line)?) as Box<dyn SerialPort>);
    let mut asked = Vec::new();
    let found = scan::scan(&search, open, |progress| {
        if let scan::Progress::Asking { address, .. } = progress {
            asked.push(address);
        }
        ControlFlow::Continue(())
    });
    let ra_gas = scan::Kind::RaGas {
        firmware: [0, 14, 0],
    };
    let found: Vec<_> = found.unwrap().iter().map(|f| (f.address, f.kind)).collect();
    let expected = [
        (247, ra_gas),
        (34, scan::Kind::MrDo4),
        (9, scan::Kind::Other),
        (1, ra_gas),
    ];
    assert_eq!(found, expected);
    assert_eq!(asked, [247, 35, 34, 9, 8, 1]);
    // Whoever has seen enough breaks off.
    let found = scan::scan(&search, open, |progress| match progress {
        scan::Progress::Found(_) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    assert_eq!(found.unwrap().len(), 1);
}
