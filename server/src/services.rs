//! The list of services: which are configured, and what each is given from the platform.

use crate::board::{self, Board};
use crate::config::Checked;
use crate::exhausted::Exhausted;
use crate::exit::Failure;
use crate::runtime_config::RuntimeConfig;
use leitstand_kit::Context;
use leitstand_kit::supervisor::Plan;

/// Builds every configured service, in start order: what people's safety hangs on comes first.
///
/// # Errors
/// With the exit code of the service that cannot be built.
pub(crate) fn plans(
    config: &Checked,
    cx: &Context,
    running: &std::sync::Arc<RuntimeConfig>,
    board: &dyn Board,
    exhausted: &Exhausted,
) -> Result<Vec<Plan>, Failure> {
    let mut plans = Vec::new();
    #[cfg(not(feature = "gas"))]
    let _ = (running, board, exhausted);
    #[cfg(feature = "gas")]
    if let Some(site) = &config.gas {
        let wired = site.power;
        let setup = leitstand_gas::Setup {
            site: std::sync::Arc::clone(site),
            port: std::sync::Arc::new(|bus| Some(board::bus_port(bus))),
            register: board.registers(),
            mains: board.mains(site).filter(|_| wired),
            battery: board.battery(site).filter(|_| wired),
            shutdown: exhausted.handle(),
            configuration: std::sync::Arc::clone(running) as _,
        };
        let gas = leitstand_gas::build(setup, cx).map_err(|e| {
            Failure::because(
                leitstand_kit::Exit::RuntimeInformation,
                "starting the gas service",
                &e,
            )
        })?;
        plans.push(gas.into_plan());
    }
    #[cfg(feature = "panel")]
    if let Some(settings) = &config.panel {
        let ports = settings
            .boards
            .iter()
            .map(|b| board::panel_port(&b.port))
            .collect();
        let media = cx.paths.config_dir.join(&settings.media_dir);
        let panel = leitstand_panel::Panel::new(cx, settings.clone(), media, ports);
        plans.push(Plan::new(move || panel.instance()));
    }
    #[cfg(feature = "fleet")]
    if let Some(settings) = &config.fleet {
        // Module hosts are this program again; where it cannot be found, its name is.
        let program = std::env::current_exe().unwrap_or_else(|_| "leitstand".into());
        let fleet = leitstand_fleet::Fleet::new(cx, settings.clone(), program);
        plans.push(
            Plan::new(move || fleet.instance()).stop_within(std::time::Duration::from_secs(6)),
        );
    }
    #[cfg(feature = "containers")]
    if let Some(settings) = &config.containers {
        let refuse = |what: &str, e: &dyn std::error::Error| {
            Failure::because(leitstand_kit::Exit::RuntimeInformation, what, e)
        };
        // A container's first process is this program again.
        let helper = std::env::current_exe().map_err(|e| refuse("finding this program", &e))?;
        let service = leitstand_containers::Containers::new(cx, settings.clone(), helper)
            .map_err(|e| refuse("starting the containers service", &e))?;
        if board.simulated() {
            service.show_job();
        }
        plans.push(service.into_plan());
    }
    if let Some(backup) = &config.backup {
        let keeper = crate::backup::keeper::Keeper::new(cx, backup.clone());
        plans.push(Plan::new(move || Box::new(keeper.clone())));
    }
    #[cfg(feature = "models")]
    if let Some(settings) = &config.models {
        let series = std::sync::Arc::new(crate::series::GasCells::new(cx));
        let host = std::env::current_exe().ok();
        let models = leitstand_models::Models::open(cx, settings.clone(), series, host)
            .map_err(Failure::from)?;
        plans.push(Plan::new(move || models.instance()));
    }
    Ok(plans)
}
