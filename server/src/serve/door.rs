//! What comes in at the port: a TLS handshake, or somebody who does not know that one is needed.

use axum::Router;
use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use leitstand_kit::api::Problem;
use std::io;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Time for the first byte and the whole handshake. Reasoning: four messages over a poor mobile link take 2 s; who
/// takes longer holds a place that others wait for.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// Content type `handshake` of a TLS record (RFC 8446, 5.1). No HTTP request begins with it.
const HANDSHAKE: u8 = 22;

/// How connections are received.
#[derive(Clone)]
pub(crate) enum Door {
    /// In the clear.
    Open,
    /// With TLS only.
    Locked(TlsAcceptor),
}

/// Who came in.
pub(super) enum Arrived {
    /// Speaks HTTP, as is right here.
    Clear(TcpStream),
    /// Speaks HTTP inside TLS.
    Encrypted(Box<TlsStream<TcpStream>>),
    /// Did not begin a handshake where one is needed; it is told the way in, nothing else.
    Lost(TcpStream),
}

impl Door {
    /// # Errors
    /// The peer was too slow, went away, or speaks a TLS that is not spoken here.
    pub(super) async fn receive(&self, stream: TcpStream) -> io::Result<Arrived> {
        self.receive_within(stream, HANDSHAKE_TIME).await
    }

    async fn receive_within(&self, stream: TcpStream, limit: Duration) -> io::Result<Arrived> {
        let Self::Locked(tls) = self else {
            return Ok(Arrived::Clear(stream));
        };
        let shake = async {
            let mut first = [0; 1];
            match stream.peek(&mut first).await? {
                0 => Err(io::ErrorKind::UnexpectedEof.into()),
                _ if first[0] != HANDSHAKE => Ok(Arrived::Lost(stream)),
                _ => Ok(Arrived::Encrypted(Box::new(tls.accept(stream).await?))),
            }
        };
        tokio::time::timeout(limit, shake)
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

/// What somebody is told who speaks HTTP in the clear to the TLS port.
pub(super) fn way_in() -> Router {
    Router::new().fallback(async |request: Request| point_to_tls(&request))
}

fn point_to_tls(request: &Request) -> Response {
    let host = request.headers().get(header::HOST);
    let host = host
        .and_then(|h| h.to_str().ok())
        .and_then(|h| h.parse::<Authority>().ok());
    let looks = matches!(*request.method(), Method::GET | Method::HEAD);
    let mut response = match host {
        // Temporary: a browser that kept it for ever could not come back once TLS is off.
        Some(host) if looks => {
            let path = request
                .uri()
                .path_and_query()
                .map_or("/", axum::http::uri::PathAndQuery::as_str);
            let to = format!("https://{host}{path}");
            let text = format!("This gateway speaks TLS: {to}\n");
            (
                StatusCode::TEMPORARY_REDIRECT,
                [(header::LOCATION, to)],
                text,
            )
                .into_response()
        }
        // What was to be changed travelled in the clear: it is not repeated by itself, the sender must know.
        _ => Problem::bad_request(
            "tls_needed",
            "this port speaks TLS; the same address with https:// in front is right",
        )
        .into_response(),
    };
    let close = header::HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

#[cfg(test)]
mod tests;
