//! Monitor: who of a group is active, and where the event server is.
//!
//! | Message | Direction | Record |
//! |---|---|---|
//! | `HatObserver.MsgClient` | to the server | name String, group String, data String (JSON text), blessingRes |
//! | `HatObserver.MsgServer` | to us | cid Integer, mid Integer, components Array of ComponentInfo |
//! | `HatObserver.MsgClose` | to us | nothing |
//!
//! Becoming active takes a token: the server puts one into our entry's request, we repeat it in our response, the
//! server shows that it has seen it, and only then we are active. Any change of the request, or a disconnect, ends it.
//! So two components of a `BLESS_ONE` group are never active at once.

use super::sbs::{Reader, Sbs, SbsError, Writer};
use std::collections::VecDeque;

/// Type names on the wire.
pub const MSG_CLIENT: &str = "HatObserver.MsgClient";
/// See [`MSG_CLIENT`].
pub const MSG_SERVER: &str = "HatObserver.MsgServer";
/// See [`MSG_CLIENT`].
pub const MSG_CLOSE: &str = "HatObserver.MsgClose";

/// What the server asks of a component.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BlessingReq {
    /// The token to repeat; none = not wanted as active.
    pub token: Option<i64>,
    /// When it was given, in seconds since 1970.
    pub timestamp: Option<f64>,
}

/// What a component answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlessingRes {
    /// The token that it accepts.
    pub token: Option<i64>,
    /// Whether it could be active.
    pub ready: bool,
}

/// A component as the server sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct ComponentInfo {
    /// Connection.
    pub cid: i64,
    /// Monitor.
    pub mid: i64,
    /// Its name, once it has told it.
    pub name: Option<String>,
    /// Its group.
    pub group: Option<String>,
    /// JSON text.
    pub data: String,
    /// The lower, the rather it is chosen.
    pub rank: i64,
    /// The server's wish.
    pub req: BlessingReq,
    /// Its answer.
    pub res: BlessingRes,
}

/// What we tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MsgClient {
    /// Our name.
    pub name: String,
    /// Our group.
    pub group: String,
    /// JSON text, `null` if none.
    pub data: String,
    /// Our answer.
    pub res: BlessingRes,
}

/// What the server tells.
#[derive(Clone, Debug, PartialEq)]
pub struct MsgServer {
    /// Our connection's number.
    pub cid: i64,
    /// The server's number.
    pub mid: i64,
    /// Everybody.
    pub components: Vec<ComponentInfo>,
}

impl Sbs for BlessingReq {
    fn read(from: &mut Reader<'_>) -> Result<Self, SbsError> {
        Ok(Self {
            token: from.optional()?,
            timestamp: from.optional()?,
        })
    }

    fn write(&self, to: &mut Writer) {
        to.optional(self.token.as_ref());
        to.optional(self.timestamp.as_ref());
    }
}

impl Sbs for BlessingRes {
    fn read(from: &mut Reader<'_>) -> Result<Self, SbsError> {
        Ok(Self {
            token: from.optional()?,
            ready: from.boolean()?,
        })
    }

    fn write(&self, to: &mut Writer) {
        to.optional(self.token.as_ref());
        to.boolean(self.ready);
    }
}

impl Sbs for ComponentInfo {
    fn read(from: &mut Reader<'_>) -> Result<Self, SbsError> {
        Ok(Self {
            cid: from.integer()?,
            mid: from.integer()?,
            name: from.optional()?,
            group: from.optional()?,
            data: from.text()?.to_owned(),
            rank: from.integer()?,
            req: BlessingReq::read(from)?,
            res: BlessingRes::read(from)?,
        })
    }

    fn write(&self, to: &mut Writer) {
        to.integer(self.cid);
        to.integer(self.mid);
        to.optional(self.name.as_ref());
        to.optional(self.group.as_ref());
        to.text(&self.data);
        to.integer(self.rank);
        self.req.write(to);
        self.res.write(to);
    }
}

impl Sbs for MsgClient {
    fn read(from: &mut Reader<'_>) -> Result<Self, SbsError> {
        Ok(Self {
            name: from.text()?.to_owned(),
            group: from.text()?.to_owned(),
            data: from.text()?.to_owned(),
            res: BlessingRes::read(from)?,
        })
    }

