//! The backend on namespaces of this kernel: no daemon, no image to fetch, nothing to install.
//!
//! ```text
//!  gateway ── spawns ──► leitstand container-init        (single-threaded; in its cgroup before it goes on)
//!     │                     own uid, new user, mount, pid, net, uts, ipc, cgroup namespaces
//!     │                     └── spawns ──► process 1 of the container: mounts, pivot, second user namespace,
//!     └── SEQPACKET socket ──────────────► no capabilities, no_new_privs, Landlock, seccomp; then serves sessions
//! ```
//!
//! The socket is the life line: when the gateway dies, process 1 reads its end and exits, and the kernel ends
//! everything in its pid namespace. What process 1 says is believed by nobody: it shares the guest's account.

mod cgroup;
mod control;
mod inside;
mod message;
mod pipe;

use std::{
    fs, io,
    os::fd::OwnedFd,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use leitstand_kit::BoxFuture;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tokio::process::{Child, Command};

use crate::{
    backend::{Attach, Backend, BackendError, Files, Guest, Probe, Session, Spec, Stats},
    id::ContainerId,
    profile::Profile,
};
use cgroup::{Group, Hierarchy, Limits};
use control::Control;
pub use inside::{COMMAND, container_init};
use message::Launch;

/// First of the numbers that containers of a privileged gateway run under: one each, far from people's accounts.
const UID_FIRST: u32 = 0x7000_0000;
/// From the end of the life line to the last process gone and the last folder removed.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// The backend.
pub struct Namespaces {
    helper: PathBuf,
    /// Tells the containers of one gateway from those of another on the same machine.
    tag: String,
    hierarchy: Hierarchy,
    base: PathBuf,
}

impl Namespaces {
    /// `helper` is started as `helper container-init`; `tag` is this gateway's own word.
    #[must_use]
    pub fn new(helper: PathBuf, tag: &str, base: PathBuf) -> Self {
        Self {
            helper,
            tag: tag.into(),
            hierarchy: Hierarchy::detect(tag),
            base,
        }
    }

    fn start(&self, spec: &Spec) -> Result<Arc<NsGuest>, BackendError> {
        let failed = |step: &'static str| move |e: io::Error| BackendError::new(step, e);
        if let Some(root) = &spec.root
            && !root.is_dir()
        {
            return Err(BackendError::unavailable(
                "image",
                format!("{} is no folder", root.display()),
            ));
        }
        let profile = &spec.profile;
        let limits = Limits {
            memory: profile.memory_bytes,
            pids: profile.pids,
            cpu_millis: profile.cpu_millis,
        };
        let group = self
            .hierarchy
            .create(spec.id, limits)
            .map_err(failed("cgroup"))?;
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
            .map_err(|e| BackendError::new("socket", e))?;
        let child = self.spawn(spec.id, theirs);
        let child = match child {
            Ok(child) => child,
            Err(error) => {
                let _ = group.remove();
                return Err(failed("container-init")(error));
            }
        };
        let guest = Arc::new(NsGuest {
            control: Control::new(ours).map_err(failed("socket"))?,
            child: tokio::sync::Mutex::new(Some(child)),
            pid: Mutex::new(None),
            group: Mutex::new(Some(group)),
        });
        let placed = guest.place();
        let launch = Launch {
            username: spec.username.clone(),
            outer_uid: rustix::process::geteuid()
                .is_root()
                .then(|| UID_FIRST | outer(spec.id)),
            root: spec.root.clone(),
            disk_bytes: profile.disk_bytes,
            memory_bytes: profile.memory_bytes,
            pids: profile.pids,
            rlimit_memory: !self.hierarchy.limits_memory(),
            rlimit_pids: !self.hierarchy.limits_pids(),
            command: profile.command.clone(),
        };
        // Only now it may go on: from its first step it is in its cgroup.
        let sent = placed.and_then(|()| guest.control.launch(&launch));
        match sent {
            Ok(()) => Ok(guest),
            Err(error) => {
                // The guest ends when it is dropped, in the background.
                guest.end_in_background();
                Err(failed("launch")(error))
            }
        }
    }

    fn spawn(&self, id: ContainerId, stdin: OwnedFd) -> io::Result<Child> {
        Command::new(&self.helper)
            .args([COMMAND, &self.tag, &id.to_string()])
            .env_clear()
            .stdin(Stdio::from(stdin))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            .kill_on_drop(true)
            .spawn()
    }

    /// Processes that were started as ours, by what their command line says.
    fn processes(&self) -> Vec<(u32, ContainerId)> {
        let Ok(entries) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        let of = |entry: fs::DirEntry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            let mut words = line.split(|b| *b == 0).skip(1);
            let ours = words.next()? == COMMAND.as_bytes() && words.next()? == self.tag.as_bytes();
            let id = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
            ours.then_some((pid, id))
        };
        entries.flatten().filter_map(of).collect()
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        self.hierarchy.clean();
    }
}

/// The low bits of a container's name: as good as unique among a thousand.
fn outer(id: ContainerId) -> u32 {
    let text = id.to_string();
    u32::from_str_radix(&text[text.len() - 6..], 16).unwrap_or(0)
}

