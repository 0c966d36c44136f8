//! One OS thread a board: opens the port, reads it, drives the link, and starts over when the board is gone.
//!
//! Reading blocks in the kernel, so a press is handled the moment it arrives. The thread wakes every
//! [`READ_SLICE`] to see what else there is to do: an LED to move, a deadline, a stop.

use std::{
    collections::VecDeque,
    fs,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant as RealInstant},
};

use leitstand_core::{
    hal::{PortError, SerialPort},
    limits::PANEL_READ_MAX,
    machine::Machine,
    panel::{
        ButtonSet, debounce,
        link::{self, BoardInfo, HostLink, LedCommand, LinkStats},
        playback::BoardIndex,
    },
};
use leitstand_kit::{Clock, Heartbeat};
use tokio::sync::mpsc::{self, error::TrySendError};

use crate::service::Message;

/// Opens a board's port. Called again and again until the board is there; looks up the path each time.
pub type OpenPort = Box<dyn FnMut() -> Result<Box<dyn SerialPort>, PortError> + Send>;

/// Longest sleep in a read. Reasoning: an LED must be dark 30 ms after the end of its sound; a hundred empty
/// reads a second cost a tenth of a percent of one core.
const READ_SLICE: Duration = Duration::from_millis(10);
/// How often to look for a board that is not there. Reasoning: it must be online 1 s after it is plugged in, and
/// a look costs one look-up of a path.
const RETRY_FIRST: Duration = Duration::from_millis(500);
// A loss shows at the next read, a return at the next look: both within the second that is asked for.
const _: () = assert!(READ_SLICE.as_millis() < 1000 && RETRY_FIRST.as_millis() < 1000);
/// Longest pause while the device is there but cannot be used (taken, forbidden, silent).
const RETRY_LONGEST: Duration = Duration::from_secs(5);
/// Commands that wait for the thread. Full: all LED commands but the newest are dropped.
const MAILBOX_MAX: usize = 64;
/// The lock of the original server (`specs/panel.md` 4.6).
const COMPAT_LOCK: &str = "/var/lock/esp32-serial.lock";
/// How often the shared view is refreshed without an event.
const VIEW_EVERY: Duration = Duration::from_millis(200);

/// What the rest of the service shares with the thread.
pub struct Cable {
    /// Name in the configuration.
    pub name: String,
    /// As written in the configuration.
    pub port: String,
    /// Settings of the link.
    pub link: link::Config,
    open: Mutex<OpenPort>,
    mailbox: Mutex<VecDeque<link::Input<'static>>>,
    view: Mutex<View>,
}

/// State of a board for `/status`.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Who answers.
    pub info: Option<BoardInfo>,
    /// As the board printed it.
    pub firmware: String,
    /// Counters and times.
    pub stats: LinkStats,
    /// Buttons that are stuck.
    pub stuck: ButtonSet,
    /// Why the port is not open, in words.
    pub trouble: Option<&'static str>,
}

impl Cable {
    /// A cable whose thread does not run yet.
    #[must_use]
    pub fn new(name: String, port: String, link: link::Config, open: OpenPort) -> Self {
        Self {
            name,
            port,
            link,
            open: Mutex::new(open),
            mailbox: Mutex::default(),
            view: Mutex::default(),
        }
    }

    /// Hands something to the link. Never blocks; a thread that is stuck gets the newest LED state only.
    pub fn tell(&self, input: link::Input<'static>) {
        let mut mailbox = self.mailbox.lock().unwrap_or_else(PoisonError::into_inner);
        let input = if mailbox.len() < MAILBOX_MAX {
            input
        } else {
            mailbox.retain(|waiting| !matches!(waiting, link::Input::Led(_)));
            match input {
                // "The board lit it already" holds only in the order of the presses, which is lost now.
                link::Input::Led(LedCommand::Pressed(id)) => link::Input::Led(LedCommand::Set(id)),
                other => other,
            }
        };
        if mailbox.len() < MAILBOX_MAX {
            mailbox.push_back(input);
        }
    }

    /// The state for `/status`.
    #[must_use]
    pub fn view(&self) -> View {
        self.view
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn next_told(&self) -> Option<link::Input<'static>> {
        self.mailbox
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    }
}

/// Everything a thread needs.
pub(crate) struct Runner {
    pub(crate) cable: Arc<Cable>,
    pub(crate) index: BoardIndex,
    pub(crate) inputs: mpsc::Sender<Message>,
    pub(crate) clock: Clock,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) debounce: debounce::Config,
    pub(crate) brightness: u8,
    pub(crate) compat_lock: bool,
}

