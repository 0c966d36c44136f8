//! Start, run and stop of the whole gateway, for `run` and `demo` alike.
//!
//! Start order: runtime information, configuration, store and journal, services, HTTP. Stop is the reverse:
//! first nobody new comes in, then the services end one after the other, then the journal is flushed.

use crate::board::Board;
use crate::bootstrap::Bootstrap;
use crate::config::{self, Checked};
use crate::exhausted::Exhausted;
use crate::exit::{Failure, say};
use crate::runtime_config::RuntimeConfig;
use crate::{serve, services, systemd, tls, ui, web};
use axum::Router;
use leitstand_kit::auth::{Auth, Settings};
use leitstand_kit::service::StateLock;
use leitstand_kit::tls::Keeper;
use leitstand_kit::{
    CancellationToken, Clock, Context, Exit, NewEvent, Paths, ServiceError, Severity, Site,
    Supervisor,
};
use serde_json::json;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use utoipa_axum::router::OpenApiRouter;

/// Worker threads of the async runtime. Reasoning: requests and fan-out are short; gas runs on threads of its
/// own; each further worker costs memory on a Pi.
const WORKERS: usize = 2;

/// A second signal within this time is the first one again.
const IMPATIENT_AFTER: Duration = Duration::from_millis(500);

/// All that differs between a real site and the demo.
pub(crate) struct Plan {
    /// Configuration in force.
    pub(crate) config: Checked,
    /// Where it came from and how often it was started.
    pub(crate) bootstrap: Bootstrap,
    /// Where the site's memory lives.
    pub(crate) state: PathBuf,
    /// Replaces `[api] bind`.
    pub(crate) bind: Option<SocketAddr>,
    /// The far side: real devices, or a simulated site with its own routes.
    pub(crate) board: Box<dyn Board>,
}

/// `leitstand run`.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_site(args: crate::cli::Run) -> Result<(), Failure> {
    // Before anything can fail: who looks at the console sees which program refused to start.
    say(format!("leitstand: {}", env!("CARGO_PKG_VERSION")));
    let bootstrap = Bootstrap::find(&args.state, args.config.as_deref(), args.rebootstrap)?;
    let config =
        config::check_or_report(bootstrap.text(), &bootstrap.file().display().to_string())?;
    let board = Box::new(crate::board::Linux);
    run(Plan {
        config,
        bootstrap,
        state: args.state,
        bind: args.bind,
        board,
    })
}

/// Runs until a signal or a failure that no restart cures.
///
/// # Errors
/// With the exit code of what failed.
pub(crate) fn run(plan: Plan) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_name("leitstand")
        .enable_all()
        .build()
        .map_err(|e| Failure::because(Exit::Internal, "starting threads", &e))?;
    let gateway = {
        // Sockets and channels need the runtime; opening files and the database must not hold one of its
        // workers, so it is done before anything runs on it.
        let _entered = runtime.enter();
        Gateway::open(plan)?
    };
    let ended = runtime.block_on(gateway.live());
    // A blocking thread that hangs in a driver must not keep the process from ending.
    runtime.shutdown_timeout(Duration::from_millis(200));
    ended
}

/// Everything is open, nothing runs yet.
struct Gateway {
    configuration: Arc<RuntimeConfig>,
    exhausted: Exhausted,
    board: Box<dyn Board>,
    cx: Context,
    stop_services: CancellationToken,
    /// Ends the HTTP server, and event streams with it.
    stop_http: CancellationToken,
    supervisor: Supervisor,
    listener: TcpListener,
    door: serve::Door,
    certificate: Option<Arc<Keeper>>,
    app: Router,
    claim_code: Option<String>,
    _only_one: StateLock,
}