impl Backend for Namespaces {
    fn kind(&self) -> &'static str {
        "ns"
    }

    /// Starts one and ends it: nothing else tells what a machine allows.
    fn probe(&self) -> BoxFuture<'_, Result<Probe, BackendError>> {
        Box::pin(async move {
            let spec = Spec {
                id: ContainerId::random(),
                username: "user_10000".into(),
                profile: Profile::host_userland(),
                root: None,
            };
            let guest = self.start(&spec)?;
            let ready = guest.control.ready().await;
            guest.destroy().await?;
            let mut notes = ready.map_err(|why| BackendError::unavailable("namespaces", why))?;
            notes.extend(self.hierarchy.notes());
            Ok(Probe {
                limits: self.hierarchy.name().into(),
                notes,
            })
        })
    }

    fn create(&self, spec: Spec) -> BoxFuture<'_, Result<Arc<dyn Guest>, BackendError>> {
        Box::pin(async move {
            let mut spec = spec;
            spec.root = spec.root.map(|root| self.base.join(root));
            self.start(&spec).map(|guest| guest as Arc<dyn Guest>)
        })
    }

    fn list_ours(&self) -> BoxFuture<'_, Result<Vec<ContainerId>, BackendError>> {
        let mut ids: Vec<_> = self.processes().into_iter().map(|(_, id)| id).collect();
        ids.extend(self.hierarchy.list());
        ids.sort_unstable();
        ids.dedup();
        Box::pin(std::future::ready(Ok(ids)))
    }

    /// Never: the life line ends with the gateway that holds it, and the container with the life line.
    fn adopt(&self, _: ContainerId) -> BoxFuture<'_, Option<Arc<dyn Guest>>> {
        Box::pin(std::future::ready(None))
    }

    fn sweep(&self, id: ContainerId) -> BoxFuture<'_, Result<(), BackendError>> {
        Box::pin(async move {
            let began = tokio::time::Instant::now();
            loop {
                let left = self.processes().into_iter().filter(|(_, of)| *of == id);
                let mut any = false;
                for (pid, _) in left {
                    any = true;
                    let pid = rustix::process::Pid::from_raw(pid as i32);
                    if let Some(pid) = pid {
                        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                    }
                }
                let removed = self.hierarchy.find(id).remove();
                match removed {
                    Ok(()) if !any => return Ok(()),
                    _ if began.elapsed() > GONE_WITHIN => {
                        return Err(BackendError::new("sweep", "processes or cgroups stay"));
                    }
                    _ => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        })
    }
}

struct NsGuest {
    control: Arc<Control>,
    child: tokio::sync::Mutex<Option<Child>>,
    pid: Mutex<Option<u32>>,
    group: Mutex<Option<Group>>,
}

impl NsGuest {
    /// Puts the helper into its cgroup.
    fn place(&self) -> io::Result<()> {
        let child = self
            .child
            .try_lock()
            .map_err(|_| io::Error::other("just made"))?;
        let pid = child
            .as_ref()
            .and_then(Child::id)
            .ok_or_else(|| io::Error::other("it has ended"))?;
        *self.pid.lock().unwrap_or_else(PoisonError::into_inner) = Some(pid);
        match &*self.group() {
            Some(group) => group.add(pid),
            None => Ok(()),
        }
    }

    fn group(&self) -> std::sync::MutexGuard<'_, Option<Group>> {
        self.group.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end_in_background(self: &Arc<Self>) {
        let guest = self.clone();
        tokio::spawn(async move { drop(guest.destroy().await) });
    }
}

impl Guest for NsGuest {
    fn wait_ready(&self) -> BoxFuture<'_, Result<(), BackendError>> {
        Box::pin(async move {
            self.control
                .ready()
                .await
                .map(drop)
                .map_err(|why| BackendError::new("container-init", why))
        })
    }

    fn attach(&self, attach: Attach) -> BoxFuture<'_, Result<Session, BackendError>> {
        let control = self.control.clone();
        Box::pin(async move {
            control
                .attach(attach)
                .await
                .map_err(|e| BackendError::new("attach", e))
        })
    }

    fn files(&self) -> Option<Arc<dyn Files>> {
        Some(self.control.clone())
    }

    fn stats(&self) -> Stats {
        self.group().as_ref().map(Group::stats).unwrap_or_default()
    }

    fn pause(&self, paused: bool) -> BoxFuture<'_, Result<(), BackendError>> {
        let done = match &*self.group() {
            Some(group) => group.freeze(paused),
            None => Err(io::Error::other("it has ended")),
        };
        Box::pin(std::future::ready(
            done.map_err(|e| BackendError::new("pause", e)),
        ))
    }

    fn destroy(&self) -> BoxFuture<'_, Result<(), BackendError>> {
        Box::pin(async move {
            self.control.hang_up();
            let mut child = self.child.lock().await;
            if let Some(running) = child.as_mut() {
                // Process 1 follows its parent by its parent-death signal, should it not hear the life line.
                let _ = running.start_kill();
                if let Some(group) = &*self.group() {
                    // A frozen process is killed when it is thawed.
                    let _ = group.freeze(false);
                }
                let ended = tokio::time::timeout(GONE_WITHIN, running.wait()).await;
                ended
                    .map_err(|_| BackendError::new("end", "the helper does not end"))?
                    .map_err(|e| BackendError::new("end", e))?;
            }
            *child = None;
            let began = tokio::time::Instant::now();
            loop {
                let removed = match &*self.group() {
                    Some(group) => group.remove(),
                    None => Ok(()),
                };
                match removed {
                    Ok(()) => break,
                    Err(e) if began.elapsed() > GONE_WITHIN => {
                        return Err(BackendError::new("cgroup", e));
                    }
                    Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
                }
            }
            *self.group() = None;
            Ok(())
        })
    }

    fn ended(&self) -> BoxFuture<'static, ()> {
        Box::pin(self.control.over().cancelled_owned())
    }
}
