//! What a module host may use: memory, processor time, descriptors (`decisions.md` 51). Files and network stay open to
//! it, since modules talk to servers of their own.

use std::{
    fs::{File, OpenOptions},
    io,
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

use super::HostArgs;

/// Open files and sockets.
const DESCRIPTORS_MAX: u64 = 256;
/// Processor seconds that may be used in one go.
const BURST_S: u64 = 60;

/// Takes the pipes to the gateway out of the library's reach: what it prints goes to STDERR, and it reads nothing.
pub(super) fn own_pipes() -> io::Result<(File, File)> {
    let input = File::from(rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?);
    let output = File::from(rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?);
    let nothing = OpenOptions::new().read(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nothing)?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    Ok((input, output))
}

/// Sets the limits of this process.
pub(super) fn set(args: &HostArgs) -> io::Result<()> {
    // The pipes end with the gateway; this also ends a host that is stuck in its library.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let both = |most: u64| Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    setrlimit(Resource::Data, both(u64::from(args.memory_mib) << 20))?;
    setrlimit(Resource::Nofile, both(DESCRIPTORS_MAX))?;
    setrlimit(Resource::Core, both(0))?;
    let most = getrlimit(Resource::Cpu).maximum;
    let percent = u64::from(args.cpu_percent);
    let allow = move |since: Instant| {
        let share = since.elapsed().as_secs() * percent / 100;
        let allowed = BURST_S * percent.div_ceil(100) + share;
        setrlimit(
            Resource::Cpu,
            Rlimit {
                current: Some(most.map_or(allowed, |most| allowed.min(most))),
                maximum: most,
            },
        )
    };
    let since = Instant::now();
    allow(since)?;
    // The system's limit is a total; raising it by the share of each passed second makes a rate of it.
    std::thread::Builder::new()
        .name("budget".into())
        .spawn(move || {
            while allow(since).is_ok() {
                std::thread::sleep(Duration::from_secs(5));
            }
        })?;
    Ok(())
}