impl Gateway {
    fn open(plan: Plan) -> Result<Self, Failure> {
        let Plan {
            config,
            mut bootstrap,
            state,
            bind,
            board,
        } = plan;
        let (listener, addr) = listen(bind.unwrap_or(config.bind))?;
        let paths = Paths {
            state,
            config_dir: bootstrap.config_dir(),
        };
        std::fs::create_dir_all(&paths.state).map_err(|e| {
            let doing = format!("creating {}", paths.state.display());
            Failure::because(Exit::RuntimeInformation, &doing, &e)
        })?;
        let only_one = paths.lock()?;
        // Before the configuration counts as accepted: files that do not do shall not become part of the copy.
        let clock = Clock::real();
        let certificate = tls::certificate(&config, addr.ip(), &paths, &clock)?;
        let door = tls::door(certificate.as_deref())?;
        bootstrap.begin()?;
        let site = Site {
            name: config.site.clone(),
            language: config.language.code().to_owned(),
            simulated: board.simulated(),
        };
        let stop_services = CancellationToken::new();
        let cx = Context::open(paths, site, clock, stop_services.clone())?;
        tell_start(&cx, &bootstrap);
        let configuration = RuntimeConfig::new(bootstrap, &cx)?;

        let settings = Settings {
            loopback: addr.ip().is_loopback(),
            trust_loopback: config.trust_loopback,
            tls: certificate.is_some(),
            open_assets: ui::OPEN_ASSETS
                .iter()
                .copied()
                .chain([tls::SHOWN_AT])
                .map(str::to_owned)
                .collect(),
        };
        let local_names_only = settings.loopback && settings.trust_loopback;
        let auth = Auth::open(&cx, settings)
            .map_err(|e| Failure::because(Exit::RuntimeInformation, "opening access data", &e))?;

        let mut supervisor = Supervisor::new(cx.clone());
        let mut routes = OpenApiRouter::new();
        let exhausted = Exhausted::default();
        for service in services::plans(&config, &cx, &configuration, board.as_ref(), &exhausted)? {
            routes = routes.merge(supervisor.add(service));
        }
        // Event streams end with the HTTP server, before any service does.
        let stop_http = CancellationToken::new();
        let web_cx = cx.with_stop(stop_http.clone());
        let app = web::app(
            routes
                .merge(board.routes())
                .merge(tls::routes(certificate.clone()).into()),
            &web_cx,
            &auth,
            local_names_only,
        );
        Ok(Self {
            configuration,
            exhausted,
            board,
            cx,
            stop_services,
            stop_http,
            supervisor,
            listener,
            door,
            certificate,
            app,
            claim_code: auth.claim_code(),
            _only_one: only_one,
        })
    }

    fn greet(&self) -> Result<(), Failure> {
        let bound = self.listener.local_addr();
        let bound = bound.map_err(|e| Failure::because(Exit::Internal, "listening", &e))?;
        let addr = reachable(bound);
        let scheme = if self.certificate.is_some() {
            "https"
        } else {
            "http"
        };
        let url = format!("{scheme}://{addr}");
        say(format!("Listening on {url}"));
        if let Some(certificate) = &self.certificate {
            tls::announce(certificate);
        } else if !bound.ip().is_loopback() {
            tls::warn_of_the_clear();
        }
        if let Some(code) = &self.claim_code {
            say(format!(
                "No user exists yet. Open {url}/claim and enter the code {code}"
            ));
        }
        self.board.announce(&url);
        Ok(())
    }

    async fn live(self) -> Result<(), Failure> {
        let asked = CancellationToken::new();
        let signals = tokio::spawn(until_asked(asked.clone()));
        self.greet()?;

        let http = tokio::spawn(serve::serve(
            self.listener,
            self.door,
            self.app,
            self.stop_http.clone(),
        ));
        let renewal = tokio::spawn(tls::renew(self.certificate, self.cx.clone()));
        let watchdog = tokio::spawn(systemd::watch(self.cx.clone()));
        let mut running = tokio::spawn(self.supervisor.run());
        let mut is_exhausted = false;
        let failed = tokio::select! {
            // Services end by themselves only when one failed for good.
            ended = &mut running => Some(flatten(ended)),
            () = asked.cancelled() => None,
            () = self.exhausted.asked() => {
                is_exhausted = true;
                None
            }
        };

        systemd::stopping();
        self.stop_http.cancel();
        let _ = http.await;
        let result = match failed {
            Some(result) => result,
            None => {
                self.stop_services.cancel();
                flatten(running.await)
            }
        };
        watchdog.abort();
        renewal.abort();
        signals.abort();
        let end = NewEvent::new("gateway", "GatewayStopped");
        let end = match &result {
            Ok(()) if is_exhausted => end
                .severity(Severity::Fault)
                .text("The gateway was stopped because the battery is nearly empty")
                .data(json!({"reason": "battery"})),
            Ok(()) => end.text("The gateway was stopped"),
            Err(e) => end
                .severity(Severity::Fault)
                .text(format!("The gateway gave up: {e}")),
        };
        // A journal that lost it has said so by itself.
        let _ = self.cx.events.record(end).await;
        self.cx.events.flush().await;
        result?;
        self.configuration.end()?;
        self.exhausted.turn_off();
        Ok(())
    }
}

