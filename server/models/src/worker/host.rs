//! `leitstand plugin-host`: limits this process, then becomes the worker.

use std::{convert::Infallible, os::unix::process::CommandExt as _, process::Command};

use rustix::process::{
    Pid, Resource, Rlimit, Signal, getppid, set_parent_process_death_signal, setrlimit,
};

/// Sets the limits (0: none) and replaces this process by `command`.
///
/// # Errors
/// A limit that cannot be set, or a program that cannot be started. Never returns otherwise.
pub fn become_worker(
    memory_mib: u64,
    cpu_s: u64,
    command: &[String],
) -> std::io::Result<Infallible> {
    let parent: Option<Pid> = getppid();
    // Workers do not outlive the gateway, however it ends.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid() != parent {
        return Err(std::io::Error::other("the gateway is gone"));
    }
    let limit = |resource, value: u64| {
        let both = Rlimit {
            current: Some(value),
            maximum: Some(value),
        };
        if value == 0 {
            Ok(())
        } else {
            setrlimit(resource, both)
        }
    };
    limit(Resource::As, memory_mib.saturating_mul(1 << 20))?;
    limit(Resource::Cpu, cpu_s)?;
    setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    )?;
    let Some((program, arguments)) = command.split_first() else {
        return Err(std::io::Error::other("no command"));
    };
    Err(Command::new(program).args(arguments).exec())
}
