//! The handles behind the routes. They outlive every instance of the service.

use crate::calibration::Offers;
use crate::configuration::Configuration;
use crate::errand::Errands;
use crate::facts::SERVICE;
use crate::handover::{Handover, Places};
use crate::history::History;
use crate::persist::{Saved, Written};
use crate::record::Record;
use crate::register::{FindRegister, OpenRegister};
use crate::seam::{BusReport, FindPort, INBOX_MAX, Images, Inbox, OpenPort, Shutdown, Wake};
use crate::site::{BoardInfo, GasSite};
use crate::supply::Wired;
use crate::task::Order;
use crate::view::Snapshot;
use leitstand_core::gas::{BoardIndex, Command, Refusal};
use leitstand_kit::Context;
use leitstand_kit::access::Caller;
use leitstand_kit::api::Problem;
use leitstand_kit::store::state_file::Generation;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// What was loaded before the first start: `Some(None)` = nothing is saved yet.
type Restored = Option<Option<(Saved, Generation)>>;

/// How long a person's command may take to be carried out. Reasoning: the evaluation turns at least every 200 ms.
const ORDER_PATIENCE: Duration = Duration::from_secs(2);
/// And to be durable. Reasoning: longer than the writer waits for the journal.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);

/// Long-lived handles of the service.
pub(crate) struct Hub {
    pub(crate) cx: Context,
    pub(crate) site: Arc<GasSite>,
    pub(crate) configuration: Arc<dyn Configuration>,
    pub(crate) config_drift: bool,
    pub(crate) config_version: u64,
    pub(crate) inbox: Inbox,
    /// Held by the evaluation thread while it lives.
    pub(crate) wakes: Mutex<Receiver<Wake>>,
    pub(crate) images: Images,
    pub(crate) reports: Vec<Arc<Mutex<BusReport>>>,
    pub(crate) snapshot: watch::Sender<Option<Arc<Snapshot>>>,
    pub(crate) written: watch::Sender<Written>,
    pub(crate) history: History,
    /// The same for years.
    pub(crate) record: Record,
    /// Registers to write, by bus.
    pub(crate) errands: Vec<Errands>,
    pub(crate) offers: Offers,
    pub(crate) platform: Platform,
    /// By bus; `None` where the binary gave no port.
    pub(crate) ports: Vec<Option<Arc<Mutex<OpenPort>>>>,
    /// By board; `None` where the binary gave none.
    pub(crate) registers: Vec<Option<Arc<Mutex<OpenRegister>>>>,
    restored: Mutex<Restored>,
    /// From the site before this one, in the same run.
    handover: Mutex<Option<Handover>>,
    /// The next site takes over: relays stay as they are.
    pub(crate) is_succeeded: AtomicBool,
}

/// What the binary gives, for every site of this run.
#[derive(Clone)]
pub(crate) struct Platform {
    pub(crate) port: FindPort,
    pub(crate) register: FindRegister,
    pub(crate) wired: Arc<Mutex<Wired>>,
    pub(crate) shutdown: Shutdown,
}

impl Hub {
    /// Handles for `site`; `restored` is what was loaded at the start, `None` = read the file again.
    pub(crate) fn new(
        cx: Context,
        site: Arc<GasSite>,
        configuration: Arc<dyn Configuration>,
        platform: Platform,
        restored: Restored,
    ) -> Self {
        let (sender, receiver) = sync_channel(INBOX_MAX);
        let version = configuration.current();
        let port = |bus| (platform.port)(bus).map(|port| Arc::new(Mutex::new(port)));
        let register = |board: &BoardInfo| {
            let open = (platform.register)(board.register.as_ref()?)?;
            Some(Arc::new(Mutex::new(open)))
        };
        Self {
            images: Images::new(site.boards.len()),
            reports: site
                .buses
                .iter()
                .map(|bus| Arc::new(Mutex::new(BusReport::for_devices(bus.devices.len()))))
                .collect(),
            errands: site.buses.iter().map(|_| Errands::default()).collect(),
            offers: Offers::default(),
            history: History::new(site.cells.len()),
            record: Record::open(&cx.history, &site),
            cx,
            config_drift: version.drift,
            config_version: version.number,
            configuration,
            inbox: Inbox::new(sender),
            wakes: Mutex::new(receiver),
            snapshot: watch::Sender::new(None),
            written: watch::Sender::new(Written::default()),
            ports: site.buses.iter().map(port).collect(),
            registers: site.boards.iter().map(register).collect(),
            platform,
            restored: Mutex::new(restored),
            handover: Mutex::new(None),
            is_succeeded: AtomicBool::new(false),
            site,
        }
    }

