//! The one async loop around a [`Machine`].

use leitstand_core::machine::Machine;
use tokio::sync::mpsc;

use crate::{Clock, clock::Instant};

/// Drives `machine` until `inputs` closes (then `Ok`) or `emit` fails.
///
/// `apply` feeds one input (usually `|m, now, i| m.handle(now, i)`; it exists because an input may borrow).
/// Outputs are drained after every call. At one instant inputs go before deadlines.
///
/// # Errors
/// The first error of `emit`.
pub async fn drive<M, I, E>(
    machine: &mut M,
    inputs: &mut mpsc::Receiver<I>,
    clock: &Clock,
    mut apply: impl FnMut(&mut M, Instant, I),
    mut emit: impl AsyncFnMut(M::Output) -> Result<(), E>,
) -> Result<(), E>
where
    M: Machine,
{
    loop {
        while let Some(output) = machine.poll_output() {
            emit(output).await?;
        }
        tokio::select! {
            biased;
            input = inputs.recv() => match input {
                Some(input) => apply(machine, clock.now(), input),
                None => return Ok(()),
            },
            () = clock.sleep_until(machine.poll_timeout()) => machine.handle_timeout(clock.now()),
        }
    }
}
