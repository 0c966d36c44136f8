//! What a container can be: files, limits, command. And the digest that tells a client what it got (decisions.md 31).

use std::{
    collections::HashMap,
    fs, io,
    io::Read as _,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde_json::json;
use sha2::{Digest as _, Sha256};

use leitstand_kit::words::hex;

/// Files of an image that are hashed. Reasoning: a Debian minbase has 9 thousand; this is a runaway stop.
const FILES_MAX: usize = 500_000;

/// Where a container's files come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// This machine's own userland.
    Host,
    /// A root file system.
    Dir(PathBuf),
    /// An unpacked OCI bundle: `rootfs/` below it.
    Oci(PathBuf),
}

/// A checked profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// Its files.
    pub kind: Kind,
    /// Memory, tmpfs included.
    pub memory_bytes: u64,
    /// Thousandths of a processor.
    pub cpu_millis: u32,
    /// Processes and threads.
    pub pids: u32,
    /// Size of the private writable part.
    pub disk_bytes: u64,
    /// Runs instead of waiting for logins.
    pub command: Vec<String>,
}

impl Profile {
    /// What there is without any configuration: no image to fetch.
    #[must_use]
    pub fn host_userland() -> Self {
        Self {
            name: "host-userland".into(),
            kind: Kind::Host,
            memory_bytes: 256 << 20,
            cpu_millis: 1000,
            pids: 128,
            disk_bytes: 128 << 20,
            command: Vec::new(),
        }
    }

    /// The folder that becomes `/`; relative ones start at `base`.
    #[must_use]
    pub fn root(&self, base: &Path) -> Option<PathBuf> {
        match &self.kind {
            Kind::Host => None,
            Kind::Dir(path) => Some(base.join(path)),
            Kind::Oci(path) => Some(base.join(path).join("rootfs")),
        }
    }
}

/// Digests of images, remembered until something in them changes.
#[derive(Default)]
pub struct Digests(Mutex<HashMap<PathBuf, (i128, String)>>);

impl Digests {
    /// 64 hex digits. Walks the whole image, and reads it when it changed: call it where blocking is fine.
    ///
    /// # Errors
    /// The image is not there or cannot be read.
    pub fn of(&self, profile: &Profile, base: &Path) -> io::Result<String> {
        let Some(root) = profile.root(base) else {
            return Ok(host_digest(profile));
        };
        let mut paths = Vec::new();
        walk(&root, &mut paths)?;
        paths.sort();
        let mut newest = paths.len() as i128;
        for path in &paths {
            let meta = fs::symlink_metadata(path)?;
            newest = newest
                .max(i128::from(meta.ctime()) * 1_000_000_000 + i128::from(meta.ctime_nsec()));
        }
        if let Some((at, digest)) = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&root)
            && *at == newest
        {
            return Ok(digest.clone());
        }
        let mut manifest = Sha256::new();
        for path in &paths {
            manifest.update(line(&root, path)?);
        }
        let digest = hex(&manifest.finalize());
        let entry = (newest, digest.clone());
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(root, entry);
        Ok(digest)
    }
}

fn host_digest(profile: &Profile) -> String {
    // Keys of a `json!` object are sorted: the canonical form.
    let canonical = json!({
        "name": profile.name, "kind": "host", "memory_bytes": profile.memory_bytes, "cpu_millis": profile.cpu_millis,
        "pids": profile.pids, "disk_bytes": profile.disk_bytes, "command": profile.command,
    });
    let mut hash = Sha256::new();
    hash.update(canonical.to_string());
    hash.update(fs::read("/etc/os-release").unwrap_or_default());
    hex(&hash.finalize())
}

fn walk(dir: &Path, paths: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if paths.len() >= FILES_MAX {
            return Err(io::Error::other(format!("more than {FILES_MAX} files")));
        }
        paths.push(entry.path());
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), paths)?;
        }
    }
    Ok(())
}

/// `path mode size sha256-or-target`.
fn line(root: &Path, path: &Path) -> io::Result<Vec<u8>> {
    use std::os::unix::ffi::OsStrExt as _;
    let meta = fs::symlink_metadata(path)?;
    let mut line = path
        .strip_prefix(root)
        .unwrap_or(path)
        .as_os_str()
        .as_bytes()
        .to_vec();
    line.extend(format!(" {:o} ", meta.permissions().mode()).bytes());
    if meta.is_symlink() {
        line.extend(fs::read_link(path)?.as_os_str().as_bytes());
    } else if meta.is_file() {
        let mut hash = Sha256::new();
        let mut file = fs::File::open(path)?;
        let mut block = vec![0; 64 * 1024];
        loop {
            let n = file.read(&mut block)?;
            if n == 0 {
                break;
            }
            hash.update(&block[..n]);
        }
        line.extend(format!("{} {}", meta.len(), hex(&hash.finalize())).bytes());
    }
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_digest_follows_the_files() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("bin")).unwrap();
        fs::write(dir.path().join("bin/a"), "1").unwrap();
        let profile = Profile {
            kind: Kind::Dir(dir.path().into()),
            ..Profile::host_userland()
        };
        let digests = Digests::default();
        let first = digests.of(&profile, Path::new("/")).unwrap();
        assert_eq!(first.len(), 64);
        assert_eq!(digests.of(&profile, Path::new("/")).unwrap(), first);
        fs::write(dir.path().join("bin/b"), "2").unwrap();
        assert_ne!(digests.of(&profile, Path::new("/")).unwrap(), first);
        fs::remove_dir_all(dir.path()).unwrap();
        assert!(digests.of(&profile, Path::new("/")).is_err());
    }

    #[test]
    fn a_hosts_digest_follows_the_profile() {
        let a = Profile::host_userland();
        let b = Profile {
            pids: 1,
            ..a.clone()
        };
        assert_ne!(host_digest(&a), host_digest(&b));
    }
}
