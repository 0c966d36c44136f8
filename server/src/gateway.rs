//! Start, run and stop of the whole gateway, for `run` and `demo` alike.
//!
//! Start order: runtime information, configuration, store and journal, services, HTTP. Stop is the reverse:
//! first nobody new comes in, then the services end one after the other, then the journal is flushed.

use crate::bootstrap::Bootstrap;
use crate::config::{self, Checked};
use crate::exit::{Failure, say};
use crate::{serve, services, systemd, web};
use leitstand_kit::auth::{Auth, Settings};
use leitstand_kit::{
    CancellationToken, Clock, Context, Exit, NewEvent, Paths, ServiceError, Severity, Site,
    Supervisor,
};
use serde_json::json;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use utoipa_axum::router::OpenApiRouter;

/// Worker threads of the async runtime. Reasoning: requests and fan-out are short; gas runs on threads of its
/// own; each further worker costs memory on a Pi.
const WORKERS: usize = 2;

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
    pub(crate) board: Box<dyn crate::board::Board>,
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
    let ended = runtime.block_on(live(plan));
    // A blocking thread that hangs in a driver must not keep the process from ending.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    ended
}

async fn live(plan: Plan) -> Result<(), Failure> {
    let Plan {
        config,
        mut bootstrap,
        state,
        bind,
        board,
    } = plan;
    // Early, so that a signal during a slow start is not lost.
    let stop = CancellationToken::new();
    let asked = tokio::spawn(until_asked(stop.clone()));

    let bind = bind.unwrap_or(config.bind);
    let listener = listen(bind).await?;
    let addr = listener
        .local_addr()
        .map_err(|e| Failure::because(Exit::Internal, "listening", &e))?;

    let paths = Paths {
        state,
        config_dir: bootstrap.config_dir(),
    };
    let _only_one = paths.lock()?;
    bootstrap.begin()?;
    let services_stop = CancellationToken::new();
    let cx = Context::open(
        paths,
        Site {
            name: config.site.clone(),
            language: config.language.code().to_owned(),
            simulated: board.simulated(),
        },
        Clock::real(),
        services_stop.clone(),
    )?;
    tell_start(&cx, &bootstrap);

    let settings = Settings {
        loopback: addr.ip().is_loopback(),
        trust_loopback: config.trust_loopback,
        open_assets: crate::ui::OPEN_ASSETS
            .iter()
            .map(ToString::to_string)
            .collect(),
    };
    let local_names_only = settings.loopback && settings.trust_loopback;
    let auth = Auth::open(&cx, settings)
        .map_err(|e| Failure::because(Exit::RuntimeInformation, "opening access data", &e))?;

    let mut supervisor = Supervisor::new(cx.clone());
    let mut routes = OpenApiRouter::new();
    for service in services::plans(&config, &cx, &bootstrap, board.as_ref())? {
        routes = routes.merge(supervisor.add(service));
    }
    routes = routes.merge(board.routes());
    let app = web::app(routes, &cx, &auth, local_names_only);

    say(format!("Listening on http://{}", reachable(addr)));
    if let Some(code) = auth.claim_code() {
        say(format!(
            "No user exists yet. Open http://{}/claim and enter the code {code}",
            reachable(addr)
        ));
    }
    board.announce(addr);

    let http_stop = CancellationToken::new();
    let http = tokio::spawn(serve::serve(listener, app, http_stop.clone()));
    let watchdog = tokio::spawn(systemd::watch(cx.clone()));
    let mut running = tokio::spawn(supervisor.run());
    let failed = tokio::select! {
        ended = &mut running => Some(flatten(ended)),
        () = stop.cancelled() => None,
    };

    systemd::stopping();
    http_stop.cancel();
    let _ = http.await;
    let result = match failed {
        // Services end by themselves only when one failed for good.
        Some(result) => result,
        None => {
            services_stop.cancel();
            flatten(running.await)
        }
    };
    watchdog.abort();
    asked.abort();
    let end = NewEvent::new("gateway", "GatewayStopped");
    let _ = match &result {
        Ok(()) => cx.events.record(end.text("The gateway was stopped")).await,
        Err(e) => {
            cx.events
                .record(
                    end.severity(Severity::Fault)
                        .text(format!("The gateway gave up: {e}")),
                )
                .await
        }
    };
    cx.events.flush().await;
    result?;
    bootstrap.end()
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

async fn listen(bind: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(bind).await.map_err(|e| {
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
    // Somebody is impatient: everything durable is already on disk.
    tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
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
