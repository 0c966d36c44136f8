//! The embedded broker: `rmqtt` with its traps closed.
//!
//! What the library leaves to its user, and where it is done: retained messages are kept with a bound ([`Retained`]);
//! rights are checked by hooks ([`Door`]), last wills at the door; an idle connection off loopback is dropped
//! ([`front`](super::front)); the check that refuses clients while the machine is busy is off; a stop disconnects all
//! sessions, closes the listeners and breaks the library's reference cycle, so that a restart begins anew and nothing
//! of the old one stays.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rmqtt::{
    codec::types::Publish as RawPublish,
    context::ServerContext,
    hook::{Handler, HookResult, Parameter, ReturnType, Type},
    net::{Builder, Listener},
    retain::RetainStorage,
    router::DefaultRouter,
    server::MqttServer,
    shared::DefaultShared,
    types::{
        AuthResult, ConnectInfo, LastWill, PublishAclResult, Retain, SubscribeAclResult,
        TopicFilter, TopicName,
    },
};
use tokio::{net::TcpListener, task::JoinHandle};

use super::{
    Endpoint, PACKET_BYTES_MAX,
    front::guard,
    rights::{Rights, Visitor, may_publish, may_subscribe},
};

/// Messages that wait for one client. Reasoning: our own client gets a status from each of 1000 cars at once, a few
/// times over; a vehicle's own queue is 20.
const QUEUE_MAX: usize = 10_000;
/// Topics that a retained message is kept for. Reasoning: one presence a car, at 1000 cars.
const RETAINED_MAX: usize = 1024;
/// Longest retained message, in bytes. A presence takes seven.
const RETAINED_BYTES_MAX: usize = 4096;
/// How long a stop waits for the sessions to end.
const STOP_WITHIN: Duration = Duration::from_secs(2);
/// Ids of the listeners.
const OPEN: u16 = 1;
const INTERNAL: u16 = 2;
const GUARDED: u16 = 3;

/// How the broker listens.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where vehicles connect; port 0 picks one.
    pub address: SocketAddr,
    /// Certificate chain, key, and the authority of the vehicles' certificates.
    pub tls: Option<(PathBuf, PathBuf, Option<PathBuf>)>,
}

/// What the broker counts.
#[derive(Default)]
pub struct Counts {
    /// Clients turned away at the door.
    pub turned_away: AtomicU64,
    /// Publications and subscriptions without the right to it.
    pub forbidden: AtomicU64,
    /// Messages dropped because a client's queue was full.
    pub dropped: AtomicU64,
    /// Retained messages beyond the bound.
    pub not_retained: AtomicU64,
}

/// A running broker.
pub struct Broker {
    context: ServerContext,
    tasks: Vec<JoinHandle<()>>,
    address: SocketAddr,
    inside: Endpoint,
}

impl Broker {
    /// Starts to listen.
    ///
    /// # Errors
    /// The address is taken or no address of this machine, or a file of TLS cannot be used.
    pub async fn start(
        options: &Options,
        rights: Rights,
        counts: Arc<Counts>,
    ) -> Result<Self, String> {
        let context = ServerContext::new()
            .busy_check_enable(false)
            .task_exec_workers(256)
            .task_exec_queue_max(20_000)
            .build()
            .await;
        *context.extends.retain_mut().await = Box::new(Retained::new(counts.clone()));
        let secret = secret()?;
        register(&context, rights, counts, secret.clone()).await;

        let loopback = options.address.ip().is_loopback();
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let text = |e: rmqtt::Error| format!("{e:#}");
        let mut listeners: Vec<(u16, Listener)> = Vec::new();
        let mut tasks = Vec::new();
        let mut inside = Endpoint::plain("127.0.0.1", 0, "leitstand");
        let address;
        if loopback && options.tls.is_none() {
            let listener = listener(options.address, true)
                .bind()
                .and_then(Listener::tcp);
            let listener = listener.map_err(text)?;
            address = listener.local_addr().map_err(text)?;
            inside.host = address.ip().to_string();
            inside.port = address.port();
            listeners.push((OPEN, listener));
        } else {
            let internal = listener(here, false).bind().and_then(Listener::tcp);
            let internal = internal.map_err(text)?;
            inside.port = internal.local_addr().map_err(text)?.port();
            inside.login = Some(("leitstand".into(), secret));
            listeners.push((INTERNAL, internal));
            if let Some((cert, key, ca)) = &options.tls {
                let path = |p: &PathBuf| Some(p.display().to_string());
                let tls = listener(options.address, false)
                    .tls_cert(path(cert))
                    .tls_key(path(key))
                    .tls_cross_certificate(ca.is_some())
                    .tls_client_ca_certs(ca.as_ref().and_then(path))
                    .collect_cert_info(true)
                    .handshake_timeout(Duration::from_secs(10));
                let tls = tls.bind().and_then(Listener::tls).map_err(text)?;
                address = tls.local_addr().map_err(text)?;
                listeners.push((GUARDED, tls));
            } else {
                let guarded = listener(here, false).bind().and_then(Listener::tcp);
                let guarded = guarded.map_err(text)?;
                let target = guarded.local_addr().map_err(text)?;
                listeners.push((GUARDED, guarded));
                let outer = TcpListener::bind(options.address).await;
                let outer = outer.map_err(|e| e.to_string())?;
                address = outer.local_addr().map_err(|e| e.to_string())?;
                tasks.push(tokio::spawn(guard(outer, target)));
            }
        }
        let mut server = MqttServer::new(context.clone());
        for (id, listener) in listeners {
            server = server.listener_by_id(listener, id);
        }
        let server = server.build();
        tasks.push(tokio::spawn(async move {
            if let Err(error) = server.run().await {
                tracing::error!("the embedded broker ended: {error:#}");
            }
        }));
        Ok(Self {
            context,
            tasks,
            address,
            inside,
        })
    }

