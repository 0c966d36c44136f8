//! The gateway looks at itself: at the start and every day.
//!
//! What a thread of its own may wait for (program image, memory, disk, clock) is looked at here; the parameters in
//! use are compared by the evaluation, which owns them. One check that fails is a fault and a special state until
//! a later run finds it cured. Read-back of outputs is checked at every write, not here.

use crate::seam::{Inbox, Wake};
use crate::view::CheckResult;
use leitstand_kit::{Clock, Heartbeat};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Source: `monitor.md` 5.
const EVERY: Duration = Duration::from_secs(24 * 3600);
/// After a failure, so that a cured cause is seen soon.
const AGAIN: Duration = Duration::from_secs(600);
/// Free space for journal and runtime information. Reasoning: a day of a talkative site is some 5 MB.
const FREE_BYTES_MIN: u64 = 16 * 1024 * 1024;
/// Memory that is written and read back. Reasoning: more than the caches of the smallest target.
const PATTERN_WORDS: usize = 64 * 1024;
/// How often the thread looks whether it shall end.
const LOOK: Duration = Duration::from_millis(250);

/// What is looked at.
pub(crate) struct SelfTest {
    /// The running program; `/proc/self/exe` also after the file was replaced by an update.
    program: PathBuf,
    /// SHA-256 of it at the start.
    reference: Option<[u8; 32]>,
    /// Where journal and runtime information are.
    state: PathBuf,
    free_bytes_min: u64,
    clock: Clock,
    last: leitstand_core::time::Instant,
}

impl SelfTest {
    pub(crate) fn new(state: &Path, clock: Clock) -> Self {
        Self::of(PathBuf::from("/proc/self/exe"), state, clock)
    }

    fn of(program: PathBuf, state: &Path, clock: Clock) -> Self {
        Self {
            reference: digest(&program).ok(),
            program,
            state: state.to_path_buf(),
            free_bytes_min: FREE_BYTES_MIN,
            last: clock.now(),
            clock,
        }
    }

    /// All checks, whatever the first of them finds.
    pub(crate) fn run(&mut self) -> Vec<CheckResult> {
        vec![self.program(), memory(), self.disk(), self.clock()]
    }

    fn program(&self) -> CheckResult {
        let found = digest(&self.program);
        let wrong = match (&self.reference, found) {
            (Some(reference), Ok(found)) if *reference == found => None,
            (Some(_), Ok(_)) => Some("the program image is not the one that was started".into()),
            (_, Err(error)) => Some(format!("the program image cannot be read: {error}")),
            (None, Ok(_)) => Some("the program image could not be read at the start".into()),
        };
        CheckResult::new("program", wrong)
    }

    fn disk(&self) -> CheckResult {
        let wrong = match rustix::fs::statvfs(&self.state) {
            Ok(stat) => {
                let free = stat.f_bavail.saturating_mul(stat.f_frsize);
                (free < self.free_bytes_min)
                    .then(|| format!("{} MiB are free", free / (1024 * 1024)))
            }
            Err(error) => Some(format!("the state directory cannot be looked at: {error}")),
        };
        CheckResult::new("disk", wrong)
    }

    /// Every delay and average hangs on a clock that never goes back.
    fn clock(&mut self) -> CheckResult {
        let now = self.clock.now();
        let went_back = now < self.last;
        self.last = now;
        let wrong = went_back.then(|| "the monotonic clock went back".to_owned());
        CheckResult::new("clock", wrong)
    }
}

/// Each word holds its own pattern and its complement, so that a stuck bit or a shorted line shows.
fn memory() -> CheckResult {
    let mut words = vec![0u64; PATTERN_WORDS];
    let pattern = |at: usize| (at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut wrong = None;
    for turned in [0, u64::MAX] {
        for (at, word) in words.iter_mut().enumerate() {
            *word = pattern(at) ^ turned;
        }
        // The compiler must not know what it just wrote.
        let words = std::hint::black_box(&mut words);
        if let Some(at) = (0..words.len()).find(|&at| words[at] != pattern(at) ^ turned) {
            wrong = Some(format!("word {at} of the test area lost its content"));
        }
    }
    CheckResult::new("memory", wrong)
}

fn digest(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().into()),
            count => hash.update(&buffer[..count]),
        }
    }
}

/// Starts the thread; it ends within [`LOOK`] of `stop`.
pub(crate) fn spawn(
    mut test: SelfTest,
    inbox: Inbox,
    heartbeat: Heartbeat,
    stop: Arc<AtomicBool>,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name("gas-self-test".into())
        .spawn(move || {
            while !stop.load(Ordering::Acquire) {
                let results = test.run();
                let pause = if results.iter().all(|r| r.ok) {
                    EVERY
                } else {
                    AGAIN
                };
                if inbox.push(Wake::SelfTest(results)).is_err() {
                    break;
                }
                let next = Instant::now() + pause;
                while !stop.load(Ordering::Acquire) && Instant::now() < next {
                    heartbeat.beat();
                    std::thread::park_timeout(LOOK);
                }
            }
            heartbeat.finish();
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn test(dir: &Path) -> SelfTest {
        let program = dir.join("program");
        std::fs::write(&program, vec![7; 200_000]).unwrap();
        let (clock, _hand) = Clock::manual();
        SelfTest::of(program, dir, clock)
    }

    fn failed(test: &mut SelfTest) -> Vec<&'static str> {
        let bad = test.run().into_iter().filter(|r| !r.ok);
        bad.map(|r| r.check).collect()
    }

    #[test]
    fn a_sound_system_passes_again_and_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut test = test(dir.path());
        assert_eq!(failed(&mut test), [""; 0]);
        assert_eq!(failed(&mut test), [""; 0]);
        let own = SelfTest::new(dir.path(), Clock::manual().0).run();
        assert!(own.iter().all(|r| r.ok), "{own:?}");
    }

    #[test]
    fn one_flipped_bit_of_the_program_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let mut test = test(dir.path());
        let mut bytes = std::fs::read(&test.program).unwrap();
        bytes[123_456] ^= 1;
        std::fs::write(&test.program, &bytes).unwrap();
        assert_eq!(failed(&mut test), ["program"]);
        bytes[123_456] ^= 1;
        std::fs::write(&test.program, &bytes).unwrap();
        assert_eq!(failed(&mut test), [""; 0], "cured");
        std::fs::remove_file(&test.program).unwrap();
        assert_eq!(failed(&mut test), ["program"]);
    }

    #[test]
    fn a_full_disk_and_a_lost_state_directory_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let mut test = test(dir.path());
        test.free_bytes_min = u64::MAX;
        assert_eq!(failed(&mut test), ["disk"]);
        test.state = dir.path().join("gone");
        assert_eq!(failed(&mut test), ["disk"]);
    }

    #[test]
    fn a_clock_that_went_back_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let mut test = test(dir.path());
        test.last = test.clock.now() + Duration::from_secs(1);
        assert_eq!(failed(&mut test), ["clock"]);
        assert_eq!(failed(&mut test), [""; 0]);
    }
}