/// How a connection ended.
enum End {
    Stop,
    /// Pulled, or hung up.
    Gone,
    /// There, but not usable.
    Unusable(&'static str),
}

impl Runner {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no more threads.
    pub(crate) fn spawn(self) -> std::io::Result<thread::JoinHandle<()>> {
        thread::Builder::new()
            .name(format!("panel-{}", self.cable.name))
            .spawn(move || self.run())
    }

    fn run(self) {
        let mut link = HostLink::new(self.cable.link);
        self.feed(&mut link, None, link::Input::Debounce(self.debounce));
        self.feed(&mut link, None, link::Input::Brightness(self.brightness));
        let mut pause = RETRY_FIRST;
        loop {
            let opened = RealInstant::now();
            let end = self.connect(&mut link);
            self.feed(&mut link, None, link::Input::Closed);
            let trouble = match end {
                End::Stop => break,
                End::Gone => {
                    pause = RETRY_FIRST;
                    "not connected"
                }
                End::Unusable(why) => {
                    // A board that worked for a while and then fell silent deserves a quick second try.
                    if opened.elapsed() > 2 * RETRY_LONGEST {
                        pause = RETRY_FIRST;
                    }
                    why
                }
            };
            self.heartbeat.degrade(trouble);
            self.share(&link, Some(trouble));
            if !self.wait(&mut link, pause) {
                break;
            }
            if matches!(end, End::Unusable(_)) {
                pause = (pause * 2).min(RETRY_LONGEST);
            }
        }
        self.share(&link, Some("stopped"));
        self.heartbeat.finish();
    }

    /// Opens the port and serves it until it is gone.
    fn connect(&self, link: &mut HostLink) -> End {
        let lock = self.compat_lock.then(|| lock_file(Path::new(COMPAT_LOCK)));
        let lock = match lock.transpose() {
            Ok(lock) => lock,
            Err(why) => return End::Unusable(why),
        };
        let opened = {
            let mut open = self
                .cable
                .open
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            open()
        };
        let port = match opened {
            Ok(port) => port,
            Err(PortError::NotFound | PortError::Gone) => return End::Gone,
            Err(PortError::Busy) => return End::Unusable("another program holds the port"),
            Err(PortError::Denied) => {
                return End::Unusable("no permission; add the user to the group dialout");
            }
            Err(PortError::Io(_)) => return End::Unusable("the port cannot be opened"),
        };
        let end = self.serve(link, port);
        // Held while the port was open.
        drop(lock);
        end
    }

