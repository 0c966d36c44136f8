//! The evaluation thread.

use leitstand_core::gas::{Command, Refusal};
use tokio::sync::oneshot;

/// A person's command on its way to the evaluation thread.
#[derive(Debug)]
pub(crate) struct Order {
    /// What.
    pub(crate) what: Command,
    /// Who, for the journal.
    pub(crate) by: String,
    /// Why, as they said.
    pub(crate) reason: Option<String>,
    /// Where the answer goes: the ticket of the write that makes it durable.
    pub(crate) reply: oneshot::Sender<Result<u64, Refusal>>,
}
