//! Whether and with which certificate the gateway encrypts, and what people are told about it.

use crate::config::{Checked, Tls, TlsFiles, TlsWord};
use crate::exit::{Failure, say};
use crate::serve::Door;
use axum::Router;
use axum::routing::get;
use leitstand_kit::tls::{Keeper, Source};
use leitstand_kit::{Clock, Context, Exit, NewEvent, Paths, Severity, api};
use serde::Serialize;
use serde_json::json;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// How often the certificate is looked after. Reasoning: an ACME client renews weeks ahead; an hour is soon enough.
const LOOKED_AFTER_EVERY: Duration = Duration::from_secs(3600);
/// What `/claim` and `/login` load to show the fingerprint. Nothing in it is secret: everybody who connects sees the
/// certificate.
pub(crate) const SHOWN_AT: &str = "/ui/certificate.json";

/// The certificate to show, or `None` to serve in the clear.
///
/// Without a word in the configuration a loopback bind is in the clear (nothing leaves the machine, and a
/// certificate that no browser knows would be in the way of the first look) and any other bind is encrypted: what
/// would otherwise cross the network readable are passwords, session cookies and tokens that switch relays.
///
/// # Errors
/// Exit 2 for files that do not do, 3 when the site certificate cannot be kept. The start is refused rather than to
/// fall back to the clear.
pub(crate) fn certificate(
    config: &Checked,
    bind: IpAddr,
    paths: &Paths,
    clock: &Clock,
) -> Result<Option<Arc<Keeper>>, Failure> {
    let wanted = config
        .tls
        .clone()
        .unwrap_or(Tls::Word(if bind.is_loopback() {
            TlsWord::Off
        } else {
            TlsWord::Site
        }));
    let (source, exit) = match wanted {
        Tls::Word(TlsWord::Off) => return Ok(None),
        Tls::Word(TlsWord::Site) => {
            let (dir, names) = (paths.state.join("tls"), config.names.clone());
            (Source::Site { dir, names, bind }, Exit::RuntimeInformation)
        }
        Tls::Files(TlsFiles { cert, key }) => {
            let dir = &paths.config_dir;
            let (cert, key) = (dir.join(cert), dir.join(key));
            (Source::Files { cert, key }, Exit::Configuration)
        }
    };
    let keeper = Keeper::open(source, now_s(clock))
        .map_err(|e| Failure::because(exit, "the certificate of [api] tls", &e))?;
    Ok(Some(Arc::new(keeper)))
}

/// How connections are received.
///
/// # Errors
/// Exit 1: the cryptography does not work.
pub(crate) fn door(certificate: Option<&Keeper>) -> Result<Door, Failure> {
    let Some(certificate) = certificate else {
        return Ok(Door::Open);
    };
    let config = certificate
        .server_config()
        .map_err(|e| Failure::because(Exit::Internal, "preparing TLS", &e))?;
    Ok(Door::Locked(config.into()))
}

/// Keeps the certificate in force: a site certificate is made anew before it ends or when the machine has another
/// address, files are read again when they changed.
pub(crate) async fn renew(certificate: Option<Arc<Keeper>>, cx: Context) {
    let Some(certificate) = certificate else {
        return;
    };
    let mut told = String::new();
    loop {
        tokio::time::sleep(LOOKED_AFTER_EVERY).await;
        let (keeper, now) = (Arc::clone(&certificate), now_s(&cx.clock));
        let looked = tokio::task::spawn_blocking(move || keeper.refresh(now)).await;
        let event = match looked {
            Ok(Ok(false)) => None,
            Ok(Ok(true)) => Some(
                NewEvent::new("gateway", "CertificateRenewed")
                    .text("The gateway shows a new certificate")
                    .data(json!({ "sha256": certificate.fingerprint() })),
            ),
            // The old one stays in force, so the same trouble is told once and not every hour.
            Ok(Err(error)) => Some(
                NewEvent::new("gateway", "CertificateNotRenewed")
                    .severity(Severity::Warning)
                    .text(format!("The certificate could not be renewed: {error}")),
            ),
            Err(error) => {
                tracing::error!(%error, "looking after the certificate");
                None
            }
        };
        let text = event.as_ref().map_or_else(String::new, |e| e.text.clone());
        if let Some(event) = event.filter(|e| e.text != told) {
            tracing::info!("{}", event.text);
            drop(cx.events.record(event));
        }
        told = text;
    }
}

/// Tells on STDOUT what to compare.
pub(crate) fn announce(certificate: &Keeper) {
    say(format!(
        "Certificate (SHA-256): {}",
        certificate.fingerprint()
    ));
    if certificate.is_self_made() {
        say(
            "  Made by this gateway: a browser warns once. Compare the fingerprint, then trust it.",
        );
    }
}

/// Off loopback in the clear.
pub(crate) fn warn_of_the_clear() {
    tracing::warn!(
        "passwords and tokens cross the network unencrypted: `[api] tls = \"site\"`, or a proxy in front that \
         speaks TLS and is the only one to reach this port"
    );
}

/// What a page shows of the certificate.
#[derive(Clone, Serialize)]
struct Shown {
    /// SHA-256 of the certificate; empty in the clear.
    sha256: String,
    /// Made by the gateway itself.
    self_made: bool,
}

/// The route behind [`SHOWN_AT`].
pub(crate) fn routes(certificate: Option<Arc<Keeper>>) -> Router {
    let show = move || {
        let shown = Shown {
            sha256: certificate
                .as_ref()
                .map_or_else(String::new, |c| c.fingerprint()),
            self_made: certificate.as_ref().is_some_and(|c| c.is_self_made()),
        };
        async move { api::Json(shown) }
    };
    Router::new().route(SHOWN_AT, get(show))
}

fn now_s(clock: &Clock) -> i64 {
    clock.wall().unix_ms / 1000
}
