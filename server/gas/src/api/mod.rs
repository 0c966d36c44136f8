//! The HTTP surface. Handlers hold a snapshot and a way to send commands, never a machine: reads answer while a
//! bus times out.

mod calibrate;
mod compat;
mod config;
mod read;
#[cfg(test)]
mod tests;
mod write;

use crate::front::Front;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// All routes of the service with their full paths.
pub(crate) fn routes(front: Front) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(read::snapshot))
        .routes(routes!(read::status))
        .routes(routes!(read::zones))
        .routes(routes!(read::zone))
        .routes(routes!(read::sensors))
        .routes(routes!(read::sensor))
        .routes(routes!(read::cells))
        .routes(routes!(read::cell))
        .routes(routes!(read::history))
        .routes(routes!(read::alarms))
        .routes(routes!(read::alarm))
        .routes(routes!(read::outputs))
        .routes(routes!(read::output, write::set_output))
        .routes(routes!(read::power))
        .routes(routes!(read::service))
        .routes(routes!(config::current, config::replace))
        .routes(routes!(config::versions))
        .routes(routes!(config::version))
        .routes(routes!(write::acknowledge))
        .routes(routes!(write::acknowledge_all))
        .routes(routes!(write::reset))
        .routes(routes!(write::shelve))
        .routes(routes!(write::unshelve))
        .routes(routes!(write::silence))
        .routes(routes!(write::one_button))
        .routes(routes!(write::lamp_test))
        .routes(routes!(write::inhibit))
        .routes(routes!(write::out_of_service))
        .routes(routes!(write::return_to_service))
        .routes(routes!(write::confirm_calibration))
        .routes(routes!(calibrate::calibrate))
        .routes(routes!(calibrate::bump_test))
        .routes(routes!(calibrate::records))
        .routes(routes!(write::service_done))
        .routes(routes!(write::check_done))
        .routes(routes!(write::battery_test))
        .routes(routes!(config::validate))
        .routes(routes!(compat::server))
        .routes(routes!(compat::sensors))
        .routes(routes!(compat::sensor))
        .routes(routes!(compat::cells))
        .routes(routes!(compat::cell))
        .with_state(front)
}
