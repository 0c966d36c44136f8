//! The file system of a container: a read-only image or the host's own userland, a private writable part in memory,
//! a few harmless devices, its own /proc. Built on a tmpfs over /tmp of our own mount namespace, then pivoted to.

use std::{
    ffi::CString,
    fs, io,
    os::{
        fd::AsRawFd as _,
        unix::fs::{PermissionsExt as _, symlink},
    },
    path::Path,
};

use rustix::{
    fs::{CWD, FileType, Mode, OFlags, mknodat, open},
    mount::{
        MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive,
        mount_change, mount_remount, unmount,
    },
    process::{chdir, pivot_root},
};

use super::{INNER_UID, step};
use crate::ns::message::Launch;

const STAGE: &str = "/tmp";
const ROOT: &str = "/tmp/root";
/// Folder of what the gateway puts into every container.
pub(super) const OURS: &str = "/run/leitstand";
/// Harmless devices.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// What of /proc tells about the host, or acts on it.
const MASKED: [&str; 9] = [
    "kcore",
    "keys",
    "sysrq-trigger",
    "timer_list",
    "sched_debug",
    "kallsyms",
    "kpagecount",
    "kmsg",
    "latency_stats",
];
/// Single files of the host's /etc that its programs need; none holds a secret.
const ETC_FILES: [&str; 12] = [
    "ld.so.cache",
    "ld.so.conf",
    "os-release",
    "debian_version",
    "bash.bashrc",
    "profile",
    "services",
    "protocols",
    "mime.types",
    "inputrc",
    "localtime",
    "login.defs",
];
/// Folders of the host's /etc, likewise.
const ETC_DIRS: [&str; 4] = ["alternatives", "ssl/certs", "ld.so.conf.d", "terminfo"];

const PLAIN: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);

/// Builds it and makes it `/`.
pub(super) fn build(launch: &Launch, notes: &mut Vec<String>) -> Result<(), String> {
    step(
        "private mounts",
        mount_change(
            "/",
            MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
        ),
    )?;
    // The image is opened before the stage covers /tmp, where it may lie.
    let image = match &launch.root {
        Some(path) => Some(step(
            "image",
            open(
                path,
                OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
            ),
        )?),
        None => None,
    };
    step("stage", tmpfs(STAGE, launch.disk_bytes, 0o755))?;
    step("stage", fs::create_dir(ROOT))?;
    match image {
        Some(image) => overlay(&format!("/proc/self/fd/{}", image.as_raw_fd()), notes)?,
        None => {
            step("root", mount_bind_recursive(ROOT, ROOT))?;
            step("host's userland", host_userland())?;
        }
    }
    step("folders", folders(&launch.username))?;
    step("accounts", accounts(&launch.username))?;
    step("devices", devices())?;
    step("proc", proc())?;
    step("pivot", pivot())?;
    step("home", chdir(format!("/home/{}", launch.username)))
}

fn tmpfs(target: &str, bytes: u64, mode: u32) -> io::Result<()> {
    let options = CString::new(format!("size={bytes},mode={mode:o},nr_inodes=65536"))?;
    Ok(mount("tmpfs", target, "tmpfs", PLAIN, options.as_c_str())?)
}

/// The image below, what is written above it.
fn overlay(lower: &str, notes: &mut Vec<String>) -> Result<(), String> {
    step(
        "overlay",
        fs::create_dir("/tmp/upper").and_then(|()| fs::create_dir("/tmp/work")),
    )?;
    let with = |more: &str| {
        let options = CString::new(format!(
            "lowerdir={lower},upperdir=/tmp/upper,workdir=/tmp/work{more}"
        ))?;
        Ok::<_, io::Error>(mount(
            "overlay",
            ROOT,
            "overlay",
            PLAIN,
            options.as_c_str(),
        )?)
    };
    let Err(error) = with(",userxattr").or_else(|_| with("")) else {
        return Ok(());
    };
    // Kernels before 5.11, and images on file systems that cannot be below.
    notes.push(format!("the image is read-only: no overlay ({error})"));
    step("image", mount_bind_recursive(lower, ROOT))?;
    step("image", read_only(ROOT))?;
    for dir in ["home", "tmp", "run", "var/tmp", "etc"] {
        let target = format!("{ROOT}/{dir}");
        if Path::new(&target).is_dir() {
            step("private folders", tmpfs(&target, 64 << 20, 0o755))?;
        }
    }
    Ok(())
}

/// This machine's programs and libraries, read-only; nothing of its data.
fn host_userland() -> io::Result<()> {
    for name in ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
        let (from, to) = (format!("/{name}"), format!("{ROOT}/{name}"));
        let Ok(meta) = fs::symlink_metadata(&from) else {
            continue;
        };
        if meta.is_symlink() {
            symlink(fs::read_link(&from)?, &to)?;
        } else {
            fs::create_dir(&to)?;
            mount_bind_recursive(&from, &to)?;
            read_only(&to)?;
        }
    }
    let etc = format!("{ROOT}/etc");
    fs::create_dir(&etc)?;
    for file in ETC_FILES {
        // A copy is cheaper than a mount. What is not there or not for everybody is left out.
        let _ = fs::copy(format!("/etc/{file}"), format!("{etc}/{file}"));
    }
    for dir in ETC_DIRS {
        let (from, to) = (format!("/etc/{dir}"), format!("{etc}/{dir}"));
        if Path::new(&from).is_dir() {
            fs::create_dir_all(&to)?;
            mount_bind_recursive(&from, &to)?;
            read_only(&to)?;
        }
    }
    Ok(())
}

