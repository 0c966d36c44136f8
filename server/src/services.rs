//! The list of services: which are configured, and what each is given from the platform.

use crate::board::Board;
use crate::bootstrap::Bootstrap;
use crate::config::Checked;
use crate::exit::Failure;
use leitstand_kit::Context;
use leitstand_kit::supervisor::Plan;

/// Builds every configured service, in start order.
///
/// # Errors
/// With the exit code of the service that cannot be built.
pub(crate) fn plans(
    config: &Checked,
    cx: &Context,
    bootstrap: &Bootstrap,
    board: &dyn Board,
) -> Result<Vec<Plan>, Failure> {
    let _ = (config, cx, bootstrap, board);
    Ok(Vec::new())
}
