//! The one thread that writes.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use rusqlite::Connection;

use super::StoreError;

/// Work for the writer thread.
pub(crate) type Job = Box<dyn FnOnce(&mut Connection) + Send>;
type IdleJob = Box<dyn FnMut(&mut Connection) + Send>;

/// Handle of the thread; dropping it finishes what is queued and waits for the end.
pub(super) struct Writer {
    jobs: Option<Sender<Job>>,
    queued: Arc<AtomicUsize>,
    idle: Arc<Mutex<Vec<IdleJob>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(connection: Connection) -> Self {
        let (jobs, receiver) = channel::<Job>();
        let queued = Arc::new(AtomicUsize::new(0));
        let idle = Arc::new(Mutex::new(Vec::new()));
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn({
                let (queued, idle) = (Arc::clone(&queued), Arc::clone(&idle));
                move || run(connection, &receiver, &queued, &idle)
            })
            .ok();
        Self {
            // Without a thread the receiver is gone and every submit answers `Closed`.
            jobs: Some(jobs),
            queued,
            idle,
            thread,
        }
    }

    /// Queues `job`; with a bound, only while fewer are queued.
    pub(super) fn submit(&self, job: Job, bound: Option<usize>) -> Result<(), StoreError> {
        let queued = self.queued.fetch_add(1, Ordering::AcqRel);
        if bound.is_some_and(|bound| queued >= bound) {
            self.queued.fetch_sub(1, Ordering::AcqRel);
            return Err(StoreError::Busy(queued));
        }
        let sent = self
            .jobs
            .as_ref()
            .is_some_and(|jobs| jobs.send(job).is_ok());
        if sent {
            Ok(())
        } else {
            self.queued.fetch_sub(1, Ordering::AcqRel);
            Err(StoreError::Closed)
        }
    }

    pub(super) fn when_idle(&self, job: IdleJob) {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(job);
    }
}

fn run(mut db: Connection, jobs: &Receiver<Job>, queued: &AtomicUsize, idle: &Mutex<Vec<IdleJob>>) {
    loop {
        match jobs.recv_timeout(Duration::from_secs(1)) {
            Ok(job) => {
                queued.fetch_sub(1, Ordering::AcqRel);
                guarded(&mut db, job);
            }
            Err(RecvTimeoutError::Timeout) => {
                let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
                for job in idle.iter_mut() {
                    guarded(&mut db, job);
                }
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// A job that panics takes nobody along, and leaves no transaction open.
fn guarded(db: &mut Connection, job: impl FnOnce(&mut Connection)) {
    if catch_unwind(AssertUnwindSafe(|| job(db))).is_err() {
        tracing::error!("a database job panicked");
    }
    if !db.is_autocommit()
        && let Err(error) = db.execute_batch("ROLLBACK")
    {
        tracing::error!(%error, "rolling back a database job");
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // The last handle may be dropped by a job, on the thread itself.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}
