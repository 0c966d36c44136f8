//! Case 29: what a guest must not reach, tried for real.

use std::net::TcpListener;

use leitstand_containers::backend::Backend as _;

use crate::lab::{backend, denied, run, start, works};

/// The interpreter of the host's userland; Debian has it.
const PYTHON: &str = "/usr/bin/python3 -c";

pub(crate) async fn golden_c29_escapes_by_files_and_processes() {
    let backend = backend();
    let guest = start(&backend).await;
    let secret = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir()
        .unwrap();
    let file = secret.path().join("secret");
    std::fs::write(&file, "secret").unwrap();
    denied(&guest, &format!("cat {}", file.display())).await;
    denied(&guest, "cat /etc/shadow").await;
    denied(&guest, "ls /proc/1/root").await;
    denied(&guest, "cat /proc/1/environ").await;
    denied(&guest, "ls -l /proc/1/fd").await;
    denied(&guest, "head -c1 /proc/1/mem").await;
    denied(&guest, "test -s /proc/kallsyms").await;
    // This test is a process of the host.
    let host = std::process::id();
    denied(&guest, &format!("kill -0 {host}")).await;
    let pids = works(&guest, "ls -d /proc/[0-9]* | wc -l").await;
    assert!(
        pids.trim().parse::<u32>().unwrap() < 10,
        "{pids} processes are seen"
    );
    // Process 1 cannot be ended from inside.
    run(&guest, "kill -9 1; kill -TERM 1; kill -STOP 1").await;
    works(&guest, "true").await;

    denied(&guest, "mount -t tmpfs none /mnt").await;
    denied(&guest, "mount -o remount,rw /usr").await;
    denied(&guest, "umount -l /proc/keys").await;
    denied(&guest, "touch /usr/x").await;
    denied(&guest, "touch /etc/alternatives/x").await;
    denied(&guest, "unshare -Ur true").await;
    denied(&guest, "unshare -m true").await;
    denied(&guest, "nsenter -t 1 -m true").await;
    denied(&guest, "echo 1 > /proc/sys/kernel/sysrq").await;
    denied(&guest, "echo x > /proc/sys/kernel/core_pattern").await;
    denied(&guest, "ls /sys/fs/cgroup/memory").await;
    let status = works(
        &guest,
        "grep -E 'NoNewPrivs|Seccomp:|Cap' /proc/self/status",
    )
    .await;
    assert!(
        status.contains("NoNewPrivs:\t1") && status.contains("Seccomp:\t2"),
        "{status}"
    );
    assert_eq!(status.matches("0000000000000000").count(), 5, "{status}");
    guest.destroy().await.unwrap();
}

pub(crate) async fn golden_c29_escapes_by_devices_and_sockets() {
    let backend = backend();
    let guest = start(&backend).await;
    denied(&guest, "mknod /tmp/disk b 8 0").await;
    denied(&guest, "mknod /tmp/mem c 1 1").await;
    denied(&guest, "ls /dev/mem").await;
    denied(&guest, "ls /dev/sda /dev/vda /dev/kvm").await;
    works(
        &guest,
        "echo x > /dev/null && head -c4 /dev/urandom > /dev/null",
    )
    .await;
    denied(
        &guest,
        &format!("{PYTHON} 'import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)'"),
    )
    .await;
    denied(
        &guest,
        &format!("{PYTHON} 'import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)'"),
    )
    .await;
    denied(
        &guest,
        &format!("{PYTHON} 'import socket; socket.socket(40, socket.SOCK_STREAM)'"),
    )
    .await;
    // Ordinary ones are there, or this proves nothing.
    works(
        &guest,
        &format!("{PYTHON} 'import socket; socket.socket()'"),
    )
    .await;
    // Typing into the terminal that one was started from.
    denied(
        &guest,
        &format!("{PYTHON} 'import fcntl, termios; fcntl.ioctl(0, termios.TIOCSTI, b\"x\")'"),
    )
    .await;
    denied(&guest, &format!("{PYTHON} 'import ctypes; c = ctypes.CDLL(None); exit(0 if c.ptrace(16, 1, 0, 0) == 0 else 1)'")).await;
    // keyctl, bpf, io_uring_setup: by number of x86_64.
    #[cfg(target_arch = "x86_64")]
    for number in [250, 321, 425] {
        let call = format!(
            "{PYTHON} 'import ctypes; c = ctypes.CDLL(None, use_errno=True); r = c.syscall({number}, 0, 0, 0); exit(0 if ctypes.get_errno() != 38 else 1)'"
        );
        denied(&guest, &call).await;
    }
    guest.destroy().await.unwrap();
}

