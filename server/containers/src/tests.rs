//! Whole requests on the mock backend: over the wire, through verbs, engine, journal and SSH.
#![allow(clippy::unwrap_used)]

mod hostile;
mod life;
mod requests;
mod simulation;

use std::{
    net::{SocketAddr, TcpStream},
    sync::{Arc, LazyLock},
    time::Duration,
};

use leitstand_kit::{
    Clock, Context,
    config::{Diagnostics, Document, Path},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    backend::mock::Mock,
    config::{ContainersSection, Settings},
    engine::Engine,
    tcp::Door,
    verbs::Verbs,
    wire::{
        client::{Client, Framing},
        crypto::OwnKey,
    },
};

static SERVER: LazyLock<Arc<OwnKey>> = LazyLock::new(|| Arc::new(OwnKey::generate(2048).unwrap()));
static CLIENT: LazyLock<OwnKey> = LazyLock::new(|| OwnKey::generate(2048).unwrap());

/// A service on the mock backend, on free ports, in a directory of its own.
pub(crate) struct Lab {
    pub(crate) verbs: Verbs,
    pub(crate) engine: Engine,
    pub(crate) mock: Mock,
    pub(crate) address: SocketAddr,
    pub(crate) dir: Arc<tempfile::TempDir>,
    cx: Context,
}

/// `section` is TOML inside `[containers]`.
pub(crate) fn settings(section: &str) -> Settings {
    #[derive(serde::Deserialize, schemars::JsonSchema)]
    struct File {
        containers: ContainersSection,
    }
    let text = format!(
        "[containers]\nbackend = 'mock'\nbind = '127.0.0.1:0'\nport_range = [20000, 29999]\n{section}"
    );
    let (file, mut diags): (Option<File>, Diagnostics) =
        Document::parse(&text, "test.toml").check();
    let at = Path::root().key("containers");
    crate::config::check(&file.unwrap().containers, &at, &mut diags).unwrap()
}

impl Lab {
    pub(crate) async fn new(section: &str) -> Self {
        Self::with_clock(section, Clock::real()).await
    }

    pub(crate) async fn with_clock(section: &str, clock: Clock) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        Self::again(section, clock, Mock::default(), dir).await
    }

    /// On what a former life left.
    pub(crate) async fn again(
        section: &str,
        clock: Clock,
        mock: Mock,
        dir: Arc<tempfile::TempDir>,
    ) -> Self {
        let cx = Context::for_tests_with(dir.path(), clock);
        let engine = Engine::new(&cx, settings(section), Arc::new(mock.clone())).unwrap();
        engine.start().await.unwrap();
        let verbs = Verbs::new(engine.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let door = Door::new(verbs.clone(), SERVER.clone());
        tokio::spawn(async move { door.serve(&listener).await });
        Self {
            verbs,
            engine,
            mock,
            address,
            dir,
            cx,
        }
    }

    /// One request over the wire.
    pub(crate) async fn ask(&self, verb: &str, parameters: Value) -> Value {
        self.ask_framed(
            Framing::W3,
            &json!({"verb": verb, "parameters": parameters}),
        )
        .await
        .unwrap()
    }

    pub(crate) async fn ask_framed(
        &self,
        framing: Framing,
        request: &Value,
    ) -> std::io::Result<Value> {
        let (address, request) = (self.address, request.clone());
        let work = tokio::task::spawn_blocking(move || {
            let mut client = connect(address, framing)?;
            client.ask(&request)
        });
        work.await.unwrap()
    }

    pub(crate) async fn kinds(&self) -> Vec<String> {
        self.cx.events.flush().await;
        let filter = leitstand_kit::events::Filter {
            oldest_first: true,
            limit: Some(1000),
            ..Default::default()
        };
        let page = self.cx.events.query(filter).await.unwrap();
        page.items.iter().map(|e| e.kind.clone()).collect()
    }
}

pub(crate) fn connect(address: SocketAddr, framing: Framing) -> std::io::Result<Client<TcpStream>> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    Client::connect(stream, &CLIENT, framing)
}

/// Waits for a condition, with a limit that only a broken program reaches.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came true");
}
