//! A door in front of a plaintext listener off loopback: so many connections at a time, and no place for one that
//! says nothing. The broker itself keeps idle connections for ever.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};

/// Connections at a time. Reasoning: the goal is 1000 cars.
const CONNECTIONS_MAX: usize = 2000;
/// How long a connection may say nothing at its beginning.
const FIRST_BYTE_WITHIN: Duration = Duration::from_secs(5);

/// Accepts at `listener` and hands bytes through to `inside`. Dropping the future closes all connections.
pub(super) async fn guard(listener: TcpListener, inside: SocketAddr) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut visitors = JoinSet::new();
    loop {
        // Whoever comes when all places are taken waits in the queue of the system.
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((outer, _)) => {
                visitors.spawn(async move {
                    let _place = place;
                    let _ = hand_through(outer, inside).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accepting vehicles");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        while visitors.try_join_next().is_some() {}
    }
}

async fn hand_through(mut outer: TcpStream, inside: SocketAddr) -> io::Result<()> {
    outer.set_nodelay(true)?;
    let mut byte = [0];
    let seen = tokio::time::timeout(FIRST_BYTE_WITHIN, outer.peek(&mut byte)).await;
    if !matches!(seen, Ok(Ok(1))) {
        return Ok(());
    }
    let mut inner = TcpStream::connect(inside).await?;
    inner.set_nodelay(true)?;
    tokio::io::copy_bidirectional(&mut outer, &mut inner).await?;
    Ok(())
}