pub(crate) async fn golden_c29_escapes_by_network_and_neighbour() {
    let backend = backend();
    let (guest, neighbour) = (start(&backend).await, start(&backend).await);
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    denied(
        &guest,
        &format!("bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}'"),
    )
    .await;
    for address in [
        "10.0.0.1/80",
        "192.168.0.1/80",
        "169.254.169.254/80",
        "1.1.1.1/53",
    ] {
        denied(&guest, &format!("bash -c 'exec 3<>/dev/tcp/{address}'")).await;
    }
    let interfaces = works(
        &guest,
        "ls /proc/self/net/dev && tail -n +3 /proc/self/net/dev | cut -d: -f1",
    )
    .await;
    assert_eq!(
        interfaces.split_whitespace().skip(1).collect::<Vec<_>>(),
        ["lo"],
        "{interfaces}"
    );

    works(
        &neighbour,
        "echo private > ~/note; echo shared > /tmp/note; (sleep 300 >/dev/null 2>&1 &)",
    )
    .await;
    denied(&guest, "cat ~/note").await;
    denied(&guest, "cat /tmp/note").await;
    denied(&guest, "grep -l sleep /proc/[0-9]*/comm").await;
    // An abstract socket of the neighbour has the same name and is another one.
    let serve = format!(
        "({PYTHON} 'import socket,time; s = socket.socket(socket.AF_UNIX); s.bind(b\"\\0leitstand\"); s.listen(); open(\"/tmp/up\",\"w\"); time.sleep(300)' >/dev/null 2>&1 &) ; while [ ! -e /tmp/up ]; do sleep 0.05; done"
    );
    works(&neighbour, &serve).await;
    let join = format!(
        "{PYTHON} 'import socket; socket.socket(socket.AF_UNIX).connect(b\"\\0leitstand\")'"
    );
    works(&neighbour, &join).await;
    denied(&guest, &join).await;
    guest.destroy().await.unwrap();
    neighbour.destroy().await.unwrap();
}

pub(crate) async fn golden_c29_fork_bomb_and_memory_bomb_are_bounded() {
    let backend = backend();
    let guest = start(&backend).await;
    // The shell says "Resource temporarily unavailable" again and again; how it ends is its own affair.
    let bomb = "for i in $(seq 400); do sleep 20 >/dev/null 2>&1 & done 2>/dev/null; ls -d /proc/[0-9]* | wc -l";
    let (text, _) = run(&guest, bomb).await;
    if let Some(pids) = guest.stats().pids {
        assert!(pids <= 128, "{pids} processes: {text}");
    }
    // Others start meanwhile.
    let other = start(&backend).await;
    works(&other, "true").await;
    other.destroy().await.unwrap();
    guest.destroy().await.unwrap();

    let guest = start(&backend).await;
    denied(
        &guest,
        &format!("{PYTHON} 'x = bytearray(1 << 30); print(len(x))'"),
    )
    .await;
    // The writable part is memory, too, and has its own end.
    denied(&guest, "head -c 1000000000 /dev/zero > ~/big").await;
    if let Some(used) = guest.stats().memory_bytes {
        assert!(used <= 256 << 20, "{used} bytes are used");
    }
    guest.destroy().await.unwrap();
    assert_eq!(backend.list_ours().await.unwrap(), []);
}