    fn write(&self, to: &mut Writer) {
        to.text(&self.name);
        to.text(&self.group);
        to.text(&self.data);
        self.res.write(to);
    }
}

impl Sbs for MsgServer {
    fn read(from: &mut Reader<'_>) -> Result<Self, SbsError> {
        Ok(Self {
            cid: from.integer()?,
            mid: from.integer()?,
            components: from.array()?,
        })
    }

    fn write(&self, to: &mut Writer) {
        to.integer(self.cid);
        to.integer(self.mid);
        to.array(&self.components);
    }
}

/// Where events are, told by a component of the event group.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct EventServer {
    /// Its id in the events.
    pub server_id: i64,
    /// Where it listens.
    pub eventer_server: Address,
    /// What it wants to hear at the beginning.
    #[serde(default)]
    pub server_token: Option<String>,
}

/// Host and port.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct Address {
    /// Name or IP address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl MsgServer {
    fn own(&self) -> Option<&ComponentInfo> {
        self.components
            .iter()
            .find(|c| (c.cid, c.mid) == (self.cid, self.mid))
    }

    /// The active event server of `group`. One whose data make no sense is none.
    #[must_use]
    pub fn event_server(&self, group: &str) -> Option<EventServer> {
        self.components
            .iter()
            .filter(|c| c.group.as_deref() == Some(group))
            .filter(|c| c.req.token.is_some() && c.req.token == c.res.token)
            .find_map(|c| serde_json::from_str(&c.data).ok())
    }
}

/// What the owner of a [`Monitor`] does.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send this as a conversation of one message.
    Send(MsgClient),
    /// Start the service.
    Activate,
    /// Stop the service; the server learns of it from what is sent next.
    Deactivate,
    /// The event server appeared, changed, or went.
    EventServer(Option<EventServer>),
}

/// Our side of the supervision, over any number of connections.
#[derive(Debug)]
pub struct Monitor {
    name: String,
    group: String,
    event_group: Option<String>,
    ready: bool,
    connected: bool,
    active: bool,
    told: Option<MsgClient>,
    heard: Option<MsgServer>,
    event_server: Option<EventServer>,
    out: VecDeque<Output>,
}

impl Monitor {
    /// Not connected, not ready.
    #[must_use]
    pub fn new(name: &str, group: &str, event_group: Option<&str>) -> Self {
        Self {
            name: name.to_owned(),
            group: group.to_owned(),
            event_group: event_group.map(str::to_owned),
            ready: false,
            connected: false,
            active: false,
            told: None,
            heard: None,
            event_server: None,
            out: VecDeque::new(),
        }
    }

    /// Whether the service should run.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// A connection was made.
    pub fn connected(&mut self) {
        self.connected = true;
        self.judge();
    }

    /// The connection is gone, or the server said that it closes.
    pub fn disconnected(&mut self) {
        self.connected = false;
        self.told = None;
        self.heard = None;
        self.judge();
    }

    /// Whether we could be active.
    pub fn set_ready(&mut self, ready: bool) {
        self.ready = ready;
        self.judge();
    }

