//! `leitstand demo`: the whole gateway on a simulated site, nothing to install.
//!
//! The configuration is written to a file and goes the same way as that of a real site; only the far side of
//! the cables is simulated.

#[cfg(feature = "gas")]
mod chips;
#[cfg(feature = "panel")]
mod media;
#[cfg(feature = "fleet")]
mod vehicles;

use crate::board::Board;
use crate::bootstrap::Bootstrap;
use crate::exit::{Failure, say};
use crate::gateway::{self, Plan};
use crate::{cli, config, sim, web};
#[cfg(feature = "gas")]
use leitstand_core::hal::{BatteryGauge, MainsSense};
#[cfg(feature = "gas")]
use leitstand_gas::register::FindRegister;
use leitstand_hal_mock::site::{Options, Site};
use leitstand_kit::Exit;
use std::path::{Path, PathBuf};
use utoipa_axum::router::OpenApiRouter;

/// The demo's configuration, a part for each service that is built in; `@DIR@` is the state directory.
pub(crate) const CONFIG: &[&str] = &[
    include_str!("demo/site.toml"),
    #[cfg(feature = "gas")]
    include_str!("demo/gas.toml"),
    #[cfg(feature = "panel")]
    include_str!("demo/panel.toml"),
    #[cfg(feature = "fleet")]
    include_str!("demo/fleet.toml"),
    #[cfg(feature = "containers")]
    include_str!("demo/containers.toml"),
    #[cfg(feature = "models")]
    include_str!("demo/models.toml"),
];

/// Runs until Ctrl+C.
///
/// # Errors
/// With the exit code of what failed.
pub(crate) fn run(args: cli::Demo) -> Result<(), Failure> {
    say(format!("leitstand: {}", env!("CARGO_PKG_VERSION")));
    let state = match args.state {
        Some(dir) => State::kept(dir)?,
        None => State::temporary()?,
    };
    #[cfg(feature = "fleet")]
    let mqtt = vehicles::free_port();
    #[cfg(not(feature = "fleet"))]
    let mqtt = 0;
    let file = prepare(state.path(), mqtt).map_err(|e| {
        Failure::because(
            Exit::Internal,
            &format!("preparing {}", state.path().display()),
            &e,
        )
    })?;
    let options = Options {
        seed: args.seed,
        speed: args.speed,
        dir: state.path().join("dev"),
    };
    let site = Site::start(&options)
        .map_err(|e| Failure::because(Exit::Hardware, "starting the simulated site", &e))?;
    // Each start of the demo uses the configuration of this program, also in a directory of an older one.
    let bootstrap = Bootstrap::find(
        state.path(),
        Some(&file),
        state.path().join("status").exists(),
    )?;
    let config = config::check_or_report(bootstrap.text(), &file.display().to_string())?;
    let board = Box::new(Simulated {
        site,
        file,
        temporary: state.is_temporary(),
        #[cfg(feature = "fleet")]
        vehicles: (mqtt, args.seed),
    });
    gateway::run(Plan {
        config,
        bootstrap,
        state: state.path().to_path_buf(),
        bind: Some(args.bind),
        board,
    })
}

fn prepare(dir: &Path, mqtt: u16) -> std::io::Result<PathBuf> {
    std::fs::create_dir_all(dir.join("dev"))?;
    let file = dir.join("leitstand.toml");
    // Escaped, because a directory's name may hold what means something in TOML.
    let name = dir
        .display()
        .to_string()
        .replace('\\', "\\\\")
        .replace('"', "\\\"");
    let text = CONFIG.join("\n").replace("@DIR@", &name);
    let text = text.replace("127.0.0.1:1883", &format!("127.0.0.1:{mqtt}"));
    std::fs::write(&file, text)?;
    #[cfg(feature = "panel")]
    media::write(
        &dir.join("media"),
        u16::from(leitstand_hal_mock::site::BUTTONS),
    )?;
    Ok(file)
}

/// The demo's directory.
enum State {
    Kept(PathBuf),
    /// Removed at the end.
    Temporary(PathBuf),
}

impl State {
    fn kept(dir: PathBuf) -> Result<Self, Failure> {
        let dir = std::path::absolute(&dir).unwrap_or(dir);
        create(&dir)?;
        Ok(Self::Kept(dir))
    }

    fn temporary() -> Result<Self, Failure> {
        // The process id is unique among the living; a dead one's leftovers get the next number.
        let pid = std::process::id();
        for n in 0..1000 {
            let dir = std::env::temp_dir().join(format!("leitstand-demo-{pid}-{n}"));
            if !dir.exists() {
                create(&dir)?;
                return Ok(Self::Temporary(dir));
            }
        }
        Err(Failure::new(
            Exit::Internal,
            "no free name in the temporary directory",
        ))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(dir) | Self::Temporary(dir) => dir,
        }
    }

    fn is_temporary(&self) -> bool {
        matches!(self, Self::Temporary(_))
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if let Self::Temporary(dir) = self
            && let Err(error) = std::fs::remove_dir_all(&*dir)
        {
            tracing::warn!(%error, dir = %dir.display(), "removing the demo's directory");
        }
    }
}

/// Only its owner may look into it: it holds users and tokens.
fn create(dir: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|e| {
            Failure::because(
                Exit::RuntimeInformation,
                &format!("creating {}", dir.display()),
                &e,
            )
        })
}

/// The simulated far side.
struct Simulated {
    site: Site,
    file: PathBuf,
    temporary: bool,
    /// Port of the demo's broker, and the seed of the vehicles that connect to it.
    #[cfg(feature = "fleet")]
    vehicles: (u16, u64),
}

impl Board for Simulated {
    fn simulated(&self) -> bool {
        true
    }

    #[cfg(feature = "gas")]
    fn mains(&self, _: &leitstand_gas::site::GasSite) -> Option<Box<dyn MainsSense>> {
        Some(Box::new(self.site.handle().mains()))
    }

    #[cfg(feature = "gas")]
    fn battery(&self, _: &leitstand_gas::site::GasSite) -> Option<Box<dyn BatteryGauge>> {
        Some(Box::new(self.site.handle().battery()))
    }

    #[cfg(feature = "gas")]
    fn registers(&self) -> FindRegister {
        std::sync::Arc::new(|_| Some(Box::new(|| Ok(Box::new(chips::Board::new()?)))))
    }

    fn routes(&self) -> OpenApiRouter {
        sim::routes(self.site.handle())
    }

    fn announce(&self, url: &str) {
        #[cfg(feature = "fleet")]
        vehicles::start(self.vehicles.0, self.vehicles.1);
        let gone = if self.temporary {
            ", which is removed at the end"
        } else {
            ""
        };
        let dir = self.file.parent().unwrap_or(Path::new("."));
        say("");
        say("A simulated garage and a wall of buttons. Nothing you see is real.");
        say(web::NOTICE);
        say("");
        say(format!("  Open           {url}/"));
        say(format!("  Configuration  {}", self.file.display()));
        say(format!("  Everything is in {}{gone}.", dir.display()));
        say("  Stop           Ctrl+C");
    }
}