    /// Handles for the site that follows `before` in the same run.
    pub(crate) fn after(before: &Self, site: Arc<GasSite>) -> Self {
        let configuration = Arc::clone(&before.configuration);
        let platform = before.platform.clone();
        Self::new(before.cx.clone(), site, configuration, platform, None)
    }

    /// Takes what the threads of `before`, which have ended, leave behind.
    pub(crate) fn inherit(&self, before: &Self) {
        let left = before.take_handover();
        if let Some(left) = &left {
            let places = Places::of(&self.site, &left.site);
            self.history.inherit(&before.history, &places.cells);
            // Until the first evaluation, boards that stay show what they showed.
            for (at, board) in (0u8..).zip(&self.site.boards) {
                if let Some(was) = left.site.boards.iter().position(|b| b.id == board.id) {
                    let image = before.images.get(BoardIndex(was as u8));
                    self.images.set(BoardIndex(at), image);
                }
            }
        }
        *self.handover.lock().unwrap_or_else(PoisonError::into_inner) = left;
    }

    pub(crate) fn leave(&self, handover: Handover) {
        *self.handover.lock().unwrap_or_else(PoisonError::into_inner) = Some(handover);
    }

    pub(crate) fn take_handover(&self) -> Option<Handover> {
        self.handover
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// What was loaded before the first start; `None` on every later one, which reads the file again.
    pub(crate) fn take_restored(&self) -> Restored {
        self.restored
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// The newest snapshot.
    pub(crate) fn latest(&self) -> Result<Arc<Snapshot>, Problem> {
        self.snapshot.borrow().clone().ok_or_else(|| {
            Problem::unavailable("starting", "the gas service has not evaluated anything yet")
        })
    }

    /// Carries out a person's command and returns when its effect is durable: in the journal and in the runtime
    /// information.
    pub(crate) async fn order(
        &self,
        what: Command,
        caller: &Caller,
        reason: Option<String>,
        service: Option<(String, String)>,
    ) -> Result<(), Problem> {
        let (reply, answer) = oneshot::channel();
        let order = Order {
            what,
            caller: caller.clone(),
            reason,
            service,
            reply,
        };
        let stalled = || {
            Problem::unavailable(
                "evaluation_stalled",
                "the evaluation does not answer; nothing was done or it is not known",
            )
        };
        self.inbox.order(order).map_err(|_| stalled())?;
        let ticket = match tokio::time::timeout(ORDER_PATIENCE, answer).await {
            Ok(Ok(Ok(ticket))) => ticket,
            Ok(Ok(Err(refusal))) => return Err(refused(refusal)),
            Ok(Err(_)) | Err(_) => return Err(stalled()),
        };
        let mut written = self.written.subscribe();
        let wait = written.wait_for(|w| w.ticket >= ticket);
        let error = match tokio::time::timeout(WRITE_PATIENCE, wait).await {
            Ok(Ok(written)) => written.error.clone(),
            Ok(Err(_)) | Err(_) => Some("the disk does not answer".into()),
        };
        match error {
            None => Ok(()),
            Some(why) => {
                let detail = format!("it was done, but a power cut now would undo it: {why}");
                Err(Problem::unavailable("not_stored", detail))
            }
        }
    }
}

/// A refusal as an answer.
pub(crate) fn refused(refusal: Refusal) -> Problem {
    let detail = match refusal {
        Refusal::Unknown => return Problem::not_found("there is no such thing in the gas service"),
        Refusal::Span => {
            return Problem::unprocessable(refusal.code(), "the time is out of bounds");
        }
        Refusal::NotRaised => "there is nothing to acknowledge",
        Refusal::StillActive => "the condition still stands; a reset works only after it has ended",
        Refusal::NotAcknowledged => "it must be acknowledged before it can be reset",
        Refusal::NotLatched => "the alarm is not latched, so that there is nothing to reset",
        Refusal::NotShelvable => "alarms of stage 3 and above, and fault alarms, cannot be shelved",
        Refusal::NotShelved => "the alarm is not shelved",
        Refusal::InService => "the cell is neither inhibited nor out of service",
        Refusal::OutOfService => "the cell is out of service; return it first",
        Refusal::NotOverridable => "the healthy signal and the power lamp cannot be forced",
        Refusal::AlarmActive => "not while an alarm stands",
        Refusal::NoMains => "not without mains",
        Refusal::NoBattery => "no battery is configured",
        Refusal::NothingToConfirm => "the calibration of the cell does not differ",
    };
    Problem::conflict(refusal.code(), detail).with("service", SERVICE)
}
