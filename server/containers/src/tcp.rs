//! The classic protocol's listener: a task a connection, so that nobody waits for somebody else's silence.

use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use leitstand_core::machine::Machine as _;
use leitstand_kit::{Clock, metrics::Counter};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

use crate::{
    engine::Why,
    facts::{Cause, Fact, Kind, Verdict},
    id::ContainerId,
    verbs::{Outcome, Verbs},
    wire::{
        crypto::OwnKey,
        request::Request,
        session::{End, Input, Output, Session, Setup},
    },
};

/// Private-key operations at a time. Reasoning: they take milliseconds of a whole processor.
const UNSEALS_MAX: usize = 4;
/// Connections with their keys exchanged. Reasoning: descriptors are a thousand, and most are busy for milliseconds.
const CONNECTIONS_MAX: usize = 512;

/// What the connections share.
pub struct Door {
    verbs: Verbs,
    key: Arc<OwnKey>,
    setup: Setup,
    clock: Clock,
    handshakes: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    per_ip: Arc<PerIp>,
    unseals: Semaphore,
    outcomes: [Counter; 4],
}

/// Handshakes of each address; those beyond the limit wait.
struct PerIp {
    most: u32,
    taken: Mutex<HashMap<IpAddr, (u32, Arc<tokio::sync::Notify>)>>,
}

/// A handshake's place.
struct OfIp(Arc<PerIp>, IpAddr);

impl PerIp {
    async fn take(self: &Arc<Self>, ip: IpAddr) -> OfIp {
        loop {
            let freed = {
                let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
                let (count, freed) = taken.entry(ip).or_default();
                if *count < self.most {
                    *count += 1;
                    return OfIp(self.clone(), ip);
                }
                freed.clone()
            };
            // A permit that is stored while nobody waits wakes the next one: none is lost.
            freed.notified().await;
        }
    }
}

impl Drop for OfIp {
    fn drop(&mut self) {
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((count, freed)) = taken.get_mut(&self.1) {
            *count -= 1;
            freed.notify_one();
            // Whoever waits holds a clone of the bell: a new entry would have another, and nobody would ring this one.
            if *count == 0 && Arc::strong_count(freed) == 1 {
                taken.remove(&self.1);
            }
        }
    }
}

impl Door {
    /// A listener's state.
    #[must_use]
    pub fn new(verbs: Verbs, key: Arc<OwnKey>) -> Arc<Self> {
        let settings = verbs.engine().settings();
        let outcome = |result| {
            verbs.engine().context().metrics.counter(
                "leitstand_containers_connections_total",
                "Connections of the classic protocol by how they ended",
                &[("result", result)],
            )
        };
        Arc::new(Self {
            setup: Setup {
                public_pem: key.public_pem().to_vec(),
                sealed_bytes: key.size(),
                handshake: settings.client_timeout,
                request: settings.client_timeout,
                legacy: settings.legacy_framing,
            },
            clock: Clock::real(),
            handshakes: Arc::new(Semaphore::new(settings.max_handshakes as usize)),
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            per_ip: Arc::new(PerIp {
                most: settings.max_handshakes_per_ip,
                taken: Mutex::default(),
            }),
            unseals: Semaphore::new(UNSEALS_MAX),
            outcomes: ["answered", "protocol", "timeout", "gone"].map(outcome),
            verbs,
            key,
        })
    }

