//! The contract of every state machine in the house.

use crate::time::Instant;

/// Protocol logic as a value that is fed and drained. No IO, no clock, no waiting.
///
/// The rules, which the drive loops rely on:
/// 1. After **every** call of [`handle`](Self::handle) or [`handle_timeout`](Self::handle_timeout) the
///    caller drains [`poll_output`](Self::poll_output) to `None` before the next input.
/// 2. [`handle_timeout`](Self::handle_timeout) may be called early or often; an early call changes nothing.
/// 3. `now` never goes back. At one instant inputs go before deadlines: a caller that has both feeds the
///    input first.
/// 4. [`poll_timeout`](Self::poll_timeout) is the earliest deadline; `None` means "wake me by input only".
pub trait Machine {
    /// What can happen to it. May borrow, so that bytes need no copy.
    type Input<'a>;
    /// What it asks its owner to do.
    type Output;

    /// Something happened at `now`.
    fn handle(&mut self, now: Instant, input: Self::Input<'_>);
    /// A deadline may have passed.
    fn handle_timeout(&mut self, now: Instant);
    /// The next thing to do; call until `None`.
    fn poll_output(&mut self) -> Option<Self::Output>;
    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    fn poll_timeout(&self) -> Option<Instant>;
}
