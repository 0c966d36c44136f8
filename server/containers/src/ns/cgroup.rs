//! Limits and figures by control groups: version 2 where it is delegated, version 1 on hybrid hosts, else none, and
//! whoever asks is told which.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{backend::Stats, id::ContainerId};

const MOUNT: &str = "/sys/fs/cgroup";

/// What to limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) memory: u64,
    pub(super) pids: u32,
    pub(super) cpu_millis: u32,
}

/// What this machine offers.
#[derive(Clone, Debug)]
pub(super) enum Hierarchy {
    /// One tree; the folder that containers' folders are in.
    V2(PathBuf),
    /// A tree for each controller.
    V1(Vec<(Controller, PathBuf)>),
    /// Nothing that we may write to.
    None,
}

/// Controllers of version 1 that are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Controller {
    Memory,
    Pids,
    Cpu,
    CpuAcct,
    Freezer,
}

impl Controller {
    const ALL: [(Self, &str); 5] = [
        (Self::Memory, "memory"),
        (Self::Pids, "pids"),
        (Self::Cpu, "cpu"),
        (Self::CpuAcct, "cpuacct"),
        (Self::Freezer, "freezer"),
    ];
}

/// A container's folders.
#[derive(Debug)]
pub(super) enum Group {
    V2(PathBuf),
    V1(Vec<(Controller, PathBuf)>),
}

impl Hierarchy {
    /// Looks at what there is; `tag` names this gateway's folder.
    pub(super) fn detect(tag: &str) -> Self {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let folder = format!("leitstand-{tag}");
        if let Some(base) = v2(&own, &folder) {
            return Self::V2(base);
        }
        let found: Vec<_> = Controller::ALL
            .into_iter()
            .filter_map(|(controller, name)| {
                let path = own.lines().find_map(|line| {
                    let mut parts = line.splitn(3, ':').skip(1);
                    let controllers = parts.next()?;
                    controllers
                        .split(',')
                        .any(|c| c == name)
                        .then(|| parts.next())
                        .flatten()
                })?;
                let here = Path::new(MOUNT)
                    .join(name)
                    .join(path.trim_start_matches('/'));
                // In a root without this mount the folders would be made as ordinary ones, and limit nothing.
                if !here.join("cgroup.procs").is_file() {
                    return None;
                }
                let base = here.join(&folder);
                // Made and removed again: the only honest way to ask.
                let usable = fs::create_dir_all(&base).is_ok();
                let _ = fs::remove_dir(&base);
                usable.then_some((controller, base))
            })
            .collect();
        if found.is_empty() {
            Self::None
        } else {
            Self::V1(found)
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::V2(_) => "cgroup v2",
            Self::V1(_) => "cgroup v1",
            Self::None => "rlimits only",
        }
    }

    fn has(&self, controller: Controller) -> bool {
        match self {
            Self::V2(_) => true,
            Self::V1(found) => found.iter().any(|(c, _)| *c == controller),
            Self::None => false,
        }
    }

    pub(super) fn limits_memory(&self) -> bool {
        self.has(Controller::Memory)
    }

    pub(super) fn limits_pids(&self) -> bool {
        self.has(Controller::Pids)
    }

    /// What is weaker than it should be.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.limits_memory() {
            notes.push(
                "memory is limited for each process only: no memory cgroup can be written"
                    .to_owned(),
            );
        }
        if !self.limits_pids() {
            notes.push(
                "processes are limited by account only: no pids cgroup can be written".to_owned(),
            );
        }
        if !self.has(Controller::Cpu) {
            notes.push("processor time is not limited: no cpu cgroup can be written".to_owned());
        }
        if !self.has(Controller::Freezer) {
            notes.push("pause is not available: no freezer can be written".to_owned());
        }
        notes
    }

    /// Makes a container's folders with their limits.
    pub(super) fn create(&self, id: ContainerId, limits: Limits) -> io::Result<Group> {
        let group = self.find(id);
        let made = group.make(limits);
        if made.is_err() {
            let _ = group.remove();
        }
        made.map(|()| group)
    }

    /// A container's folders, there or not.
    pub(super) fn find(&self, id: ContainerId) -> Group {
        match self {
            Self::V2(base) => Group::V2(base.join(id.to_string())),
            Self::V1(found) => Group::V1(
                found
                    .iter()
                    .map(|(c, base)| (*c, base.join(id.to_string())))
                    .collect(),
            ),
            Self::None => Group::V1(Vec::new()),
        }
    }

    /// Removes the gateway's own folders, when no container is in them.
    pub(super) fn clean(&self) {
        match self {
            Self::V2(base) => drop(fs::remove_dir(base)),
            Self::V1(found) => found
                .iter()
                .for_each(|(_, base)| drop(fs::remove_dir(base))),
            Self::None => {}
        }
    }

    /// Containers that have folders.
    pub(super) fn list(&self) -> Vec<ContainerId> {
        let bases: Vec<&PathBuf> = match self {
            Self::V2(base) => vec![base],
            Self::V1(found) => found.iter().map(|(_, base)| base).collect(),
            Self::None => Vec::new(),
        };
        let entries = bases
            .into_iter()
            .filter_map(|base| fs::read_dir(base).ok())
            .flatten()
            .flatten();
        entries
            .filter_map(|e| e.file_name().to_str()?.parse().ok())
            .collect()
    }
}

