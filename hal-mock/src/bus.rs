//! An [`Rs485`] line on a pseudo-terminal, at the pace of a real one.

use crate::pty::{self, Pty};
use crate::rs485::{Micros, Rs485};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest wait for the master's bytes: how soon a stop or a pulled plug is noticed.
const LOOK: Duration = Duration::from_millis(20);

/// A line that runs on a thread of its own until dropped.
#[derive(Debug)]
pub struct Bus {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    line: Mutex<Rs485>,
    /// The stable name of the device file.
    link: PathBuf,
    plugged: AtomicBool,
    stop: AtomicBool,
}

impl Bus {
    /// Starts the line behind the stable device name `link`, whose folder must exist.
    ///
    /// # Errors
    /// The system has no pseudo-terminal or thread left, or the name cannot be made.
    pub fn start(line: Rs485, link: &Path) -> io::Result<Self> {
        let port = Pty::open()?;
        pty::link(port.path(), link)?;
        let shared = Arc::new(Shared {
            line: Mutex::new(line),
            link: link.to_path_buf(),
            plugged: AtomicBool::new(true),
            stop: AtomicBool::new(false),
        });
        let run = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("sim-rs485".into())
            .stack_size(128 * 1024)
            .spawn(move || run.run(port))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// A handle that outlives this value, for whoever makes things happen on the line.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.shared))
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.shared.link);
    }
}

/// Access to a running line. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle(Arc<Shared>);

impl Handle {
    /// The line with its devices. Held only for a moment: the line stands still meanwhile.
    pub fn line(&self) -> MutexGuard<'_, Rs485> {
        self.0.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pulls the plug (`false`) or puts it back, behind the same name. Takes effect within 20 ms.
    pub fn plug(&self, plugged: bool) {
        self.0.plugged.store(plugged, Ordering::Relaxed);
    }

    /// Whether the plug is in.
    #[must_use]
    pub fn is_plugged(&self) -> bool {
        self.0.plugged.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn run(&self, port: Pty) {
        let begun = Instant::now();
        let now = || begun.elapsed().as_micros() as Micros;
        let mut port = Some(port);
        let (mut received, mut out) = ([0u8; 512], Vec::new());
        while !self.stop.load(Ordering::Relaxed) {
            if !self.plugged.load(Ordering::Relaxed) {
                if port.take().is_some() {
                    let _ = std::fs::remove_file(&self.link);
                    self.lock().clear();
                }
                std::thread::sleep(LOOK);
                continue;
            }
            let Some(open) = &port else {
                port = Pty::open()
                    .and_then(|p| pty::link(p.path(), &self.link).map(|()| p))
                    .ok();
                if port.is_none() {
                    std::thread::sleep(LOOK);
                }
                continue;
            };
            let patience = match self.lock().next_due() {
                Some(due) => Duration::from_micros(due.saturating_sub(now())).min(LOOK),
                None => LOOK,
            };
            let Ok(count) = open.read(&mut received, patience) else {
                port = None;
                continue;
            };
            let mut line = self.lock();
            if count > 0 {
                line.feed(now(), &received[..count]);
            }
            line.take(now(), &mut out);
            drop(line);
            if !out.is_empty() {
                if open.write(&out).is_err() {
                    port = None;
                }
                out.clear();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Rs485> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