    fn serve(&self, link: &mut HostLink, mut port: Box<dyn SerialPort>) -> End {
        let mut buffer = [0; PANEL_READ_MAX];
        let mut acks = link.stats().led_acks;
        let mut shared = RealInstant::now();
        if let Some(end) = self.feed(link, Some(&mut *port), link::Input::Opened) {
            return end;
        }
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return End::Stop;
            }
            while let Some(input) = self.cable.next_told() {
                if let Some(end) = self.feed(link, Some(&mut *port), input) {
                    return end;
                }
            }
            let wait = self.clock.real_wait(link.poll_timeout(), READ_SLICE);
            let end = match port.read(&mut buffer, wait) {
                Ok(0) => None,
                Ok(n) => {
                    let bytes = buffer.get(..n).unwrap_or_default();
                    self.feed(link, Some(&mut *port), link::Input::Bytes(bytes))
                }
                Err(PortError::Io(_)) => Some(End::Unusable("reading fails")),
                Err(_) => Some(End::Gone),
            };
            if let Some(end) = end.or_else(|| self.deadline(link, Some(&mut *port))) {
                return end;
            }
            let LinkStats {
                led_acks, led_ack, ..
            } = link.stats();
            if std::mem::replace(&mut acks, led_acks) != led_acks
                && let Some(took) = led_ack
            {
                // Only a figure: a service that is too busy to take it loses nothing.
                let _ = self.inputs.try_send(Message::Lit(took));
            }
            self.heartbeat.beat();
            if shared.elapsed() >= VIEW_EVERY {
                shared = RealInstant::now();
                if link.online().is_some() {
                    self.heartbeat.clear();
                } else {
                    self.heartbeat.degrade("the board does not answer");
                }
                self.share(link, None);
            }
        }
    }

    fn deadline(&self, link: &mut HostLink, port: Option<&mut dyn SerialPort>) -> Option<End> {
        let now = self.clock.now();
        if link.poll_timeout().is_some_and(|at| at <= now) {
            link.handle_timeout(now);
            return self.drain(link, port);
        }
        None
    }

    fn feed(
        &self,
        link: &mut HostLink,
        port: Option<&mut dyn SerialPort>,
        input: link::Input<'_>,
    ) -> Option<End> {
        link.handle(self.clock.now(), input);
        self.drain(link, port)
    }

    /// Does what the link asks, to the last output even when the port is gone.
    fn drain(&self, link: &mut HostLink, mut port: Option<&mut dyn SerialPort>) -> Option<End> {
        let mut end = None;
        let mut told = false;
        while let Some(output) = link.poll_output() {
            match output {
                link::Output::Send(bytes) => {
                    if let (Some(port), None) = (port.as_mut(), &end)
                        && let Err(error) = port.write(&bytes)
                    {
                        end = Some(match error {
                            PortError::Io(_) => End::Unusable("writing fails"),
                            _ => End::Gone,
                        });
                    }
                }
                link::Output::Event(event) => {
                    if !told {
                        // Before the event: who reads of it finds a view that agrees.
                        self.share(link, None);
                        told = true;
                    }
                    self.report(Message::Board(self.index, event, RealInstant::now()));
                }
                link::Output::Reopen => {
                    end.get_or_insert(End::Unusable("the board does not answer"));
                }
            }
        }
        end
    }

    /// Hands an event to the service. Waits while its queue is full, but not for a service that stops.
    fn report(&self, mut message: Message) {
        loop {
            match self.inputs.try_send(message) {
                Ok(()) | Err(TrySendError::Closed(_)) => return,
                Err(TrySendError::Full(back)) => {
                    if self.stop.load(Ordering::Relaxed) {
                        return;
                    }
                    message = back;
                    thread::sleep(Duration::from_millis(1));
                }
            }
        }
    }

    fn share(&self, link: &HostLink, trouble: Option<&'static str>) {
        let view = View {
            info: link.online(),
            firmware: link.firmware().to_owned(),
            stats: link.stats(),
            stuck: link.stuck(),
            trouble,
        };
        *self
            .cable
            .view
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = view;
    }

    /// Waits without a port; what is told meanwhile reaches the link. `false` when it is time to stop.
    fn wait(&self, link: &mut HostLink, pause: Duration) -> bool {
        let until = RealInstant::now() + pause;
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return false;
            }
            while let Some(input) = self.cable.next_told() {
                self.feed(link, None, input);
            }
            self.deadline(link, None);
            self.heartbeat.beat();
            let left = until.saturating_duration_since(RealInstant::now());
            if left.is_zero() {
                return true;
            }
            thread::sleep(left.min(Duration::from_millis(20)));
        }
    }
}

/// The lock that upstream takes with `flock -n`; held until the file is dropped.
fn lock_file(path: &Path) -> Result<fs::File, &'static str> {
    let file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(|_| "the lock file /var/lock/esp32-serial.lock cannot be opened")?;
    file.try_lock()
        .map_err(|_| "another program holds /var/lock/esp32-serial.lock")?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use leitstand_core::panel::ButtonId;

    #[test]
    fn one_program_at_a_time_holds_the_original_servers_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("esp32-serial.lock");
        let held = lock_file(&path).unwrap();
        assert!(lock_file(&path).is_err());
        drop(held);
        assert!(lock_file(&path).is_ok());
        assert!(lock_file(&dir.path().join("no/such/folder")).is_err());
    }

    #[test]
    fn a_thread_that_hangs_still_gets_the_newest_led_and_every_setting() {
        let open: OpenPort = Box::new(|| Err(PortError::NotFound));
        let cable = Cable::new("wall".into(), "x".into(), link::Config::default(), open);
        let button = |n| ButtonId::new(n).unwrap();
        cable.tell(link::Input::Brightness(7));
        for n in 0..200 {
            cable.tell(link::Input::Led(LedCommand::Pressed(button(n % 10 + 1))));
        }
        cable.tell(link::Input::Led(LedCommand::Pressed(button(9))));
        let mut told = Vec::new();
        while let Some(input) = cable.next_told() {
            told.push(input);
        }
        assert!(told.len() <= MAILBOX_MAX);
        assert!(matches!(told.first(), Some(link::Input::Brightness(7))));
        let last = told.last().unwrap();
        assert!(
            matches!(last, link::Input::Led(LedCommand::Set(id) | LedCommand::Pressed(id)) if id.get() == 9)
        );
    }
}
