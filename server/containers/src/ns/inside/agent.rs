//! Process 1 at work: starts programs, hands their terminals out, reaps the dead, answers for files.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::{fs::OpenOptionsExt as _, process::CommandExt as _},
    },
    process::{Command, ExitCode, Stdio},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, WaitOptions, kill_process_group, pidfd_open, setsid, wait},
    pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use super::{files, mounts, step};
use crate::ns::message::{Ask, Launch, Tell, receive, send};

/// How often the dead that nobody waits for are looked for: no signal is caught here.
const REAP_EVERY: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};
/// Programs at a time. Reasoning: sixteen connections with a handful each.
const PROGRAMS_MAX: usize = 64;
/// Pushes what a guest starts before process 1 when memory runs out.
const OOM_FIRST: &str = "800";

struct Agent<'a> {
    line: BorrowedFd<'a>,
    username: String,
    shell: &'static str,
    /// By pid.
    programs: HashMap<i32, Program>,
}

struct Program {
    id: u64,
    pidfd: OwnedFd,
}

/// Number of the profile's own command.
const COMMAND_ID: u64 = 0;

/// Serves until the life line ends, the guest powers off, or the profile's command ends.
pub(super) fn serve(
    line: BorrowedFd<'_>,
    launch: &Launch,
    notes: Vec<String>,
) -> Result<ExitCode, String> {
    // Open for both: it never reads an end, and a writer never waits.
    let power = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(format!("{}/power", mounts::OURS));
    let power = step("power", power)?;
    let mut agent = Agent {
        line,
        username: launch.username.clone(),
        shell: mounts::shell(""),
        programs: HashMap::new(),
    };
    if let [program, arguments @ ..] = launch.command.as_slice() {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        step("command", agent.spawn(command, COMMAND_ID, false, "", &[]))?;
    }
    step("ready", send(line, &Tell::Ready { notes }, &[]))?;
    loop {
        let ended = agent.turn(&power);
        match ended {
            Ok(false) => {}
            // Leaving ends everything else in this pid namespace.
            Ok(true) => return Ok(ExitCode::SUCCESS),
            Err(error) => return Err(error.to_string()),
        }
    }
}

