//! The SSH endpoint of a container, ended here: a host key made for it, the account of its CREATE, programs attached
//! through its backend. There is no sshd inside, no address, no relay.

pub mod sftp;

use std::{
    collections::HashMap,
    net::Shutdown,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use leitstand_core::time::Instant;
use leitstand_kit::{CancellationToken, Clock};
use russh::{
    Channel, ChannelId, ChannelMsg, ChannelReadHalf, Pty,
    keys::{
        HashAlg, PrivateKey, PublicKey,
        ssh_key::private::{Ed25519Keypair, KeypairData},
    },
    server::{
        Auth, ChannelOpenHandle, Handle, Handler, Msg, Session as SshSession, VerifiedPublicKey,
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::{
    backend::{Attach, Control, Exit, Guest, Session, Size},
    id::{SecretHash, random},
};

/// Connections to one container. Reasoning: a person with a few terminals, an editor and a copy.
const CONNECTIONS_MAX: usize = 16;
/// Channels of one connection.
const CHANNELS_MAX: usize = 10;
/// Environment of a program. Reasoning: a locale and an editor's settings.
const ENV_MAX: usize = 32;
/// After the program's end, how long what still writes to its terminal is listened to.
const AFTERGLOW: Duration = Duration::from_millis(300);
/// From the connection to the login.
const LOGIN_WITHIN: Duration = Duration::from_secs(60);

/// Who uses a container.
pub struct Activity {
    sessions: AtomicUsize,
    last: Mutex<Instant>,
    clock: Clock,
}

impl Activity {
    /// Used now, by nobody any more.
    #[must_use]
    pub fn new(clock: &Clock) -> Arc<Self> {
        Arc::new(Self {
            sessions: AtomicUsize::new(0),
            last: Mutex::new(clock.now()),
            clock: clock.clone(),
        })
    }

    /// Somebody uses it until the answer is dropped.
    #[must_use]
    pub fn begin(self: &Arc<Self>) -> InUse {
        self.sessions.fetch_add(1, Ordering::AcqRel);
        InUse(self.clone())
    }

    /// Sessions that are open.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Acquire)
    }

    /// Since when nobody uses it; `None` while somebody does.
    #[must_use]
    pub fn idle_since(&self) -> Option<Instant> {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        (self.sessions() == 0).then_some(last)
    }
}

/// See [`Activity::begin`].
pub struct InUse(Arc<Activity>);

impl Drop for InUse {
    fn drop(&mut self) {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = self.0.clock.now();
        self.0.sessions.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Who may log in.
pub struct Account {
    /// The only name.
    pub username: String,
    /// Digest of the password.
    pub password: SecretHash,
    /// The key of the CREATE, if it brought one.
    pub key: Option<PublicKey>,
}

/// An open SSH port of one container.
pub struct Endpoint {
    fingerprint: String,
    cut: CancellationToken,
}

impl Endpoint {
    /// Serves `listener` until it is cut.
    #[must_use]
    pub fn start(
        listener: TcpListener,
        guest: Arc<dyn Guest>,
        account: Account,
        activity: Arc<Activity>,
    ) -> Self {
        let key = PrivateKey::from(Ed25519Keypair::from_seed(&random()));
        let fingerprint = key.public_key().fingerprint(HashAlg::Sha256).to_string();
        debug_assert!(matches!(key.key_data(), KeypairData::Ed25519(_)));
        let config = Arc::new(russh::server::Config {
            keys: vec![key],
            auth_rejection_time: Duration::from_millis(500),
            auth_rejection_time_initial: Some(Duration::ZERO),
            max_auth_attempts: 6,
            inactivity_timeout: None,
            keepalive_interval: Some(Duration::from_secs(30)),
            nodelay: true,
            ..russh::server::Config::default()
        });
        let cut = CancellationToken::new();
        let shared = Arc::new(Shared {
            guest,
            account,
            activity,
            connections: AtomicUsize::new(0),
            cut: cut.clone(),
        });
        tokio::spawn(serve(listener, config, shared));
        Self { fingerprint, cut }
    }

    /// `SHA256:...` of the host key, as OpenSSH shows it.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Closes the port and every connection.
    pub fn cut(&self) {
        self.cut.cancel();
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.cut.cancel();
    }
}

struct Shared {
    guest: Arc<dyn Guest>,
    account: Account,
    activity: Arc<Activity>,
    connections: AtomicUsize,
    cut: CancellationToken,
}

async fn serve(listener: TcpListener, config: Arc<russh::server::Config>, shared: Arc<Shared>) {
    loop {
        let accepted = tokio::select! {
            () = shared.cut.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors: somebody else's end frees one.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        if shared.connections.fetch_add(1, Ordering::AcqRel) >= CONNECTIONS_MAX {
            shared.connections.fetch_sub(1, Ordering::AcqRel);
            continue;
        }
        let (config, shared) = (config.clone(), shared.clone());
        tokio::spawn(async move {
            if let Err(error) = connection(stream, config, &shared).await {
                tracing::debug!(%error, "an SSH connection ended");
            }
            shared.connections.fetch_sub(1, Ordering::AcqRel);
        });
    }
}

async fn connection(
    stream: TcpStream,
    config: Arc<russh::server::Config>,
    shared: &Arc<Shared>,
) -> Result<(), russh::Error> {
    // A second handle on the socket: the surest way to cut it whatever the protocol is doing.
    let stream = stream.into_std()?;
    let handle = stream.try_clone()?;
    let stream = TcpStream::from_std(stream)?;
    let login = CancellationToken::new();
    let peer = Peer {
        shared: shared.clone(),
        login: login.clone(),
        channels: HashMap::new(),
    };
    let running = async { russh::server::run_stream(config, stream, peer).await?.await };
    let too_late = async {
        tokio::select! {
            () = login.cancelled() => std::future::pending().await,
            () = tokio::time::sleep(LOGIN_WITHIN) => {}
        }
    };
    let ended = tokio::select! {
        ended = running => ended,
        () = shared.cut.cancelled() => Ok(()),
        () = too_late => Ok(()),
    };
    let _ = handle.shutdown(Shutdown::Both);
    ended
}

/// One client of the endpoint.
struct Peer {
    shared: Arc<Shared>,
    login: CancellationToken,
    channels: HashMap<ChannelId, Waiting>,
}

/// A channel before and after its program started.
#[derive(Default)]
struct Waiting {
    channel: Option<Channel<Msg>>,
    attach: Attach,
    control: Option<Arc<dyn Control>>,
}

impl Peer {
    fn accept(&self) -> Auth {
        self.login.cancel();
        Auth::Accept
    }

    async fn start(
        &mut self,
        id: ChannelId,
        command: Option<String>,
        session: &mut SshSession,
    ) -> Result<(), russh::Error> {
        let Some(waiting) = self.channels.get_mut(&id) else {
            return session.channel_failure(id);
        };
        let Some(channel) = waiting.channel.take() else {
            return session.channel_failure(id);
        };
        let attach = Attach {
            command,
            ..std::mem::take(&mut waiting.attach)
        };
        match self.shared.guest.attach(attach).await {
            Ok(program) => {
                waiting.control = Some(program.control.clone());
                session.channel_success(id)?;
                let (reader, _) = channel.split();
                let in_use = self.shared.activity.begin();
                tokio::spawn(pump(reader, program, session.handle(), id, in_use));
                Ok(())
            }
            Err(error) => {
                tracing::warn!(%error, "attaching an SSH session");
                session.channel_failure(id)?;
                session.close(id)
            }
        }
    }
}

/// Bytes both ways until the program and its output have ended.
async fn pump(
    mut reader: ChannelReadHalf,
    program: Session,
    handle: Handle,
    id: ChannelId,
    in_use: InUse,
) {
    let Session {
        mut input,
        mut output,
        errors,
        exit,
        control,
    } = program;
    let into = async move {
        while let Some(message) = reader.wait().await {
            let written = match message {
                ChannelMsg::Data { data } => input.write_all(&data).await,
                ChannelMsg::Eof => input.shutdown().await,
                _ => Ok(()),
            };
            if written.is_err() {
                break;
            }
        }
        // The client may still read although it sends no more; the program's end ends the channel.
        reader_gone(reader, &control).await;
    };
    let out = async {
        let mut block = vec![0; 32 * 1024];
        while let Ok(n @ 1..) = output.read(&mut block).await {
            if handle.data(id, block[..n].to_vec()).await.is_err() {
                break;
            }
        }
    };
    let err = async {
        let Some(mut errors) = errors else { return };
        let mut block = vec![0; 32 * 1024];
        while let Ok(n @ 1..) = errors.read(&mut block).await {
            if handle
                .extended_data(id, 1, block[..n].to_vec())
                .await
                .is_err()
            {
                break;
            }
        }
    };
    let outputs = async { tokio::join!(out, err) };
    tokio::pin!(outputs);
    let ended = async {
        let mut exit = exit;
        tokio::select! {
            _ = &mut outputs => exit.await,
            ended = &mut exit => {
                let _ = tokio::time::timeout(AFTERGLOW, outputs).await;
                ended
            }
        }
    };
    let ended = tokio::select! {
        ended = ended => ended,
        () = into => return,
    };
    let _ = match ended {
        Ok(Exit::Code(code)) => handle.exit_status_request(id, code as u32).await,
        // As a shell shows it: OpenSSH has no way to print a signal by number.
        Ok(Exit::Signal(signal)) => handle.exit_status_request(id, 128 + signal as u32).await,
        Err(_) => Ok(()),
    };
    let _ = handle.eof(id).await;
    let _ = handle.close(id).await;
    drop(in_use);
}

/// The channel was closed by the client: its program hears a hang-up.
async fn reader_gone(reader: ChannelReadHalf, control: &Arc<dyn Control>) {
    const SIGHUP: i32 = 1;
    drop(reader);
    control.signal(SIGHUP);
}

impl Handler for Peer {
    type Error = russh::Error;

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, russh::Error> {
        let account = &self.shared.account;
        // Both are looked at, so that the time does not tell which was wrong.
        let name = SecretHash::of(user) == SecretHash::of(&account.username);
        let secret = SecretHash::of(password) == account.password;
        Ok(if name & secret {
            self.accept()
        } else {
            Auth::reject()
        })
    }

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, russh::Error> {
        let account = &self.shared.account;
        let ours = account
            .key
            .as_ref()
            .is_some_and(|ours| ours.key_data() == key.public_key.key_data());
        Ok(if ours && user == account.username {
            self.accept()
        } else {
            Auth::reject()
        })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut SshSession,
    ) -> Result<(), russh::Error> {
        if self.channels.len() < CHANNELS_MAX {
            self.channels.insert(
                channel.id(),
                Waiting {
                    channel: Some(channel),
                    ..Waiting::default()
                },
            );
            reply.accept().await;
        }
        // Dropping the reply refuses.
        Ok(())
    }

    async fn pty_request(
        &mut self,
        id: ChannelId,
        term: &str,
        columns: u32,
        rows: u32,
        _: u32,
        _: u32,
        _: &[(Pty, u32)],
        session: &mut SshSession,
    ) -> Result<(), russh::Error> {
        let Some(waiting) = self.channels.get_mut(&id) else {
            return session.channel_failure(id);
        };
        waiting.attach.pty = Some(size(columns, rows));
        waiting.attach.term = term
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || "-+._".contains(*c))
            .take(64)
            .collect();
        session.channel_success(id)
    }

    async fn env_request(
        &mut self,
        id: ChannelId,
        name: &str,
        value: &str,
        session: &mut SshSession,
    ) -> Result<(), russh::Error> {
        let harmless = name == "LANG" || name.starts_with("LC_") || name == "COLORTERM";
        match self.channels.get_mut(&id) {
            Some(waiting)
                if harmless
                    && waiting.attach.env.len() < ENV_MAX
                    && value.len() < 256
                    && !value.contains('\0') =>
            {
                waiting.attach.env.push((name.into(), value.into()));
                session.channel_success(id)
            }
            _ => session.channel_failure(id),
        }
    }

    async fn window_change_request(
        &mut self,
        id: ChannelId,
        columns: u32,
        rows: u32,
        _: u32,
        _: u32,
        _: &mut SshSession,
    ) -> Result<(), russh::Error> {
        if let Some(control) = self.channels.get(&id).and_then(|w| w.control.as_ref()) {
            control.resize(size(columns, rows));
        }
        Ok(())
    }

    async fn shell_request(
        &mut self,
        id: ChannelId,
        session: &mut SshSession,
    ) -> Result<(), russh::Error> {
        self.start(id, None, session).await
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        command: &[u8],
        session: &mut SshSession,
    ) -> Result<(), russh::Error> {
        match std::str::from_utf8(command) {
            Ok(command) if !command.contains('\0') => {
                self.start(id, Some(command.to_owned()), session).await
            }
            _ => session.channel_failure(id),
        }
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        name: &str,
        session: &mut SshSession,
    ) -> Result<(), russh::Error> {
        let files = self.shared.guest.files().filter(|_| name == "sftp");
        let channel = self.channels.get_mut(&id).and_then(|w| w.channel.take());
        let (Some(files), Some(channel)) = (files, channel) else {
            return session.channel_failure(id);
        };
        session.channel_success(id)?;
        let home = format!("/home/{}", self.shared.account.username);
        let service = sftp::Sftp::new(files, home, self.shared.activity.begin());
        russh_sftp::server::run(channel.into_stream(), service).await;
        Ok(())
    }

    async fn channel_close(
        &mut self,
        id: ChannelId,
        _: &mut SshSession,
    ) -> Result<(), russh::Error> {
        self.channels.remove(&id);
        Ok(())
    }
}

fn size(columns: u32, rows: u32) -> Size {
    let bounded = |n: u32| n.clamp(1, 1000) as u16;
    Size {
        columns: bounded(columns),
        rows: bounded(rows),
    }
}
