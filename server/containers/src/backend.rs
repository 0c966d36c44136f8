//! What runs containers, behind one trait, so that namespaces, an in-memory double, and later a hypervisor or a
//! cluster are a file each. [`contract`] is what all of them must keep to.

pub mod contract;
pub mod mock;

use std::{io, path::PathBuf, sync::Arc};

use leitstand_kit::BoxFuture;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::oneshot,
};

use crate::{id::ContainerId, profile::Profile};

/// What the backend can do here, in words for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probe {
    /// How limits are enforced: `cgroup v2`, `cgroup v1`, `rlimits only`, `none`.
    pub limits: String,
    /// What is weaker than it should be; empty when nothing.
    pub notes: Vec<String>,
}

/// What shall run.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Its name.
    pub id: ContainerId,
    /// The account inside.
    pub username: String,
    /// Files and limits.
    pub profile: Profile,
    /// The image, where the profile has one; absolute.
    pub root: Option<PathBuf>,
}

/// Why a backend did not do it.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {why}")]
pub struct BackendError {
    /// What was being done.
    pub step: &'static str,
    /// What went wrong.
    pub why: String,
    /// Whether another request may succeed (no image, not on this machine), rather than a defect.
    pub unavailable: bool,
}

impl BackendError {
    /// A failure.
    pub fn new(step: &'static str, why: impl ToString) -> Self {
        Self {
            step,
            why: why.to_string(),
            unavailable: false,
        }
    }

    /// Not on this machine, or not with this profile.
    pub fn unavailable(step: &'static str, why: impl ToString) -> Self {
        Self {
            step,
            why: why.to_string(),
            unavailable: true,
        }
    }
}

/// A way to run containers.
pub trait Backend: Send + Sync + 'static {
    /// Its kind, as the configuration names it.
    fn kind(&self) -> &'static str;
    /// Whether it works here.
    fn probe(&self) -> BoxFuture<'_, Result<Probe, BackendError>>;
    /// Starts a container. What was built is undone when it fails.
    fn create(&self, spec: Spec) -> BoxFuture<'_, Result<Arc<dyn Guest>, BackendError>>;
    /// Every container of ours that it knows of, or has left-overs of.
    fn list_ours(&self) -> BoxFuture<'_, Result<Vec<ContainerId>, BackendError>>;
    /// Takes over a container that a former gateway started; `None` when it cannot.
    fn adopt(&self, id: ContainerId) -> BoxFuture<'_, Option<Arc<dyn Guest>>>;
    /// Removes a container and all that is left of it, whoever started it. Nothing there is fine.
    fn sweep(&self, id: ContainerId) -> BoxFuture<'_, Result<(), BackendError>>;
}

/// A container that a backend runs.
pub trait Guest: Send + Sync + 'static {
    /// Waits until sessions can be attached.
    fn wait_ready(&self) -> BoxFuture<'_, Result<(), BackendError>>;
    /// Starts a program in it.
    fn attach(&self, attach: Attach) -> BoxFuture<'_, Result<Session, BackendError>>;
    /// Its files, with the rights of its own account; `None` where the backend has none.
    fn files(&self) -> Option<Arc<dyn Files>>;
    /// What it uses.
    fn stats(&self) -> Stats;
    /// Stops all its processes in their tracks, or lets them go on.
    fn pause(&self, paused: bool) -> BoxFuture<'_, Result<(), BackendError>>;
    /// Ends it and releases everything. Again is fine.
    fn destroy(&self) -> BoxFuture<'_, Result<(), BackendError>>;
    /// Resolves when it has ended, by itself or not.
    fn ended(&self) -> BoxFuture<'static, ()>;
}

/// What a container uses; `None` = not known here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes.
    pub memory_bytes: Option<u64>,
    /// Processor time since its start.
    pub cpu_us: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

/// A program to start.
#[derive(Clone, Debug, Default)]
pub struct Attach {
    /// Given to the account's shell with `-c`; `None` = a login shell.
    pub command: Option<String>,
    /// With a terminal of this size.
    pub pty: Option<Size>,
    /// `TERM` of the terminal.
    pub term: String,
    /// More of the environment.
    pub env: Vec<(String, String)>,
}

/// Size of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Characters in a line.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// A running program.
pub struct Session {
    /// Its input, or the terminal.
    pub input: Box<dyn AsyncWrite + Send + Unpin>,
    /// Its output, or the terminal.
    pub output: Box<dyn AsyncRead + Send + Unpin>,
    /// Its errors, unless it has a terminal.
    pub errors: Option<Box<dyn AsyncRead + Send + Unpin>>,
    /// How it ended. Dropped without an answer when the container ended.
    pub exit: oneshot::Receiver<Exit>,
    /// What can be done to it from outside.
    pub control: Arc<dyn Control>,
}

/// What can be done to a running program.
pub trait Control: Send + Sync {
    /// The terminal has another size.
    fn resize(&self, size: Size);
    /// The program gets a signal, by number.
    fn signal(&self, signal: i32);
}

/// Files of a container. Errors are those of its own kernel calls.
pub trait Files: Send + Sync {
    /// Opens a regular file.
    fn open(&self, path: String, how: Open) -> BoxFuture<'_, io::Result<std::fs::File>>;
    /// Does something that needs no handle.
    fn call(&self, call: FileCall) -> BoxFuture<'_, io::Result<FileAnswer>>;
}

/// How to open a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Open {
    /// For reading.
    pub read: bool,
    /// For writing.
    pub write: bool,
    /// At its end.
    pub append: bool,
    /// Made when it is not there.
    pub create: bool,
    /// Only when it was not there.
    pub exclusive: bool,
    /// Emptied.
    pub truncate: bool,
    /// Permissions of a new file.
    pub mode: u32,
}

/// Calls on paths.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileCall {
    /// Names and attributes; from the `skip`th on, as many as fit in an answer.
    List {
        /// Folder.
        path: String,
        /// Entries to leave out.
        skip: usize,
    },
    /// Attributes.
    Stat {
        /// What.
        path: String,
        /// Of what a link points to.
        follow: bool,
    },
    /// Canonical absolute path.
    RealPath {
        /// What.
        path: String,
    },
    /// Makes a folder.
    MakeDir {
        /// Where.
        path: String,
        /// Its permissions.
        mode: u32,
    },
    /// Removes a file.
    Remove {
        /// What.
        path: String,
    },
    /// Removes an empty folder.
    RemoveDir {
        /// What.
        path: String,
    },
    /// Renames.
    Rename {
        /// From.
        from: String,
        /// To.
        to: String,
    },
    /// Sets permissions.
    SetMode {
        /// What.
        path: String,
        /// Permissions.
        mode: u32,
    },
    /// Reads a link.
    ReadLink {
        /// What.
        path: String,
    },
    /// Makes a link.
    Symlink {
        /// Its name.
        path: String,
        /// Where it points.
        target: String,
    },
}

/// Attributes of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FileStat {
    /// Its name in its folder; empty when a path was asked for.
    pub name: String,
    /// Type and permissions.
    pub mode: u32,
    /// Bytes.
    pub size: u64,
    /// Owner inside.
    pub uid: u32,
    /// Group inside.
    pub gid: u32,
    /// Seconds.
    pub mtime: u32,
}

/// Answers to a [`FileCall`].
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileAnswer {
    /// It was done.
    Done,
    /// A path or a target.
    Path(String),
    /// Attributes.
    Stat(FileStat),
    /// Attributes of many; empty at the end.
    List(Vec<FileStat>),
}
