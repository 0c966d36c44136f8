//! The gateway's end of the life line: requests with numbers, answers matched to them.

use std::{
    collections::HashMap,
    fs::File,
    io,
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use leitstand_kit::{BoxFuture, CancellationToken};
use rustix::{
    net::{Shutdown, shutdown},
    termios::{Winsize, tcsetwinsize},
};
use tokio::{
    io::unix::AsyncFd,
    sync::{oneshot, watch},
};

use super::{
    message::{Ask, Launch, Tell, receive, send},
    pipe::{Pipe, watched},
};
use crate::backend::{
    Attach, Control as SessionControl, Exit, FileAnswer, FileCall, Files, Open, Session, Size,
};

/// From a request to its answer. Reasoning: forking on a loaded Pi, with room.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

type Reply = (Tell, Vec<OwnedFd>);

/// The life line.
pub(super) struct Control {
    socket: AsyncFd<OwnedFd>,
    next: AtomicU64,
    replies: Mutex<HashMap<u64, oneshot::Sender<Reply>>>,
    exits: Mutex<HashMap<u64, oneshot::Sender<Exit>>>,
    ready: watch::Sender<Option<Result<Vec<String>, String>>>,
    over: CancellationToken,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Control {
    pub(super) fn new(socket: OwnedFd) -> io::Result<Arc<Self>> {
        let control = Arc::new(Self {
            socket: watched(socket)?,
            next: AtomicU64::new(1),
            replies: Mutex::default(),
            exits: Mutex::default(),
            ready: watch::Sender::new(None),
            over: CancellationToken::new(),
        });
        tokio::spawn(control.clone().listen());
        Ok(control)
    }

    /// The first packet. The buffer is empty: it never waits.
    pub(super) fn launch(&self, launch: &Launch) -> io::Result<()> {
        send(&self.socket, launch, &[])
    }

    /// Waits until sessions can be attached; what is weaker than it should be, or why it does not work.
    pub(super) async fn ready(&self) -> Result<Vec<String>, String> {
        let mut ready = self.ready.subscribe();
        match ready.wait_for(Option::is_some).await {
            Ok(state) => state.clone().unwrap_or_else(|| Err("never".into())),
            Err(_) => Err("it ended".into()),
        }
    }

    /// Fires when process 1 has ended.
    pub(super) fn over(&self) -> CancellationToken {
        self.over.clone()
    }

    /// Ends the life line: process 1 reads the end, and everything with it ends.
    pub(super) fn hang_up(&self) {
        let _ = shutdown(self.socket.get_ref(), Shutdown::Both);
        self.end();
    }

    fn end(&self) {
        self.over.cancel();
        self.ready.send_if_modified(|ready| {
            let unsaid = ready.is_none();
            if unsaid {
                *ready = Some(Err("process 1 ended before it was ready".into()));
            }
            unsaid
        });
        // Dropped senders tell those who wait.
        lock(&self.replies).clear();
        lock(&self.exits).clear();
    }

    async fn listen(self: Arc<Self>) {
        loop {
            let Ok(mut guard) = self.socket.readable().await else {
                break;
            };
            let got = guard.try_io(|socket| receive::<Tell>(socket.get_ref(), false));
            match got {
                Err(_would_block) => {}
                Ok(Ok(Some(reply))) => self.told(reply),
                Ok(Ok(None) | Err(_)) => break,
            }
        }
        self.hang_up();
    }

    fn told(&self, (tell, fds): Reply) {
        let id = match &tell {
            Tell::Ready { notes } => {
                self.ready.send_replace(Some(Ok(notes.clone())));
                return;
            }
            Tell::Failed { why } => {
                self.ready.send_replace(Some(Err(why.clone())));
                return;
            }
            Tell::Exited { id, code, signal } => {
                let exit = match (code, signal) {
                    (Some(code), _) => Exit::Code(*code),
                    (None, signal) => Exit::Signal(signal.unwrap_or(0)),
                };
                if let Some(waiting) = lock(&self.exits).remove(id) {
                    let _ = waiting.send(exit);
                }
                return;
            }
            Tell::Started { id }
            | Tell::Opened { id }
            | Tell::Answer { id, .. }
            | Tell::Refused { id, .. } => *id,
        };
        if let Some(waiting) = lock(&self.replies).remove(&id) {
            let _ = waiting.send((tell, fds));
        }
    }

    async fn write(&self, ask: &Ask) -> io::Result<()> {
        loop {
            let mut guard = self.socket.writable().await?;
            if let Ok(sent) = guard.try_io(|socket| send(socket.get_ref(), ask, &[])) {
                return sent;
            }
        }
    }

    async fn ask(&self, id: u64, ask: Ask) -> io::Result<Reply> {
        let (sender, receiver) = oneshot::channel();
        lock(&self.replies).insert(id, sender);
        let answer = async {
            self.write(&ask).await?;
            receiver
                .await
                .map_err(|_| io::Error::other("the container has ended"))
        };
        if self.over.is_cancelled() {
            return Err(io::Error::other("the container has ended"));
        }
        let answered = tokio::time::timeout(ANSWER_WITHIN, answer).await;
        lock(&self.replies).remove(&id);
        let reply = answered.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        if let Tell::Refused { errno, .. } = reply.0 {
            return Err(io::Error::from_raw_os_error(errno));
        }
        Ok(reply)
    }

    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) async fn attach(self: Arc<Self>, attach: Attach) -> io::Result<Session> {
        let id = self.number();
        let (sender, exit) = oneshot::channel();
        lock(&self.exits).insert(id, sender);
        let pty = attach.pty.map(|size| (size.columns, size.rows));
        let ask = Ask::Exec {
            id,
            command: attach.command,
            pty,
            term: attach.term,
            env: attach.env,
        };
        let fds = match self.ask(id, ask).await {
            Ok((_, fds)) => fds,
            Err(error) => {
                lock(&self.exits).remove(&id);
                return Err(error);
            }
        };
        let mut pipes = Vec::new();
        for fd in fds {
            pipes.push(Pipe::new(fd)?);
        }
        let mut pipes = pipes.into_iter();
        let missing = || io::Error::other("process 1 answered without descriptors");
        let first = pipes.next().ok_or_else(missing)?;
        let running = Running {
            control: self,
            id,
            terminal: pty.and(first.shared()),
        };
        let (output, errors): (Pipe, Option<Box<dyn tokio::io::AsyncRead + Send + Unpin>>) =
            match pty {
                Some(_) => (first.clone(), None),
                None => {
                    let output = pipes.next().ok_or_else(missing)?;
                    (output, Some(Box::new(pipes.next().ok_or_else(missing)?)))
                }
            };
        Ok(Session {
            input: Box::new(first),
            output: Box::new(output),
            errors,
            exit,
            control: Arc::new(running),
        })
    }
}

/// A program that runs.
struct Running {
    control: Arc<Control>,
    id: u64,
    terminal: Option<Arc<AsyncFd<OwnedFd>>>,
}

impl SessionControl for Running {
    fn resize(&self, size: Size) {
        if let Some(terminal) = &self.terminal {
            let size = Winsize {
                ws_row: size.rows,
                ws_col: size.columns,
                ws_xpixel: 0,
                ws_ypixel: 0,
            };
            let _ = tcsetwinsize(terminal.get_ref(), size);
        }
    }

    fn signal(&self, signal: i32) {
        let (control, id) = (self.control.clone(), self.id);
        tokio::spawn(async move { drop(control.write(&Ask::Signal { id, signal }).await) });
    }
}

impl Files for Control {
    fn open(&self, path: String, how: Open) -> BoxFuture<'_, io::Result<File>> {
        Box::pin(async move {
            let id = self.number();
            let (_, fds) = self.ask(id, Ask::Open { id, path, how }).await?;
            let file = File::from(
                fds.into_iter()
                    .next()
                    .ok_or_else(|| io::Error::other("no descriptor"))?,
            );
            // Process 1 is not believed: a pipe in place of a file would block whoever reads it.
            if !file.metadata()?.is_file() {
                return Err(io::Error::from_raw_os_error(libc::EINVAL));
            }
            Ok(file)
        })
    }

    fn call(&self, call: FileCall) -> BoxFuture<'_, io::Result<FileAnswer>> {
        Box::pin(async move {
            let id = self.number();
            match self.ask(id, Ask::File { id, call }).await?.0 {
                Tell::Answer { answer, .. } => Ok(answer),
                _ => Err(io::Error::other("another answer")),
            }
        })
    }
}
