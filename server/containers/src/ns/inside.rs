//! The inside: what `leitstand container-init` does. Runs single-threaded, before the program does anything else.
//!
//! The first process becomes nobody special and makes the namespaces; the second, process 1 of the new pid namespace,
//! builds the file system, locks itself up and serves sessions.

mod agent;
mod confine;
mod files;
mod mounts;

use std::{
    fs, io,
    os::{
        fd::{AsFd as _, BorrowedFd},
        unix::process::CommandExt as _,
    },
    process::{Command, ExitCode, Stdio},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{
        DumpableBehavior, Gid, Signal, Uid, set_dumpable_behavior, set_parent_process_death_signal,
    },
    thread::{UnshareFlags, set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};

use super::message::{Launch, Tell, receive, send};

/// The hidden command.
pub const COMMAND: &str = "container-init";
/// Marks the second process.
const INNER: &str = "inner";
/// The account inside.
const INNER_UID: u32 = 1000;

/// Runs `container-init` with the arguments after it; standard input is the life line. Must be called before any
/// thread is started.
#[must_use]
pub fn container_init(arguments: &[String]) -> ExitCode {
    let stdin = io::stdin();
    let line = stdin.as_fd();
    let inner = arguments.last().is_some_and(|a| a == INNER);
    let done = if inner {
        become_init(line)
    } else {
        make_namespaces(line, arguments)
    };
    match done {
        Ok(code) => code,
        Err(why) => {
            let _ = send(line, &Tell::Failed { why }, &[]);
            ExitCode::FAILURE
        }
    }
}

/// Names the step that failed.
fn step<T, E: std::fmt::Display>(name: &'static str, result: Result<T, E>) -> Result<T, String> {
    result.map_err(|e| format!("{name}: {e}"))
}

fn make_namespaces(line: BorrowedFd<'_>, arguments: &[String]) -> Result<ExitCode, String> {
    // The gateway sends when we are in our cgroup; at the end of the line there is nothing to do.
    let mut waiting = [PollFd::new(&line, PollFlags::IN)];
    step("waiting", poll(&mut waiting, None))?;
    let Some((launch, _)) = step("launch", receive::<Launch>(line, true))? else {
        return Ok(ExitCode::SUCCESS);
    };
    if let Some(uid) = launch.outer_uid {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(uid));
        step("groups", set_thread_groups(&[]))?;
        step("group", set_thread_res_gid(gid, gid, gid))?;
        step("account", set_thread_res_uid(uid, uid, uid))?;
        // A change of account hides /proc/self from ourselves, and we are about to write our maps there.
        step(
            "dumpable",
            set_dumpable_behavior(DumpableBehavior::Dumpable),
        )?;
    }
    let all = UnshareFlags::NEWUSER
        | UnshareFlags::NEWNS
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWNET
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWCGROUP;
    let (uid, gid) = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    step(
        "namespaces (are user namespaces allowed for this account?)",
        unshare(all),
    )?;
    step("user map", map(0, uid, gid))?;
    let mut inner = Command::new("/proc/self/exe");
    inner
        .arg(COMMAND)
        .args(arguments)
        .arg(INNER)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .arg0("leitstand");
    // Standard input, the life line, is inherited.
    let mut child = step("process 1", inner.spawn())?;
    let ended = step("process 1", child.wait())?;
    Ok(if ended.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Our account is `inside` in the new user namespace.
fn map(inside: u32, uid: u32, gid: u32) -> io::Result<()> {
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/gid_map", format!("{inside} {gid} 1"))?;
    fs::write("/proc/self/uid_map", format!("{inside} {uid} 1"))
}

#[allow(unsafe_code)]
fn unshare(flags: UnshareFlags) -> io::Result<()> {
    debug_assert!(
        !flags.contains(UnshareFlags::FILES),
        "descriptors stay shared"
    );
    // SAFETY: what makes this call unsafe is CLONE_FILES, which gives threads different descriptor tables; it is not
    // among our flags, and there is one thread.
    unsafe { rustix::thread::unshare_unsafe(flags) }.map_err(io::Error::from)
}

fn become_init(line: BorrowedFd<'_>) -> Result<ExitCode, String> {
    step(
        "parent's death",
        set_parent_process_death_signal(Some(Signal::KILL)),
    )?;
    let Some((launch, _)) = step("launch", receive::<Launch>(line, false))? else {
        return Ok(ExitCode::SUCCESS);
    };
    let mut notes = Vec::new();
    mounts::build(&launch, &mut notes)?;
    step("host name", rustix::system::sethostname(b"container"))?;
    if let Err(error) = confine::loopback_up() {
        notes.push(format!("no loopback inside: {error}"));
    }
    // A second user namespace: the mounts belong to the first, so that even all capabilities of this one could not
    // touch them. It also gives the account its own number.
    step("second user namespace", unshare(UnshareFlags::NEWUSER))?;
    step("user map", map(INNER_UID, 0, 0))?;
    confine::lock_up(&launch, &mut notes)?;
    // The signal is forgotten when the account changes: ask again.
    step(
        "parent's death",
        set_parent_process_death_signal(Some(Signal::KILL)),
    )?;
    agent::serve(line, &launch, notes)
}
