//! Accepts connections and hands them to the application, with bounds that hold against a hostile peer.
//!
//! `axum::serve` bounds neither the number of connections nor the time a peer takes for its request head; both
//! are needed where one slow peer must not lock an operator out. The same holds for the handshake of TLS.

mod door;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use door::Arrived;
pub(crate) use door::Door;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use leitstand_kit::CancellationToken;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower::ServiceExt as _;

/// Connections at one time. Reasoning: 100 screens with a WebSocket and a page each, and as many again for
/// programs; about 20 kB a connection. Further peers wait in the system's queue.
pub(crate) const CONNECTIONS_MAX: usize = 512;
/// Connections of one address. Reasoning: half of all, so that one peer never takes the other half's place.
pub(crate) const CONNECTIONS_PER_PEER_MAX: usize = CONNECTIONS_MAX / 2;
/// Time for the head of a request, and for the next request on an idle connection.
pub(crate) const HEAD_TIME: Duration = Duration::from_secs(15);
/// Bytes of a request head. Reasoning: a cookie, a token and a long query stay below 4 KiB.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// How long open answers may go on after a stop. Reasoning: all ordinary answers take milliseconds; event
/// streams would go on for ever.
const LINGER: Duration = Duration::from_millis(500);

/// Serves until `stop` fires, then ends all connections.
pub(crate) async fn serve(listener: TcpListener, door: Door, app: Router, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let peers = Peers::default();
    let mut connections = JoinSet::new();
    loop {
        // The place first: when all are taken, peers wait in the system's queue and cost nothing here.
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = stop.cancelled() => break,
        };
        let Ok(place) = place else { break };
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, mostly: wait for others to close instead of spinning.
                    tracing::warn!(%error, "accepting a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = stop.cancelled() => break,
        };
        while connections.try_join_next().is_some() {}
        if let Some(seat) = peers.take(peer.ip()) {
            let (door, app, stop) = (door.clone(), app.clone(), stop.clone());
            connections.spawn(async move {
                connection(stream, peer, door, app, stop).await;
                drop((place, seat));
            });
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(LINGER, all).await.is_err() {
        connections.shutdown().await;
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    door: Door,
    app: Router,
    stop: CancellationToken,
) {
    // Small answers and live values must not wait for more bytes.
    let _ = stream.set_nodelay(true);
    let arrived = tokio::select! {
        arrived = door.receive(stream) => arrived,
        () = stop.cancelled() => return,
    };
    match arrived {
        Ok(Arrived::Clear(stream)) => talk(stream, peer, app, stop).await,
        Ok(Arrived::Encrypted(stream)) => talk(*stream, peer, app, stop).await,
        Ok(Arrived::Lost(stream)) => talk(stream, peer, door::way_in(), stop).await,
        Err(error) => tracing::debug!(%peer, %error, "no connection"),
    }
}

/// Requests and answers on one connection until it ends.
async fn talk<S>(stream: S, peer: SocketAddr, app: Router, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let mut request: Request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        app.clone().oneshot(request)
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection ended");
    }
}

/// How many connections each address has. At most [`CONNECTIONS_MAX`] entries.
#[derive(Clone, Default)]
struct Peers(Arc<Mutex<HashMap<IpAddr, usize>>>);

impl Peers {
    fn take(&self, peer: IpAddr) -> Option<Seat> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(peer).or_insert(0);
        if *count >= CONNECTIONS_PER_PEER_MAX {
            return None;
        }
        *count += 1;
        Some(Seat {
            peers: self.clone(),
            peer,
        })
    }
}

/// One connection of an address, given back on drop.
struct Seat {
    peers: Peers,
    peer: IpAddr,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = self.peers.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_peer_gets_half_of_the_places_and_gives_them_back() {
        let peers = Peers::default();
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let mut seats: Vec<_> = (0..CONNECTIONS_PER_PEER_MAX)
            .map(|_| peers.take(a).unwrap())
            .collect();
        assert!(peers.take(a).is_none());
        assert!(peers.take(b).is_some());
        seats.pop();
        assert!(peers.take(a).is_some());
        seats.clear();
        assert!(peers.0.lock().unwrap().is_empty());
    }
}