impl Agent<'_> {
    /// Waits for something and deals with it; true at the end.
    fn turn(&mut self, power: &File) -> io::Result<bool> {
        let (line_ready, power_ready) = {
            let mut fds = vec![
                PollFd::new(&self.line, PollFlags::IN),
                PollFd::new(power, PollFlags::IN),
            ];
            fds.extend(
                self.programs
                    .values()
                    .map(|p| PollFd::new(&p.pidfd, PollFlags::IN)),
            );
            match poll(&mut fds, Some(&REAP_EVERY)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            (!fds[0].revents().is_empty(), !fds[1].revents().is_empty())
        };
        if self.reap()? || power_ready {
            return Ok(true);
        }
        if line_ready {
            match receive::<Ask>(self.line, false)? {
                Some((ask, _)) => self.answer(ask)?,
                None => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Collects all dead; true when the profile's command is among them.
    fn reap(&mut self) -> io::Result<bool> {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if let Some(program) = self.programs.remove(&pid.as_raw_nonzero().get()) {
                if program.id == COMMAND_ID {
                    return Ok(true);
                }
                let (code, signal) = (status.exit_status(), status.terminating_signal());
                send(
                    self.line,
                    &Tell::Exited {
                        id: program.id,
                        code,
                        signal,
                    },
                    &[],
                )?;
            }
        }
        Ok(false)
    }

    fn answer(&mut self, ask: Ask) -> io::Result<()> {
        let (id, done) = match ask {
            Ask::Exec {
                id,
                command,
                pty,
                term,
                env,
            } => (id, self.exec(id, command, pty, &term, &env)),
            Ask::Signal { id, signal } => {
                self.signal(id, signal);
                return Ok(());
            }
            Ask::Open { id, path, how } => {
                let opened = files::open(&path, how);
                (
                    id,
                    opened.and_then(|file| send(self.line, &Tell::Opened { id }, &[file.as_fd()])),
                )
            }
            Ask::File { id, call } => {
                let called = files::call(call);
                (
                    id,
                    called.and_then(|answer| send(self.line, &Tell::Answer { id, answer }, &[])),
                )
            }
        };
        match done {
            Ok(()) => Ok(()),
            Err(error) => send(
                self.line,
                &Tell::Refused {
                    id,
                    errno: error.raw_os_error().unwrap_or(libc::EIO),
                },
                &[],
            ),
        }
    }

    fn signal(&self, id: u64, signal: i32) {
        let program = self.programs.iter().find(|(_, p)| p.id == id);
        if let (Some((pid, _)), Some(signal)) = (program, Signal::from_named_raw(signal))
            && let Some(pid) = Pid::from_raw(*pid)
        {
            // It leads a session and a group of its own.
            let _ = kill_process_group(pid, signal);
        }
    }

    fn exec(
        &mut self,
        id: u64,
        command: Option<String>,
        pty: Option<(u16, u16)>,
        term: &str,
        env: &[(String, String)],
    ) -> io::Result<()> {
        if self.programs.len() >= PROGRAMS_MAX {
            return Err(io::Error::from_raw_os_error(libc::EAGAIN));
        }
        let mut program = Command::new(self.shell);
        match command {
            Some(command) => drop(program.arg("-c").arg(command)),
            None => {
                let name = self.shell.rsplit('/').next().unwrap_or("sh");
                program.arg0(format!("-{name}"));
            }
        }
        let ours: Vec<OwnedFd> = match pty {
            Some((columns, rows)) => {
                let master: OwnedFd = OpenOptions::new()
                    .read(true)
                    .write(true)
                    .custom_flags(libc::O_NOCTTY)
                    .open("/dev/pts/ptmx")?
                    .into();
                unlockpt(&master)?;
                let slave = ioctl_tiocgptpeer(
                    &master,
                    OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC,
                )?;
                tcsetwinsize(
                    &slave,
                    Winsize {
                        ws_row: rows,
                        ws_col: columns,
                        ws_xpixel: 0,
                        ws_ypixel: 0,
                    },
                )?;
                program
                    .stdin(slave.try_clone()?)
                    .stdout(slave.try_clone()?)
                    .stderr(slave);
                vec![master]
            }
            None => {
                let (input, to) = io::pipe()?;
                let (from, output) = io::pipe()?;
                let (errors_from, errors) = io::pipe()?;
                program.stdin(input).stdout(output).stderr(errors);
                vec![to.into(), from.into(), errors_from.into()]
            }
        };
        self.spawn(program, id, pty.is_some(), term, env)?;
        let fds: Vec<BorrowedFd<'_>> = ours.iter().map(|fd| fd.as_fd()).collect();
        send(self.line, &Tell::Started { id }, &fds)
    }

    #[allow(unsafe_code)]
    fn spawn(
        &mut self,
        mut command: Command,
        id: u64,
        terminal: bool,
        term: &str,
        env: &[(String, String)],
    ) -> io::Result<()> {
        let home = format!("/home/{}", self.username);
        command
            .env_clear()
            .env("HOME", &home)
            .env("USER", &self.username)
            .env("LOGNAME", &self.username)
            .env("SHELL", self.shell)
            .env(
                "PATH",
                format!(
                    "{}/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
                    mounts::OURS
                ),
            )
            .envs(env.iter().map(|(name, value)| (name, value)))
            .current_dir(&home);
        if !term.is_empty() {
            command.env("TERM", term);
        }
        // SAFETY: between fork and exec only calls that are safe after a fork may be made. `setsid` and the ioctl are
        // bare system calls without allocation or locks, and this process has one thread.
        unsafe {
            command.pre_exec(move || {
                setsid()?;
                if terminal {
                    rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
                }
                Ok(())
            });
        }
        // Reaped with all other dead.
        let child = command.spawn()?;
        let raw = child.id() as i32;
        let _ = std::fs::write(format!("/proc/{raw}/oom_score_adj"), OOM_FIRST);
        let pid = Pid::from_raw(raw).ok_or_else(|| io::Error::other("no pid"))?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        self.programs.insert(raw, Program { id, pidfd });
        Ok(())
    }
}