/// Makes a mount and all below it read-only. Flags that the host locked must be repeated, so they are read first.
fn read_only(target: &str) -> io::Result<()> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    for line in table.lines() {
        let mut fields = line.split(' ').skip(4);
        let (Some(path), Some(options)) = (fields.next(), fields.next()) else {
            continue;
        };
        let path = unescape(path);
        if path != target && !path.starts_with(&format!("{target}/")) {
            continue;
        }
        let mut flags = MountFlags::BIND | MountFlags::RDONLY | PLAIN;
        for option in options.split(',') {
            flags |= match option {
                "noexec" => MountFlags::NOEXEC,
                "noatime" => MountFlags::NOATIME,
                "nodiratime" => MountFlags::NODIRATIME,
                "relatime" => MountFlags::RELATIME,
                _ => MountFlags::empty(),
            };
        }
        mount_remount(path.as_str(), flags, c"")?;
    }
    Ok(())
}

/// `\040` and its like.
fn unescape(path: &str) -> String {
    ["\\040", "\\011", "\\012", "\\134"]
        .iter()
        .zip([" ", "\t", "\n", "\\"])
        .fold(path.to_owned(), |p, (from, to)| p.replace(from, to))
}

fn make_dir(path: &str, mode: u32) -> io::Result<()> {
    let path = format!("{ROOT}{path}");
    fs::create_dir_all(&path)?;
    // An image's own folder may not be ours to change; it has its permissions then.
    let _ = fs::set_permissions(&path, fs::Permissions::from_mode(mode));
    Ok(())
}

fn folders(username: &str) -> io::Result<()> {
    for dir in [
        "/etc", "/home", "/run", "/var", "/root", "/srv", "/mnt", "/opt", "/sys",
    ] {
        make_dir(dir, 0o755)?;
    }
    for dir in ["/tmp", "/var/tmp"] {
        make_dir(dir, 0o1777)?;
    }
    make_dir(&format!("/home/{username}"), 0o700)?;
    make_dir(&format!("{OURS}/bin"), 0o755)?;
    mknodat(
        CWD,
        format!("{ROOT}{OURS}/power"),
        FileType::Fifo,
        Mode::from_raw_mode(0o600),
        0,
    )?;
    let poweroff = format!("{ROOT}{OURS}/bin/poweroff");
    fs::write(&poweroff, format!("#!/bin/sh\necho > {OURS}/power\n"))?;
    fs::set_permissions(&poweroff, fs::Permissions::from_mode(0o755))?;
    symlink("poweroff", format!("{ROOT}{OURS}/bin/halt"))?;
    symlink("poweroff", format!("{ROOT}{OURS}/bin/reboot"))
}

/// The account joins those of the image.
fn accounts(username: &str) -> io::Result<()> {
    let shell = shell(ROOT);
    let add = |name: &str, line: String, least: &str| {
        let path = format!("{ROOT}/etc/{name}");
        let mut text = fs::read_to_string(&path).unwrap_or_else(|_| least.to_owned());
        text.push_str(&line);
        // In an overlay the image's file belongs to somebody else: the new one takes its place.
        let fresh = format!("{path}.leitstand");
        fs::write(&fresh, text)?;
        fs::rename(fresh, path)
    };
    add(
        "passwd",
        format!("{username}:x:{INNER_UID}:{INNER_UID}::/home/{username}:{shell}\n"),
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
    )?;
    add(
        "group",
        format!("{username}:x:{INNER_UID}:\n"),
        "root:x:0:\nnogroup:x:65534:\n",
    )?;
    let write = |name: &str, text: &str| {
        let path = format!("{ROOT}/etc/{name}");
        let _ = fs::remove_file(&path);
        fs::write(path, text)
    };
    write("hostname", "container\n")?;
    write("hosts", "127.0.0.1 localhost container\n::1 localhost\n")?;
    write("resolv.conf", "# There is no network here.\n")?;
    write(
        "nsswitch.conf",
        "passwd: files\ngroup: files\nhosts: files\n",
    )
}

/// The account's shell, by what the image has.
pub(super) fn shell(root: &str) -> &'static str {
    ["/bin/bash", "/usr/bin/bash"]
        .into_iter()
        .find(|shell| Path::new(&format!("{root}{shell}")).exists())
        .unwrap_or("/bin/sh")
}

fn devices() -> io::Result<()> {
    let dev = format!("{ROOT}/dev");
    fs::create_dir_all(&dev)?;
    tmpfs(&dev, 64 << 20, 0o755)?;
    for device in DEVICES {
        let to = format!("{dev}/{device}");
        fs::write(&to, "")?;
        mount_bind(format!("/dev/{device}"), &to)?;
    }
    fs::create_dir(format!("{dev}/shm"))?;
    fs::set_permissions(format!("{dev}/shm"), fs::Permissions::from_mode(0o1777))?;
    fs::create_dir(format!("{dev}/pts"))?;
    mount(
        "devpts",
        format!("{dev}/pts"),
        "devpts",
        MountFlags::NOSUID | MountFlags::NOEXEC,
        c"newinstance,ptmxmode=0666,mode=0620",
    )?;
    for (name, target) in [
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "fd/0"),
        ("stdout", "fd/1"),
        ("stderr", "fd/2"),
    ] {
        symlink(target, format!("{dev}/{name}"))?;
    }
    Ok(())
}

fn proc() -> io::Result<()> {
    let proc = format!("{ROOT}/proc");
    fs::create_dir_all(&proc)?;
    mount("proc", &proc, "proc", PLAIN | MountFlags::NOEXEC, c"")?;
    for name in MASKED {
        let path = format!("{proc}/{name}");
        if Path::new(&path).exists() {
            mount_bind("/dev/null", &path)?;
        }
    }
    Ok(())
}

fn pivot() -> io::Result<()> {
    chdir(ROOT)?;
    // The old root is stacked on the new one, and taken off it: no folder is needed for it.
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    Ok(chdir("/")?)
}
