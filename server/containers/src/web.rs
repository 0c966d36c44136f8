//! The verbs over HTTP as the original offers them (`specs/containers.md` 2.9): always status 200, one level of path.
//! What changes something needs POST here, unless `legacy_get` is on.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
};

use axum::{
    Router,
    body::to_bytes,
    extract::{ConnectInfo, Request, State},
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response as HttpResponse},
    serve::Listener,
};
use leitstand_kit::{Exit, ServiceError};
use serde_json::{Map, Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    config::WebSettings,
    verbs::{Outcome, Verbs},
    wire::{REQUEST_BYTES_MAX, request::Request as Verb, response::Response},
};

/// The listener of the web variant.
pub(crate) struct Web {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    state: Arc<Shared>,
}

struct Shared {
    verbs: Verbs,
    legacy_get: bool,
    base: String,
}

impl Web {
    pub(crate) async fn bind(
        verbs: Verbs,
        settings: &WebSettings,
        config_dir: &Path,
    ) -> Result<Self, ServiceError> {
        let fatal = |message: String| ServiceError::fatal(Exit::Configuration, message);
        let tls = match &settings.tls {
            None => None,
            Some((certificate, key)) => Some(
                acceptor(&config_dir.join(certificate), &config_dir.join(key)).map_err(fatal)?,
            ),
        };
        let listener = TcpListener::bind(settings.bind).await.map_err(|e| {
            ServiceError::fatal(
                Exit::AddressInUse,
                format!("containers.web: listening at {}", settings.bind),
            )
            .because(e)
        })?;
        let local = listener
            .local_addr()
            .map_err(|e| ServiceError::retry("containers.web").because(e))?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        tracing::info!("containers: the web variant listens at {scheme}://{local}");
        let state = Shared {
            verbs,
            legacy_get: settings.legacy_get,
            base: format!("{scheme}://{local}"),
        };
        Ok(Self {
            listener,
            tls,
            state: Arc::new(state),
        })
    }

    pub(crate) async fn serve(self) {
        let app = router(self.state);
        let served = match self.tls {
            None => {
                axum::serve(
                    self.listener,
                    app.into_make_service_with_connect_info::<SocketAddr>(),
                )
                .await
            }
            Some(acceptor) => {
                let listener = Tls {
                    listener: self.listener,
                    acceptor,
                };
                axum::serve(listener, app.into_make_service_with_connect_info::<Peer>()).await
            }
        };
        if let Err(error) = served {
            tracing::error!(%error, "containers: the web variant ended");
        }
    }
}

fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, String> {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
    let chain =
        CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(|e| format!("{}: {e}", certificate.display()))?;
    let private =
        PrivateKeyDer::from_pem_file(key).map_err(|e| format!("{}: {e}", key.display()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|e| format!("certificate and key: {e}"))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Connections after their TLS handshake. One at a time is enough for a legacy interface, with a bound so that a
/// silent one does not hold the others for long.
struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let Ok((stream, peer)) = self.listener.accept().await else {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            };
            let handshake = self.acceptor.accept(stream);
            if let Ok(Ok(stream)) =
                tokio::time::timeout(std::time::Duration::from_secs(2), handshake).await
            {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// The client of a TLS connection.
#[derive(Clone, Copy)]
struct Peer(SocketAddr);

impl axum::extract::connect_info::Connected<axum::serve::IncomingStream<'_, Tls>> for Peer {
    fn connect_info(stream: axum::serve::IncomingStream<'_, Tls>) -> Self {
        Self(*stream.remote_addr())
    }
}

fn router(state: Arc<Shared>) -> Router {
    Router::new().fallback(any).with_state(state)
}

fn answer(response: &Response) -> HttpResponse {
    (
        [(header::CONTENT_TYPE, "application/json")],
        response.to_text(),
    )
        .into_response()
}

async fn any(State(shared): State<Arc<Shared>>, request: Request) -> HttpResponse {
    let peer = {
        let extensions = request.extensions();
        let plain = extensions.get::<ConnectInfo<SocketAddr>>().map(|c| c.0);
        plain
            .or_else(|| extensions.get::<ConnectInfo<Peer>>().map(|c| c.0.0))
            .map(|a| a.ip().to_canonical())
    };
    if let Some(peer) = peer
        && !shared.verbs.engine().settings().filter.allows(peer)
    {
        return answer(&Response::refused());
    }
    let method = request.method().clone();
    let reads = method == Method::GET || method == Method::HEAD;
    if !reads && method != Method::POST {
        return (
            StatusCode::NOT_IMPLEMENTED,
            [(header::CONTENT_TYPE, "text/html")],
            "<h1>501 Not Implemented</h1>",
        )
            .into_response();
    }
    let path = request.uri().path().to_owned();
    if path == "/" {
        return answer(&greeting(&shared.base));
    }
    let verb = path
        .strip_prefix('/')
        .unwrap_or_default()
        .to_ascii_uppercase();
    if verb.is_empty() || !verb.bytes().all(|b| b.is_ascii_uppercase()) {
        return answer(&Response::bad_request());
    }
    if reads && verb != "STAT" && !shared.legacy_get {
        return answer(&Response::bad_request());
    }
    let parameters = if reads {
        Map::new()
    } else {
        let Ok(body) = to_bytes(request.into_body(), REQUEST_BYTES_MAX).await else {
            return answer(&Response::malformed());
        };
        match serde_json::from_slice(&body) {
            Ok(Value::Object(map)) => map,
            _ => return answer(&Response::malformed()),
        }
    };
    let without_credentials = verb == "DESTROY"
        && !(parameters.contains_key("container_uuid") && parameters.contains_key("client_token"));
    if without_credentials {
        return answer(&Response::bad_request());
    }
    answer(&execute(&shared, peer, &verb, parameters).await)
}

async fn execute(
    shared: &Shared,
    peer: Option<IpAddr>,
    verb: &str,
    parameters: Map<String, Value>,
) -> Response {
    let request = Verb::from_parts(verb, parameters);
    match shared.verbs.execute(peer, request).await {
        // HTTP has no word for an unknown path here: the original answers without a reason.
        Outcome::Respond(response) if response == Response::unhandled_verb() => {
            Response::bad_request()
        }
        // The body is handed to the connection with this answer; a client that left before is not noticed.
        Outcome::Respond(response) | Outcome::Deliver(response, _) => response,
        Outcome::Close => Response::refused(),
    }
}

fn greeting(base: &str) -> Response {
    let mut response = Response::ok(
        json!({"links": [format!("{base}/stat"), format!("{base}/create"), format!("{base}/destroy")]}),
    );
    response.message = "Leitstand, containers. GET /stat; POST /create and /destroy with the parameters as a JSON object.".into();
    response
}

#[cfg(test)]
mod tests;