    /// Where vehicles connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the gateway's own client connects, and with which secret of this process.
    #[must_use]
    pub fn inside(&self) -> Endpoint {
        self.inside.clone()
    }

    /// Connected clients.
    pub async fn clients(&self) -> usize {
        self.context
            .extends
            .shared()
            .await
            .client_states_count()
            .await
    }

    /// Disconnects everybody and closes all listeners.
    pub async fn stop(self) {
        for task in &self.tasks {
            task.abort();
        }
        for task in self.tasks {
            let _ = task.await;
        }
        let context = self.context;
        let emptied = tokio::time::timeout(STOP_WITHIN, async {
            loop {
                let entries: Vec<_> = context.extends.shared().await.iter().collect();
                if entries.is_empty() {
                    return;
                }
                for entry in entries {
                    if let Ok(mut entry) = entry.try_lock().await {
                        let _ = entry.kick(true, true, true).await;
                    }
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        if emptied.await.is_err() {
            tracing::warn!("some clients of the embedded broker did not end in time");
        }
        // The context holds these, and these hold the context: without this each restart would keep the old one.
        *context.extends.shared_mut().await = Box::new(DefaultShared::new(None));
        *context.extends.router_mut().await = Box::new(DefaultRouter::new(None));
    }
}

fn listener(address: SocketAddr, anonymous: bool) -> Builder {
    Builder::new()
        .name("leitstand")
        .laddr(address)
        .nodelay(true)
        .reuseaddr(Some(true))
        .allow_anonymous(anonymous)
        .max_packet_size(PACKET_BYTES_MAX as u32)
        .max_mqueue_len(QUEUE_MAX)
        .max_inflight(std::num::NonZeroU16::new(1000).unwrap_or(std::num::NonZeroU16::MIN))
        .max_clientid_len(256)
        .max_topic_levels(8)
        .max_subscriptions(if address.port() == 0 { 0 } else { 2000 })
        .session_expiry_interval(Duration::from_secs(60))
        .max_session_expiry_interval(Duration::from_secs(60))
}

fn secret() -> Result<String, String> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes).map_err(|e| e.to_string())?;
    Ok(leitstand_kit::words::hex(&bytes))
}

async fn register(context: &ServerContext, rights: Rights, counts: Arc<Counts>, secret: String) {
    let register = context.extends.hook_mgr().register();
    let door = Door {
        rights,
        counts,
        secret: secret.into(),
    };
    for hook in [
        Type::ClientAuthenticate,
        Type::ClientSubscribeCheckAcl,
        Type::MessagePublishCheckAcl,
        Type::MessageDropped,
    ] {
        register.add(hook, Box::new(door.clone())).await;
    }
    register.start().await;
}

/// The hooks.
#[derive(Clone)]
struct Door {
    rights: Rights,
    counts: Arc<Counts>,
    secret: Arc<str>,
}

impl Door {
    fn enter(&self, info: &ConnectInfo) -> bool {
        let id = info.id();
        let login = info.username().zip(info.password());
        match id.lid {
            OPEN => true,
            INTERNAL => login.is_some_and(|(_, p)| p[..] == *self.secret.as_bytes()),
            _ => {
                let will = info.last_will().map(|will| match will {
                    LastWill::V3(will) => will.topic.to_string(),
                    LastWill::V5(will) => will.topic.to_string(),
                });
                let certificate = info.cert().and_then(|c| c.common_name.clone());
                let visitor = Visitor {
                    client_id: &id.client_id,
                    login: login.map(|(user, password)| (&**user, &password[..])),
                    certificate: certificate.as_deref(),
                    will: will.as_deref(),
                };
                let entered = self.rights.enter(&visitor);
                if let Err(why) = entered {
                    let client: String = id.client_id.chars().take(80).collect();
                    tracing::info!(?why, ?client, "a client was turned away");
                }
                entered.is_ok()
            }
        }
    }

    fn allowed(&self, lid: u16, may: bool) -> bool {
        let allowed = lid != GUARDED || may;
        if !allowed {
            self.counts.forbidden.fetch_add(1, Ordering::Relaxed);
        }
        allowed
    }
}

#[async_trait::async_trait]
impl Handler for Door {
    async fn hook(&self, param: &Parameter, acc: Option<HookResult>) -> ReturnType {
        match param {
            Parameter::ClientAuthenticate(info) => {
                let answer = if self.enter(info) {
                    AuthResult::Allow(false, None)
                } else {
                    self.counts.turned_away.fetch_add(1, Ordering::Relaxed);
                    AuthResult::NotAuthorized
                };
                (false, Some(HookResult::AuthResult(answer)))
            }
            Parameter::ClientSubscribeCheckAcl(session, subscribe) => {
                let may = may_subscribe(&session.id.client_id, &subscribe.topic_filter);
                let answer = if self.allowed(session.id.lid, may) {
                    SubscribeAclResult::new_success(subscribe.opts.qos(), None)
                } else {
                    SubscribeAclResult::new_failure(
                        rmqtt::codec::v5::SubscribeAckReason::NotAuthorized,
                    )
                };
                (false, Some(HookResult::SubscribeAclResult(answer)))
            }
            Parameter::MessagePublishCheckAcl(session, publish) => {
                let publish: &RawPublish = &publish.inner;
                let may = may_publish(&session.id.client_id, &publish.topic);
                let answer = if self.allowed(session.id.lid, may) {
                    PublishAclResult::allow()
                } else {
                    PublishAclResult::rejected(true, None)
                };
                (false, Some(HookResult::PublishAclResult(answer)))
            }
            Parameter::MessageDropped(..) => {
                self.counts.dropped.fetch_add(1, Ordering::Relaxed);
                (true, acc)
            }
            _ => (true, acc),
        }
    }
}

/// Retained messages: few and short.
struct Retained {
    messages: Mutex<BTreeMap<String, Retain>>,
    counts: Arc<Counts>,
}

impl Retained {
    fn new(counts: Arc<Counts>) -> Self {
        Self {
            messages: Mutex::default(),
            counts,
        }
    }

    fn len(&self) -> isize {
        let messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.len() as isize
    }
}

#[async_trait::async_trait]
impl RetainStorage for Retained {
    fn enable(&self) -> bool {
        true
    }

    async fn set(
        &self,
        topic: &TopicName,
        retain: Retain,
        _expires: Option<Duration>,
    ) -> rmqtt::Result<()> {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let topic: &str = topic.as_ref();
        let bytes = retain.publish.payload.len();
        if bytes == 0 {
            messages.remove(topic);
        } else if bytes <= RETAINED_BYTES_MAX
            && (messages.len() < RETAINED_MAX || messages.contains_key(topic))
        {
            messages.insert(topic.to_owned(), retain);
        } else {
            self.counts.not_retained.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn get(&self, filter: &TopicFilter) -> rmqtt::Result<Vec<(TopicName, Retain)>> {
        let messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = messages.iter().filter(|(topic, _)| matches(filter, topic));
        Ok(fits
            .map(|(topic, retain)| (TopicName::from(topic.clone()), retain.clone()))
            .collect())
    }

    async fn count(&self) -> isize {
        self.len()
    }

    async fn max(&self) -> isize {
        RETAINED_MAX as isize
    }
}

/// Whether `topic` is one of those that `filter` means.
fn matches(filter: &str, topic: &str) -> bool {
    // Wildcards at the beginning do not mean the broker's own topics.
    if topic.starts_with('$') && !filter.starts_with('$') {
        return false;
    }
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests;
