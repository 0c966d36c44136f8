//! Which configuration is in force: the copy in the state directory, or on the first start the file.
//!
//! The file `status` in the state directory is the gateway's runtime information: the configuration that was
//! accepted, where it came from, and how often the gateway started. It survives a power cut at any byte
//! ([`state_file`]). Services keep their own memory beside it.

use crate::exit::Failure;
use leitstand_kit::Exit;
use leitstand_kit::store::state_file::{self, Generation, LoadError};
use leitstand_kit::words::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};

/// Where a configuration is looked for when neither `--config` nor `$LEITSTAND_CONFIG` names one.
pub(crate) const SEARCHED: [&str; 3] = [
    "/boot/firmware/leitstand.toml",
    "/boot/leitstand.toml",
    "/etc/leitstand/leitstand.toml",
];

/// Layout of the file's content. Reasoning: a version of its own, because the file outlives the program.
const FORMAT: u32 = 1;

/// Content of `status`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Status {
    format: u32,
    /// The program that wrote it.
    version: String,
    /// The configuration in force.
    config: String,
    /// The file it came from, for messages and relative paths.
    file: PathBuf,
    /// SHA-256 of that file's bytes when it was read.
    sha256: String,
    /// Counts up with every other configuration, from 1.
    #[serde(default = "first")]
    number: u64,
    /// Starts of the gateway, this one included.
    starts: u64,
    /// Whether the last run ended by a stop and not by a power cut.
    stopped: bool,
}

/// Files of before the count have their first configuration.
const fn first() -> u64 {
    1
}

/// The configuration in force and where it came from.
#[derive(Debug)]
pub(crate) struct Bootstrap {
    path: PathBuf,
    status: Status,
    /// The file differs from the copy in force.
    pub(crate) drift: bool,
    /// The newest copy was damaged; the one before it is in use.
    pub(crate) recovered: bool,
    /// The run before ended without a stop.
    pub(crate) unclean: bool,
}

impl Bootstrap {
    /// Finds the configuration. Nothing is written yet: what does not pass the check must not become the copy.
    ///
    /// # Errors
    /// Exit 2 when there is no configuration, 3 when both copies are damaged.
    pub(crate) fn find(
        state: &Path,
        config: Option<&Path>,
        rebootstrap: bool,
    ) -> Result<Self, Failure> {
        let path = state.join("status");
        let saved = match state_file::load(&path) {
            Ok(loaded) => Some(loaded),
            Err(LoadError::Missing(_)) => None,
            Err(error) if rebootstrap => {
                tracing::warn!(%error, "starting anew from the configuration file");
                None
            }
            Err(error @ LoadError::BothCorrupt(_)) => {
                let advice = "reading the runtime information (to start from the configuration file: --rebootstrap)";
                return Err(Failure::because(Exit::RuntimeInformation, advice, &error));
            }
            Err(error) => {
                return Err(Failure::because(
                    Exit::RuntimeInformation,
                    "reading the runtime information",
                    &error,
                ));
            }
        };
        let file = locate(config);
        let Some(loaded) = saved else {
            let Some(file) = file else {
                return Err(nothing_found(config, &path));
            };
            return Ok(Self {
                path,
                status: read(&file)?,
                drift: false,
                recovered: false,
                unclean: false,
            });
        };
        let recovered = loaded.generation == Generation::Previous;
        let mut status: Status = serde_json::from_slice(&loaded.bytes).map_err(|e| {
            Failure::because(
                Exit::RuntimeInformation,
                "understanding the runtime information",
                &e,
            )
        })?;
        if status.format != FORMAT {
            return Err(Failure::new(
                Exit::RuntimeInformation,
                format!(
                    "{} has format {}, this program knows {FORMAT}",
                    path.display(),
                    status.format
                ),
            ));
        }
        let unclean = !status.stopped;
        let mut drift = false;
        match file {
            Some(file) if rebootstrap => {
                let fresh = read(&file)?;
                status = Status {
                    starts: status.starts,
                    number: status.number + u64::from(fresh.config != status.config),
                    ..fresh
                };
            }
            Some(file) => {
                drift = std::fs::read(&file).is_ok_and(|bytes| digest(&bytes) != status.sha256)
            }
            None if rebootstrap => return Err(nothing_found(config, &path)),
            None => {}
        }
        Ok(Self {
            path,
            status,
            drift,
            recovered,
            unclean,
        })
    }

    /// The text to check and use.
    pub(crate) fn text(&self) -> &str {
        &self.status.config
    }

    /// The file it came from, for messages.
    pub(crate) fn file(&self) -> &Path {
        &self.status.file
    }

    /// Where relative paths in it start.
    pub(crate) fn config_dir(&self) -> PathBuf {
        self.status
            .file
            .parent()
            .map(Path::to_path_buf)
            .unwrap_or_default()
    }

    /// Starts so far, once [`begin`](Self::begin) was called.
    pub(crate) fn starts(&self) -> u64 {
        self.status.starts
    }

    /// The configuration passed its check and the gateway starts with it: from now on it is the copy in force.
    ///
    /// # Errors
    /// Exit 3 when the state directory cannot be written.
    pub(crate) fn begin(&mut self) -> Result<(), Failure> {
        self.status.starts += 1;
        self.status.stopped = false;
        self.status.version = env!("CARGO_PKG_VERSION").to_owned();
        self.save()?;
        // Twice, so that a previous generation exists from the first start on.
        self.save()
    }

    /// The number of the configuration in force.
    pub(crate) fn number(&self) -> u64 {
        self.status.number
    }

