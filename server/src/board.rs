//! The only place that picks real or simulated hardware.

use std::net::SocketAddr;
use utoipa_axum::router::OpenApiRouter;

/// The far side of all cables.
pub(crate) trait Board: Send {
    /// Whether nothing real is attached; every page then says so.
    fn simulated(&self) -> bool;

    /// Routes that exist only with this board.
    fn routes(&self) -> OpenApiRouter {
        OpenApiRouter::new()
    }

    /// The gateway listens at `addr`.
    fn announce(&self, addr: SocketAddr) {
        let _ = addr;
    }

    /// The gateway has stopped.
    fn stop(&self) {}
}

/// A Linux machine with what is plugged into it.
pub(crate) struct Linux;

impl Board for Linux {
    fn simulated(&self) -> bool {
        false
    }
}
