//! The orderly end of a gateway whose battery is empty.
//!
//! The gas service asks for it; the gateway stops as for a signal, so that everything is stored, and then turns the
//! machine off if the configuration says how.

use leitstand_kit::CancellationToken;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

/// Whether somebody asked, and what to run at the very end. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Exhausted {
    asked: CancellationToken,
    command: Arc<Mutex<Vec<String>>>,
}

impl Exhausted {
    /// For the service that watches the battery. Returns at once.
    #[cfg(feature = "gas")]
    pub(crate) fn handle(&self) -> leitstand_gas::seam::Shutdown {
        let this = self.clone();
        Arc::new(move |command| {
            *this.command.lock().unwrap_or_else(PoisonError::into_inner) = command.to_vec();
            this.asked.cancel();
        })
    }

    /// Waits until somebody asks.
    pub(crate) async fn asked(&self) {
        self.asked.cancelled().await;
    }

    /// Runs the command of whoever asked. The gateway is stopped; a command that fails is only reported.
    pub(crate) fn turn_off(&self) {
        let command = self.command.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((program, arguments)) =
            command.split_first().filter(|_| self.asked.is_cancelled())
        else {
            return;
        };
        match Command::new(program).args(arguments).status() {
            Ok(status) if status.success() => tracing::info!(program, "turning off"),
            Ok(status) => tracing::error!(program, %status, "the machine was not turned off"),
            Err(error) => tracing::error!(program, %error, "the machine was not turned off"),
        }
    }
}

#[cfg(all(test, feature = "gas"))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_command_runs_only_when_somebody_asked() {
        let dir = tempfile::tempdir().unwrap();
        let proof = dir.path().join("off");
        let exhausted = Exhausted::default();
        exhausted.turn_off();
        let ask = exhausted.handle();
        ask(&["/bin/touch".into(), proof.display().to_string()]);
        assert!(exhausted.asked.is_cancelled() && !proof.exists());
        exhausted.turn_off();
        assert!(proof.exists());
        // One that is not there is reported, not fatal.
        ask(&["/nowhere/poweroff".into()]);
        exhausted.turn_off();
        ask(&[]);
        exhausted.turn_off();
    }
}
