//! What systemd is told: ready after the first full poll, alive while the slowest critical loop turns.

use leitstand_kit::Context;
use leitstand_kit::health::Level;
use sd_notify::NotifyState;
use std::time::Duration;

/// How often readiness is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Reports to systemd until aborted. Does nothing where no systemd listens.
pub(crate) async fn watch(cx: Context) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    // A third of systemd's patience, so that one late look is no death.
    let feed = sd_notify::watchdog_enabled().map(|span| span / 3);
    let mut ready = false;
    let mut since_feed = Duration::ZERO;
    loop {
        tokio::time::sleep(LOOK).await;
        if !ready && first_poll_done(&cx) {
            ready = true;
            tell(&[NotifyState::Ready, NotifyState::Status("running")]);
        }
        since_feed += LOOK;
        if feed.is_some_and(|span| since_feed >= span) && critical_loops_turn(&cx) {
            since_feed = Duration::ZERO;
            tell(&[NotifyState::Watchdog]);
        }
    }
}

/// The stop has begun.
pub(crate) fn stopping() {
    if std::env::var_os("NOTIFY_SOCKET").is_some() {
        tell(&[NotifyState::Stopping]);
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "telling systemd");
    }
}

/// Every critical loop has turned, and the gas service, where there is one, has heard of each cell or given it
/// up.
fn first_poll_done(cx: &Context) -> bool {
    let heard = match cx.frames.latest("gas") {
        Some(frame) => !is_starting(&frame),
        // Without a first state of a configured gas service nothing can be said.
        None => !cx.health.report().services.iter().any(|s| s.name == "gas"),
    };
    heard && cx.health.is_ready()
}

fn is_starting(frame: &str) -> bool {
    let Ok(value) = serde_json::from_str::<serde_json::Value>(frame) else {
        return false;
    };
    value["status"]["special"]
        .as_array()
        .is_some_and(|all| all.iter().any(|s| s == "starting"))
}

/// No critical loop is late: the slowest of them feeds the watchdog.
fn critical_loops_turn(cx: &Context) -> bool {
    cx.health.report().services.iter().all(|s| {
        s.health != Level::Failed
            && s.loops
                .iter()
                .all(|l| !l.critical || l.age_ms <= l.deadline_ms)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starting_is_read_from_the_state_of_the_gas_service() {
        assert!(is_starting(
            r#"{"status":{"special":["warm_up","starting"]}}"#
        ));
        assert!(!is_starting(r#"{"status":{"special":[]}}"#));
        assert!(!is_starting("garbage"));
    }
}
