//! Containers of namespaces, for real: contract, escapes, SSH by OpenSSH's own client, the wire by a client in Python,
//! leaks, kill -9. `cargo test -p leitstand-containers --test ns -- escape` runs those whose name contains `escape`.
//!
//! This program has three faces: the tests, the helper (`container-init`) that a container starts as, and a gateway
//! (`gateway DIR`) that is killed. Where user namespaces are not allowed everything is skipped, visibly, and fails
//! under CI=true.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod escape;
mod lab;
mod leak;
mod login;
mod wire;

use std::{process::ExitCode, time::Instant};

use leitstand_containers::ns::{COMMAND, container_init};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some(COMMAND) => return container_init(&arguments[1..]),
        Some("gateway") => return leak::gateway(&arguments[1]),
        // What `cargo test` itself may ask; there is nothing to list.
        Some("--list") => return ExitCode::SUCCESS,
        _ => {}
    }
    let filter = arguments
        .iter()
        .find(|a| !a.starts_with('-'))
        .cloned()
        .unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .unwrap();
    if let Err(reason) = runtime.block_on(lab::usable()) {
        println!("SKIPPED: containers cannot be made here: {reason}");
        return if lab::ci() {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        };
    }
    macro_rules! run {
        ($($module:ident::$name:ident),* $(,)?) => {
            $(if stringify!($name).contains(&filter) {
                let began = Instant::now();
                // A panic ends the program with the failure and its place.
                runtime.block_on($module::$name());
                println!("test {} ... ok ({} ms)", stringify!($name), began.elapsed().as_millis());
            })*
        };
    }
    run!(
        lab::ns_keeps_to_the_contract,
        lab::profiles_dir_and_oci_are_private_copies,
        lab::golden_c24_power_off_inside_and_the_end_of_the_command,
        lab::pause_stops_and_resume_goes_on,
        escape::golden_c29_escapes_by_files_and_processes,
        escape::golden_c29_escapes_by_devices_and_sockets,
        escape::golden_c29_escapes_by_network_and_neighbour,
        escape::golden_c29_fork_bomb_and_memory_bomb_are_bounded,
        login::golden_c4_ssh_login_exec_terminal_and_key,
        login::golden_c4_file_copy_in_and_out,
        login::golden_c7_live_connections_are_cut,
        wire::golden_p_a_client_in_python_drives_the_whole_life,
        leak::many_lives_leave_nothing,
        leak::golden_c27_killed_at_random_moments,
    );
    ExitCode::SUCCESS
}
