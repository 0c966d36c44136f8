//! Locks process 1 up for good, and with it everything that it will start: resource limits, capabilities, Landlock,
//! system calls. In this order: each step needs what the next one takes away.

use std::{collections::BTreeMap, io};

use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus, Scope,
};
use rustix::{
    net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with},
    process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit},
    thread::{
        CapabilitySet, CapabilitySets, remove_capability_from_bounding_set, set_capabilities,
        set_no_new_privs,
    },
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::step;
use crate::ns::message::Launch;

/// System calls up to here existed when the list below was made; later ones are unknown, and unknown is refused.
const NUMBER_LAST: i64 = libc::SYS_landlock_restrict_self;

/// What a guest has no business with. The rest of the known calls is allowed: a list of what is allowed would break
/// programs of tomorrow's images, and the kernel's own checks still stand behind it.
const DENIED: &[i64] = &[
    // Mounts and roots.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
    // Namespaces. `clone` is looked at by its flags below.
    libc::SYS_unshare,
    libc::SYS_setns,
    // The kernel itself.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_fanotify_init,
    libc::SYS_lookup_dcookie,
    libc::SYS_nfsservctl,
    libc::SYS_vhangup,
    // Time and names of the machine.
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    // Other processes, keys, memory of others.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    libc::SYS_mbind,
    libc::SYS_set_mempolicy,
    // Files by number instead of by name: past every folder that was not given.
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_memfd_secret,
    // Its flags are behind a pointer, where no filter can look; libraries fall back on `clone`.
    libc::SYS_clone3,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_kexec_file_load,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_sysfs,
    #[cfg(target_arch = "x86_64")]
    libc::SYS__sysctl,
];

/// Everything, in order.
pub(super) fn lock_up(launch: &Launch, notes: &mut Vec<String>) -> Result<(), String> {
    step("limits", limits(launch))?;
    step("no new privileges", set_no_new_privs(true))?;
    step("capabilities", no_capabilities())?;
    // A guest of the same account must not read or write the memory of process 1.
    step(
        "dumpable",
        set_dumpable_behavior(DumpableBehavior::NotDumpable),
    )?;
    match landlock() {
        Ok(true) => {}
        Ok(false) => notes.push("Landlock is not available".into()),
        Err(error) => notes.push(format!("Landlock: {error}")),
    }
    step("seccomp", seccomp())
}

fn limits(launch: &Launch) -> io::Result<()> {
    let set = |resource, most: u64| {
        // Never above what we have: raising needs a capability that even root may lack.
        let have = rustix::process::getrlimit(resource);
        let most = have.maximum.map_or(most, |m| m.min(most));
        setrlimit(
            resource,
            Rlimit {
                current: Some(most),
                maximum: Some(most),
            },
        )
    };
    set(Resource::Core, 0)?;
    set(Resource::Nofile, 4096)?;
    set(Resource::Memlock, 64 << 10)?;
    set(Resource::Msgqueue, 64 << 10)?;
    if launch.rlimit_memory {
        set(Resource::As, launch.memory_bytes)?;
    }
    if launch.rlimit_pids {
        set(Resource::Nproc, launch.pids.into())?;
    }
    Ok(())
}

fn no_capabilities() -> io::Result<()> {
    for bit in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        // The first number that the kernel does not know ends the list.
        if remove_capability_from_bounding_set(capability).is_err() {
            break;
        }
    }
    let none = CapabilitySet::empty();
    Ok(set_capabilities(
        None,
        CapabilitySets {
            effective: none,
            permitted: none,
            inheritable: none,
        },
    )?)
}