/// The folder for containers in a delegated tree of version 2, or `None`.
fn v2(own: &str, folder: &str) -> Option<PathBuf> {
    let mount = Path::new(MOUNT);
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    let here = mount.join(path.trim_start_matches('/'));
    let offered = fs::read_to_string(here.join("cgroup.controllers")).ok()?;
    let needed = ["memory", "pids", "cpu"];
    if !needed
        .iter()
        .all(|c| offered.split_whitespace().any(|o| o == *c))
    {
        return None;
    }
    // Controllers are for folders without processes: ours move into one of their own first.
    if path != "/" {
        let gateway = here.join("gateway");
        fs::create_dir_all(&gateway).ok()?;
        for pid in fs::read_to_string(here.join("cgroup.procs")).ok()?.lines() {
            let _ = fs::write(gateway.join("cgroup.procs"), pid);
        }
    }
    fs::write(here.join("cgroup.subtree_control"), "+memory +pids +cpu").ok()?;
    let base = here.join(folder);
    fs::create_dir_all(&base).ok()?;
    fs::write(base.join("cgroup.subtree_control"), "+memory +pids +cpu").ok()?;
    Some(base)
}

impl Group {
    fn make(&self, limits: Limits) -> io::Result<()> {
        const PERIOD_US: u64 = 100_000;
        let quota = u64::from(limits.cpu_millis) * PERIOD_US / 1000;
        match self {
            Self::V2(dir) => {
                fs::create_dir_all(dir)?;
                fs::write(dir.join("memory.max"), limits.memory.to_string())?;
                // Absent without swap accounting.
                let _ = fs::write(dir.join("memory.swap.max"), "0");
                fs::write(dir.join("pids.max"), limits.pids.to_string())?;
                fs::write(dir.join("cpu.max"), format!("{quota} {PERIOD_US}"))
            }
            Self::V1(dirs) => {
                for (controller, dir) in dirs {
                    fs::create_dir_all(dir)?;
                    match controller {
                        Controller::Memory => {
                            fs::write(
                                dir.join("memory.limit_in_bytes"),
                                limits.memory.to_string(),
                            )?;
                            let _ = fs::write(
                                dir.join("memory.memsw.limit_in_bytes"),
                                limits.memory.to_string(),
                            );
                        }
                        Controller::Pids => {
                            fs::write(dir.join("pids.max"), limits.pids.to_string())?
                        }
                        Controller::Cpu => {
                            fs::write(dir.join("cpu.cfs_period_us"), PERIOD_US.to_string())?;
                            fs::write(dir.join("cpu.cfs_quota_us"), quota.to_string())?;
                        }
                        Controller::CpuAcct | Controller::Freezer => {}
                    }
                }
                Ok(())
            }
        }
    }

    fn dirs(&self) -> Vec<&PathBuf> {
        match self {
            Self::V2(dir) => vec![dir],
            Self::V1(dirs) => dirs.iter().map(|(_, dir)| dir).collect(),
        }
    }

    fn of(&self, controller: Controller) -> Option<&PathBuf> {
        match self {
            Self::V2(_) => None,
            Self::V1(dirs) => dirs
                .iter()
                .find(|(c, _)| *c == controller)
                .map(|(_, dir)| dir),
        }
    }

    /// Moves a process in.
    pub(super) fn add(&self, pid: u32) -> io::Result<()> {
        for dir in self.dirs() {
            fs::write(dir.join("cgroup.procs"), pid.to_string())?;
        }
        Ok(())
    }

    /// Removes the folders; not while a process is in one. What is not there is fine.
    pub(super) fn remove(&self) -> io::Result<()> {
        for dir in self.dirs() {
            match fs::remove_dir(dir) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn freeze(&self, frozen: bool) -> io::Result<()> {
        match self {
            Self::V2(dir) => fs::write(dir.join("cgroup.freeze"), if frozen { "1" } else { "0" }),
            Self::V1(_) => {
                let dir = self
                    .of(Controller::Freezer)
                    .ok_or_else(|| io::Error::other("no freezer can be written here"))?;
                fs::write(
                    dir.join("freezer.state"),
                    if frozen { "FROZEN" } else { "THAWED" },
                )
            }
        }
    }

    pub(super) fn stats(&self) -> Stats {
        let number = |path: PathBuf| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
        match self {
            Self::V2(dir) => Stats {
                memory_bytes: number(dir.join("memory.current")),
                cpu_us: fs::read_to_string(dir.join("cpu.stat"))
                    .ok()
                    .and_then(|text| {
                        text.lines()
                            .find_map(|l| l.strip_prefix("usage_usec ")?.parse().ok())
                    }),
                pids: number(dir.join("pids.current")),
            },
            Self::V1(_) => Stats {
                memory_bytes: self
                    .of(Controller::Memory)
                    .and_then(|d| number(d.join("memory.usage_in_bytes"))),
                cpu_us: self
                    .of(Controller::CpuAcct)
                    .and_then(|d| number(d.join("cpuacct.usage")))
                    .map(|ns| ns / 1000),
                pids: self
                    .of(Controller::Pids)
                    .and_then(|d| number(d.join("pids.current"))),
            },
        }
    }
}