fn flatten(
    ended: Result<Result<(), ServiceError>, tokio::task::JoinError>,
) -> Result<(), ServiceError> {
    ended.unwrap_or_else(|e| {
        Err(ServiceError::fatal(Exit::Internal, "the supervisor failed").because(e))
    })
}

fn tell_start(cx: &Context, bootstrap: &Bootstrap) {
    let record = |event: NewEvent| drop(cx.events.record(event));
    let file = bootstrap.file().display().to_string();
    record(NewEvent::new("gateway", "GatewayStarted").text("The gateway started").data(json!({
        "version": env!("CARGO_PKG_VERSION"), "starts": bootstrap.starts(), "after_stop": !bootstrap.unclean,
        "simulated": cx.site.simulated,
    })));
    if bootstrap.recovered {
        let text = "The newest runtime information was damaged; the generation before it is in use";
        record(
            NewEvent::new("gateway", "RuntimeInformationRecovered")
                .severity(Severity::Warning)
                .text(text),
        );
        tracing::warn!("{text}");
    }
    if bootstrap.drift {
        let text = "The configuration file differs from the copy in force; `leitstand run --rebootstrap` takes it over";
        record(
            NewEvent::new("gateway", "ConfigurationDrifted")
                .severity(Severity::Warning)
                .text(text)
                .data(json!({ "file": file })),
        );
        tracing::warn!(file, "{text}");
    }
}

fn listen(bind: SocketAddr) -> Result<(TcpListener, SocketAddr), Failure> {
    let open = || {
        let listener = std::net::TcpListener::bind(bind)?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        Ok((TcpListener::from_std(listener)?, addr))
    };
    open().map_err(|e: std::io::Error| {
        let (exit, advice) = match e.kind() {
            std::io::ErrorKind::AddrInUse => (
                Exit::AddressInUse,
                "; another program listens there, try --bind",
            ),
            _ => (Exit::Configuration, ""),
        };
        Failure::new(exit, format!("listening on {bind}: {e}{advice}"))
    })
}

/// An address that a browser on this machine can open.
fn reachable(addr: SocketAddr) -> SocketAddr {
    if addr.ip().is_unspecified() {
        let local = if addr.is_ipv4() {
            [127, 0, 0, 1].into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        };
        return SocketAddr::new(local, addr.port());
    }
    addr
}

async fn until_asked(stop: CancellationToken) {
    let (Ok(mut term), Ok(mut int)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        tracing::error!("signals cannot be caught; only SIGKILL ends this process");
        return;
    };
    tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
    stop.cancel();
    // Some senders signal a process and its group, so the same wish may come twice at once. After a moment a
    // second signal means that somebody is impatient; everything durable is already on disk.
    let first = Instant::now();
    loop {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        if first.elapsed() >= IMPATIENT_AFTER {
            break;
        }
    }
    std::process::exit(Exit::Internal as i32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_can_open_what_is_printed() {
        for (bound, printed) in [
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
            ("192.0.2.1:80", "192.0.2.1:80"),
        ] {
            assert_eq!(
                reachable(bound.parse().expect("an address")).to_string(),
                printed
            );
        }
    }
}