/// No changes of mounts, no device nodes, no signals and no abstract sockets to the outside, whatever the rest lets
/// through. False where the kernel has none of it.
fn landlock() -> Result<bool, landlock::RulesetError> {
    let abi = ABI::V6;
    let all = AccessFs::from_all(abi);
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .scope(Scope::from_all(abi))?
        .create()?;
    let root = PathFd::new("/").map_err(|_| ()).ok();
    if let Some(root) = root {
        rules = rules.add_rule(PathBeneath::new(
            root,
            all & !AccessFs::MakeBlock & !AccessFs::MakeChar,
        ))?;
    }
    let status = rules.restrict_self()?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

fn seccomp() -> Result<(), String> {
    let program = filter().map_err(|e| e.to_string())?;
    seccompiler::apply_filter(&program).map_err(|e| e.to_string())
}

/// Known calls that are not denied; for `clone`, `socket` and `ioctl` also by their arguments.
fn filter() -> Result<BpfProgram, seccompiler::Error> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = (0..=NUMBER_LAST)
        .filter(|n| !DENIED.contains(n))
        .map(|n| (n, Vec::new()))
        .collect();
    let when = |argument, operator, value| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
    };
    // A new namespace of any kind is one of these bits.
    let namespaces = (libc::CLONE_NEWNS
        | libc::CLONE_NEWUSER
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWCGROUP) as u32;
    let none_of = SeccompCondition::new(
        0,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::MaskedEq(namespaces.into()),
        0,
    )?;
    rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![none_of])?]);
    // Unix, IPv4, IPv6, and netlink for address lists; no packets, no vsock, no exotic families, nothing raw.
    let mut sockets = Vec::new();
    for family in [
        libc::AF_UNIX,
        libc::AF_INET,
        libc::AF_INET6,
        libc::AF_NETLINK,
    ] {
        let this = || when(0, SeccompCmpOp::Eq, family as u64);
        if family == libc::AF_UNIX || family == libc::AF_NETLINK {
            sockets.push(SeccompRule::new(vec![this()?])?);
        } else {
            for kind in [libc::SOCK_STREAM, libc::SOCK_DGRAM] {
                let kind_is = when(1, SeccompCmpOp::MaskedEq(0xf), kind as u64)?;
                sockets.push(SeccompRule::new(vec![this()?, kind_is])?);
            }
        }
    }
    rules.insert(libc::SYS_socket, sockets);
    // Typing into somebody else's terminal, and the console's clipboard.
    let harmless = vec![
        when(1, SeccompCmpOp::Ne, libc::TIOCSTI)?,
        when(1, SeccompCmpOp::Ne, libc::TIOCLINUX)?,
    ];
    rules.insert(libc::SYS_ioctl, vec![SeccompRule::new(harmless)?]);
    let arch: TargetArch = std::env::consts::ARCH.try_into()?;
    // "Not there" makes libraries fall back, from `clone3` above all.
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Errno(libc::ENOSYS as u32),
        SeccompAction::Allow,
        arch,
    )?;
    Ok(filter.try_into()?)
}

/// Switches the container's own loopback on: one request by netlink (RTM_NEWLINK for interface 1).
pub(super) fn loopback_up() -> io::Result<()> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None,
    )?;
    const REQUEST_AND_ACK: u16 = 1 | 4;
    const RTM_NEWLINK: u16 = 16;
    let mut request = Vec::with_capacity(32);
    request.extend(32u32.to_ne_bytes()); // length
    request.extend(RTM_NEWLINK.to_ne_bytes());
    request.extend(REQUEST_AND_ACK.to_ne_bytes());
    request.extend(1u32.to_ne_bytes()); // sequence
    request.extend(0u32.to_ne_bytes()); // to the kernel
    request.extend(0u32.to_ne_bytes()); // family, padding, type
    request.extend(1i32.to_ne_bytes()); // index: loopback is always the first
    request.extend((libc::IFF_UP as u32).to_ne_bytes()); // flags
    request.extend((libc::IFF_UP as u32).to_ne_bytes()); // which of them change
    send(&socket, &request, SendFlags::empty())?;
    let mut answer = [0u8; 128];
    let (n, _) = recv(&socket, &mut answer, RecvFlags::empty())?;
    // An error message with code 0 is the acknowledge.
    let code = answer
        .get(16..20)
        .filter(|_| n >= 20)
        .and_then(|b| b.try_into().ok())
        .map(i32::from_ne_bytes);
    match code {
        Some(0) => Ok(()),
        Some(errno) => Err(io::Error::from_raw_os_error(-errno)),
        None => Err(io::Error::other("the kernel answered something else")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_filter_fits_into_the_kernels_bound() {
        // 4096 instructions are what a filter may have.
        assert!(
            filter().unwrap().len() < 4096,
            "{}",
            filter().unwrap().len()
        );
    }
}
