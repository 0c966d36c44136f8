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
pub async fn drive<M, I, F, E>(
    machine: &mut M,
    inputs: &mut mpsc::Receiver<I>,
    clock: &Clock,
    mut apply: impl FnMut(&mut M, Instant, I),
    mut emit: impl FnMut(M::Output) -> F,
) -> Result<(), E>
where
    M: Machine,
    F: Future<Output = Result<(), E>>,
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{collections::VecDeque, future::ready, time::Duration};

    use expect_test::expect;

    use super::*;

    /// An egg timer: `Wind(n)` rings n seconds later, unless it is wound again.
    #[derive(Default)]
    struct Egg {
        rings_at: Option<Instant>,
        out: VecDeque<String>,
    }

    impl Machine for Egg {
        type Input<'a> = &'a str;
        type Output = String;
        fn handle(&mut self, now: Instant, input: &str) {
            assert!(self.out.is_empty(), "drained before the next input");
            let span = Duration::from_secs(input.parse().unwrap());
            self.rings_at = Some(now + span);
            self.out.push_back(format!("{} wound", now.as_millis()));
        }
        fn handle_timeout(&mut self, now: Instant) {
            if self.rings_at.is_some_and(|at| at <= now) {
                self.rings_at = None;
                self.out.push_back(format!("{} rings", now.as_millis()));
            }
        }
        fn poll_output(&mut self) -> Option<String> {
            self.out.pop_front()
        }
        fn poll_timeout(&self) -> Option<Instant> {
            self.rings_at
        }
    }

    #[tokio::test]
    async fn inputs_go_before_deadlines_and_outputs_are_drained_each_time() {
        let (clock, hand) = Clock::manual();
        let (send, mut inputs) = mpsc::channel::<String>(4);
        let (out, mut seen) = mpsc::unbounded_channel();
        // Spawned, so that the loop is known to be `Send`.
        let task = tokio::spawn(async move {
            let mut egg = Egg::default();
            let emit = |line: String| ready(out.send(line).map_err(|_| ()));
            drive(
                &mut egg,
                &mut inputs,
                &clock,
                |m, now, i| m.handle(now, &i),
                emit,
            )
            .await
        });
        let mut log = Vec::new();
        send.send("3".into()).await.unwrap();
        log.push(seen.recv().await.unwrap());
        // The deadline and an input at one instant: the input wins and winds it anew.
        send.send("2".into()).await.unwrap();
        hand.advance(Duration::from_secs(3));
        log.push(seen.recv().await.unwrap());
        hand.advance(Duration::from_secs(2));
        log.push(seen.recv().await.unwrap());
        drop(send);
        task.await.unwrap().unwrap();
        expect![[r#"
            [
                "0 wound",
                "3000 wound",
                "5000 rings",
            ]
        "#]]
        .assert_debug_eq(&log);
    }

    #[tokio::test]
    async fn the_first_error_of_emit_ends_it() {
        let (_send, mut inputs) = mpsc::channel::<String>(1);
        let mut egg = Egg::default();
        egg.out.push_back("x".into());
        let ended = drive(
            &mut egg,
            &mut inputs,
            &Clock::manual().0,
            |m, now, i| m.handle(now, &i),
            |_| ready(Err("gone")),
        )
        .await;
        assert_eq!(ended, Err("gone"));
    }
}