    /// Another configuration is in force from now on, as if it had been in the file. The file itself stays.
    ///
    /// # Errors
    /// As [`begin`](Self::begin); the configuration before it stays in force.
    pub(crate) fn replace(&mut self, text: &str) -> Result<(), Failure> {
        let before = self.status.clone();
        text.clone_into(&mut self.status.config);
        self.status.number += 1;
        let saved = self.save();
        if saved.is_err() {
            self.status = before;
        }
        saved
    }

    /// The gateway stopped as it was told to.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub(crate) fn end(&mut self) -> Result<(), Failure> {
        self.status.stopped = true;
        self.save()
    }

    fn save(&self) -> Result<(), Failure> {
        let bytes = serde_json::to_vec(&self.status)
            .map_err(|e| Failure::because(Exit::Internal, "writing the runtime information", &e))?;
        state_file::save(&self.path, &bytes).map_err(|e| {
            Failure::because(
                Exit::RuntimeInformation,
                "writing the runtime information",
                &e,
            )
        })
    }
}

fn locate(config: Option<&Path>) -> Option<PathBuf> {
    match config {
        Some(file) => file.is_file().then(|| absolute(file)),
        None => SEARCHED.iter().map(PathBuf::from).find(|f| f.is_file()),
    }
}

/// Relative paths in the file must mean the same after a start from another directory.
fn absolute(file: &Path) -> PathBuf {
    std::path::absolute(file).unwrap_or_else(|_| file.to_path_buf())
}

fn read(file: &Path) -> Result<Status, Failure> {
    let doing = format!("reading {}", file.display());
    let bytes =
        std::fs::read(file).map_err(|e| Failure::because(Exit::Configuration, &doing, &e))?;
    let sha256 = digest(&bytes);
    let config = String::from_utf8(bytes)
        .map_err(|e| Failure::because(Exit::Configuration, &doing, &e.utf8_error()))?;
    Ok(Status {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        config,
        file: file.to_path_buf(),
        sha256,
        number: 1,
        starts: 0,
        stopped: true,
    })
}

/// SHA-256 in hex.
pub(crate) fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn nothing_found(config: Option<&Path>, status: &Path) -> Failure {
    let looked = match config {
        Some(file) => file.display().to_string(),
        None => SEARCHED.join(", "),
    };
    Failure::new(
        Exit::Configuration,
        format!(
            "no configuration: neither {looked} nor {} exists",
            status.display()
        ),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    struct Dir(tempfile::TempDir);

    impl Dir {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn config(&self, text: &str) -> PathBuf {
            let file = self.0.path().join("leitstand.toml");
            std::fs::write(&file, text).unwrap();
            file
        }

        fn find(&self, config: &Path) -> Result<Bootstrap, Failure> {
            Bootstrap::find(self.0.path(), Some(config), false)
        }

        fn started(&self, text: &str) -> PathBuf {
            let file = self.config(text);
            self.find(&file).unwrap().begin().unwrap();
            file
        }

        fn truncate(&self, name: &str) {
            let path = self.0.path().join(name);
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        }
    }

    #[test]
    fn without_any_file_both_places_are_named() {
        let dir = Dir::new();
        let failure = dir.find(&dir.0.path().join("gone.toml")).unwrap_err();
        let text = format!("{failure:?}");
        assert!(
            text.contains("gone.toml") && text.contains("/status"),
            "{text}"
        );
    }

    #[test]
    fn the_copy_outlives_the_file() {
        let dir = Dir::new();
        let file = dir.started("site = \"A\"");
        std::fs::remove_file(&file).unwrap();
        let again = dir.find(&file).unwrap();
        assert_eq!(
            (again.text(), again.drift, again.recovered),
            ("site = \"A\"", false, false)
        );
    }

    #[test]
    fn an_edited_file_is_drift_until_it_is_taken_over() {
        let dir = Dir::new();
        let file = dir.started("site = \"A\"");
        dir.config("site = \"B\"");
        let again = dir.find(&file).unwrap();
        assert_eq!((again.text(), again.drift), ("site = \"A\"", true));
        let mut taken = Bootstrap::find(dir.0.path(), Some(&file), true).unwrap();
        assert_eq!((taken.text(), taken.drift), ("site = \"B\"", false));
        taken.begin().unwrap();
        assert_eq!(taken.starts(), 2);
        assert!(!dir.find(&file).unwrap().drift);
    }

    #[test]
    fn a_damaged_copy_falls_back_to_the_one_before() {
        let dir = Dir::new();
        let file = dir.started("site = \"A\"");
        dir.truncate("status");
        let again = dir.find(&file).unwrap();
        assert_eq!((again.text(), again.recovered), ("site = \"A\"", true));
    }

    #[test]
    fn two_damaged_copies_need_a_person() {
        let dir = Dir::new();
        let file = dir.started("site = \"A\"");
        dir.truncate("status");
        dir.truncate("status.1");
        let failure = dir.find(&file).unwrap_err();
        assert!(format!("{failure:?}").contains("RuntimeInformation"));
        assert!(Bootstrap::find(dir.0.path(), Some(&file), true).is_ok());
    }

    #[test]
    fn a_power_cut_is_told_from_a_stop() {
        let dir = Dir::new();
        let file = dir.config("site = \"A\"");
        let mut first = dir.find(&file).unwrap();
        first.begin().unwrap();
        assert!(dir.find(&file).unwrap().unclean);
        first.end().unwrap();
        assert!(!dir.find(&file).unwrap().unclean);
    }
}