    /// The server told how things stand. It repeats itself, which changes nothing.
    pub fn heard(&mut self, message: MsgServer) {
        if self.connected {
            self.heard = Some(message);
            self.judge();
        }
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn judge(&mut self) {
        let own = self.heard.as_ref().and_then(MsgServer::own);
        let asked = own.and_then(|own| own.req.token).filter(|_| self.ready);
        let seen = own.and_then(|own| own.res.token);
        let active = asked.is_some() && seen == asked && self.told_token() == asked;
        if self.active && !active {
            self.active = false;
            self.out.push_back(Output::Deactivate);
        }
        if self.connected {
            self.tell(asked);
        }
        if active && !self.active {
            self.active = true;
            self.out.push_back(Output::Activate);
        }
        let event_server = match (&self.heard, &self.event_group) {
            (Some(heard), Some(group)) => heard.event_server(group),
            _ => None,
        };
        if event_server != self.event_server {
            self.event_server.clone_from(&event_server);
            self.out.push_back(Output::EventServer(event_server));
        }
    }

    fn told_token(&self) -> Option<i64> {
        self.told.as_ref().and_then(|told| told.res.token)
    }

    fn tell(&mut self, token: Option<i64>) {
        let message = MsgClient {
            name: self.name.clone(),
            group: self.group.clone(),
            data: "null".into(),
            res: BlessingRes {
                token,
                ready: self.ready,
            },
        };
        if self.told.as_ref() != Some(&message) {
            self.told = Some(message.clone());
            self.out.push_back(Output::Send(message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(req: Option<i64>, res: Option<i64>) -> MsgServer {
        let component = ComponentInfo {
            cid: 2,
            mid: 0,
            name: Some("aimm1".into()),
            group: Some("aimm".into()),
            data: "null".into(),
            rank: 1,
            req: BlessingReq {
                token: req,
                timestamp: None,
            },
            res: BlessingRes {
                token: res,
                ready: true,
            },
        };
        MsgServer {
            cid: 2,
            mid: 0,
            components: vec![component],
        }
    }

    fn ready() -> Monitor {
        let mut monitor = Monitor::new("aimm1", "aimm", Some("event"));
        monitor.set_ready(true);
        assert!(drain(&mut monitor).is_empty(), "nobody to tell");
        monitor.connected();
        monitor
    }

    fn drain(monitor: &mut Monitor) -> Vec<String> {
        std::iter::from_fn(|| monitor.poll_output())
            .map(|output| match output {
                Output::Send(m) => format!("send {:?} {}", m.res.token, m.res.ready),
                other => format!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn active_only_after_the_server_has_seen_the_token() {
        let mut monitor = ready();
        assert_eq!(drain(&mut monitor), ["send None true"]);
        monitor.heard(us(None, None));
        assert!(drain(&mut monitor).is_empty());
        monitor.heard(us(Some(7), None));
        assert_eq!(drain(&mut monitor), ["send Some(7) true"]);
        monitor.heard(us(Some(7), None));
        assert!(drain(&mut monitor).is_empty(), "a repetition says nothing");
        monitor.heard(us(Some(7), Some(7)));
        assert_eq!(drain(&mut monitor), ["Activate"]);
    }

    #[test]
    fn a_new_token_stops_the_service_before_it_is_accepted() {
        let mut monitor = ready();
        monitor.heard(us(Some(7), None));
        monitor.heard(us(Some(7), Some(7)));
        drain(&mut monitor);
        monitor.heard(us(Some(8), Some(7)));
        assert_eq!(drain(&mut monitor), ["Deactivate", "send Some(8) true"]);
        monitor.heard(us(Some(8), Some(8)));
        assert_eq!(drain(&mut monitor), ["Activate"]);
    }

    #[test]
    fn an_answer_that_we_never_gave_makes_nobody_active() {
        let mut monitor = ready();
        drain(&mut monitor);
        // Left over from a connection before.
        monitor.heard(us(Some(7), Some(7)));
        assert_eq!(drain(&mut monitor), ["send Some(7) true"]);
        assert!(!monitor.is_active());
    }

    #[test]
    fn every_way_out_stops_the_service() {
        for way in 0..3 {
            let mut monitor = ready();
            monitor.heard(us(Some(7), None));
            monitor.heard(us(Some(7), Some(7)));
            drain(&mut monitor);
            match way {
                0 => monitor.disconnected(),
                1 => monitor.set_ready(false),
                _ => monitor.heard(us(None, Some(7))),
            }
            assert_eq!(
                drain(&mut monitor).first().map(String::as_str),
                Some("Deactivate"),
                "{way}"
            );
        }
    }

    #[test]
    fn only_an_active_event_server_with_an_address_counts() {
        let mut message = us(None, None);
        let mut server = message.components[0].clone();
        server.group = Some("event".into());
        server.data = r#"{"server_id": 1, "eventer_server": {"host": "127.0.0.1", "port": 23012}, "server_token": null}"#.into();
        server.req.token = Some(1);
        message.components.push(server);
        assert_eq!(message.event_server("event"), None, "not yet active");
        message.components[1].res.token = Some(1);
        assert_eq!(
            message.event_server("event").map(|s| s.eventer_server.port),
            Some(23012)
        );
        message.components[1].data = "{}".into();
        assert_eq!(message.event_server("event"), None);
    }
}