    /// Accepts until dropped. A place among the handshakes is taken before the accept: the excess stays in the
    /// kernel's queue, costs nothing here, and its deadline has not begun.
    pub async fn serve(self: Arc<Self>, listener: &TcpListener) {
        loop {
            let Ok(connection) = self.connections.clone().acquire_owned().await else {
                return;
            };
            let Ok(handshake) = self.handshakes.clone().acquire_owned().await else {
                return;
            };
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::debug!(%error, "accepting a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let peer = peer.ip().to_canonical();
            if !self.verbs.engine().settings().filter.allows(peer) {
                continue;
            }
            let door = self.clone();
            tokio::spawn(async move {
                // One address that waits for its own places must not hold those of all.
                drop(door.clone().connection(stream, peer, handshake).await);
                drop(connection);
            });
        }
    }

    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: IpAddr,
        handshake: OwnedSemaphorePermit,
    ) -> io::Result<()> {
        let (of_ip, handshake) = {
            let waiting = self.per_ip.take(peer);
            tokio::pin!(waiting);
            match futures_util::poll!(&mut waiting) {
                std::task::Poll::Ready(of_ip) => (of_ip, Some(handshake)),
                std::task::Poll::Pending => {
                    drop(handshake);
                    let of_ip = waiting.await;
                    (of_ip, self.handshakes.clone().acquire_owned().await.ok())
                }
            }
        };
        let facts = self.verbs.engine().facts();
        let mut fact = Fact::new(Kind::ConnectionAccepted, Cause::Normal);
        fact.peer = Some(peer);
        if facts.fire(fact) != Verdict::Continue {
            return Ok(());
        }
        stream.set_nodelay(true)?;
        let mut talk = Talk {
            door: &self,
            session: Session::new(self.clock.now(), self.setup.clone()),
            stream,
            peer,
            places: Some((of_ip, handshake)),
            pending: None,
            end: None,
        };
        let result = talk.run().await;
        // Told to close before it was delivered, or the connection broke: nobody knows its credentials.
        if let Some(id) = talk.pending.filter(|_| talk.end != Some(End::Answered)) {
            self.verbs
                .engine()
                .destroy(id, Why::Undelivered, Some(peer))
                .await;
        }
        let end = talk.end.unwrap_or(End::Gone);
        let (counter, reason) = match end {
            End::Answered => (0, "answered"),
            End::Protocol(why) => (1, why),
            End::Timeout(_) => (2, "timeout"),
            End::Gone => (3, "gone"),
        };
        self.outcomes[counter].inc();
        if matches!(end, End::Protocol(_) | End::Timeout(_)) {
            tracing::debug!(
                client = crate::id::client_id(peer),
                reason,
                "a client was refused"
            );
        }
        let mut fact = Fact::new(Kind::ClientClosed, Cause::EndOfHandling);
        fact.peer = Some(peer);
        fact.data = serde_json::json!({"reason": reason});
        drop(facts.fire(fact));
        result
    }
}

/// One connection being served.
struct Talk<'a> {
    door: &'a Arc<Door>,
    session: Session,
    stream: TcpStream,
    peer: IpAddr,
    places: Option<(OfIp, Option<OwnedSemaphorePermit>)>,
    /// A container whose credentials are not delivered yet.
    pending: Option<ContainerId>,
    end: Option<End>,
}

impl Talk<'_> {
    async fn run(&mut self) -> io::Result<()> {
        let mut block = vec![0; 4096];
        loop {
            while let Some(output) = self.session.poll_output() {
                if self.act(output).await? {
                    return Ok(());
                }
            }
            let now = self.door.clock.now();
            tokio::select! {
                read = self.stream.read(&mut block) => match read {
                    Ok(0) | Err(_) => self.session.handle(self.door.clock.now(), Input::Eof),
                    Ok(n) => self.session.handle(self.door.clock.now(), Input::Bytes(&block[..n])),
                },
                () = self.door.clock.sleep_until(Some(self.session.poll_timeout().unwrap_or(now + Duration::from_secs(3600)))) => {
                    self.session.handle_timeout(self.door.clock.now());
                }
            }
        }
    }

    /// True at the end.
    async fn act(&mut self, output: Output) -> io::Result<bool> {
        match output {
            Output::Send(bytes) => {
                // A peer that does not read fills its window; the machine's deadline must not wait for it.
                let patience = self.door.setup.request;
                let written = tokio::time::timeout(patience, self.stream.write_all(&bytes)).await;
                match written {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => {
                        self.end = Some(End::Gone);
                        return Ok(true);
                    }
                    Err(_) => {
                        self.end = Some(End::Timeout("response"));
                        return Ok(true);
                    }
                }
            }
            Output::Unseal(sealed) => {
                let permit = self.door.unseals.acquire().await;
                let key = self.door.key.clone();
                let opened = tokio::task::spawn_blocking(move || key.unseal(&sealed).ok()).await;
                drop(permit);
                self.session.handle(
                    self.door.clock.now(),
                    Input::Unsealed(opened.ok().flatten()),
                );
            }
            Output::Initialized => {
                self.places = None;
                let mut fact = Fact::new(Kind::ClientInitialized, Cause::Normal);
                fact.peer = Some(self.peer);
                match self.door.verbs.engine().facts().fire(fact) {
                    Verdict::Continue => {}
                    _ => return Ok(true),
                }
            }
            Output::Request(text) => return self.request(&text).await,
            Output::Close(end) => {
                self.end = Some(end);
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn request(&mut self, text: &[u8]) -> io::Result<bool> {
        let request = Request::parse(text);
        let response = match self.door.verbs.execute(Some(self.peer), request).await {
            Outcome::Respond(response) => response,
            Outcome::Deliver(response, id) => {
                self.pending = Some(id);
                response
            }
            Outcome::Close => return Ok(true),
        };
        self.session
            .handle(self.door.clock.now(), Input::Reply(response.to_text()));
        Ok(false)
    }
}
