//! Logins by OpenSSH's own programs.

use std::{
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::Arc,
};

use leitstand_containers::{
    config::ContainersSection,
    engine::{Created, Engine, Why, Wish},
};
use leitstand_kit::{
    Context,
    config::{Diagnostics, Path as Key},
};

use crate::lab::{backend, ci, until};

pub(crate) struct Gateway {
    pub(crate) engine: Engine,
    pub(crate) dir: tempfile::TempDir,
}

impl Gateway {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let engine = engine(dir.path()).await;
        Self { engine, dir }
    }

    /// A client's command line for `program`, which asks nobody anything.
    fn client(&self, program: &str, created: &Created) -> Command {
        let answer = self.dir.path().join("answer");
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o700)
            .open(&answer)
            .unwrap();
        write!(file, "#!/bin/sh\necho {}\n", created.password).unwrap();
        let known = self.dir.path().join("known_hosts");
        let mut command = Command::new(program);
        command
            .env("SSH_ASKPASS", answer)
            .env("SSH_ASKPASS_REQUIRE", "force")
            .env("DISPLAY", ":0")
            .stdin(Stdio::null());
        command.args([
            "-F",
            "none",
            "-o",
            "StrictHostKeyChecking=accept-new",
            "-o",
            "LogLevel=ERROR",
            "-o",
            "NumberOfPasswordPrompts=1",
        ]);
        command
            .arg("-o")
            .arg(format!("UserKnownHostsFile={}", known.display()))
            .arg("-o")
            .arg(format!("Port={}", created.port));
        command
    }

    async fn ssh(&self, created: &Created, more: &[&str], remote: &str) -> Output {
        let mut command = self.client("ssh", created);
        command
            .args(more)
            .arg(format!("{}@127.0.0.1", created.username))
            .arg(remote);
        output(command).await
    }
}

pub(crate) async fn engine(dir: &Path) -> Engine {
    let cx = Context::for_tests(dir);
    let section = ContainersSection {
        port_range: [30_000, 39_999],
        max_running: 8,
        ..ContainersSection::default()
    };
    let (_, mut diags): (Option<()>, Diagnostics) =
        leitstand_kit::config::Document::parse("", "test").check();
    let settings = leitstand_containers::config::check(&section, &Key::root(), &mut diags).unwrap();
    let engine = Engine::new(&cx, settings, Arc::new(backend())).unwrap();
    engine.start().await.unwrap();
    engine
}

async fn output(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

fn missing(program: &str) -> bool {
    let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|dir| dir.join(program).is_file());
    if !found {
        println!("SKIPPED: no {program}");
        assert!(!ci(), "{program} is installed by .ci/run");
    }
    !found
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

pub(crate) async fn golden_c4_ssh_login_exec_terminal_and_key() {
    if missing("ssh") || missing("ssh-keygen") {
        return;
    }
    let gateway = Gateway::new().await;
    let created = gateway.engine.create(Wish::default()).await.unwrap();
    let who = gateway
        .ssh(&created, &[], "id -un; echo to-stderr >&2; exit 3")
        .await;
    assert_eq!(
        String::from_utf8_lossy(&who.stdout),
        format!("{}\n", created.username),
        "{}",
        text(&who)
    );
    assert_eq!(
        (
            who.status.code(),
            String::from_utf8_lossy(&who.stderr).as_ref()
        ),
        (Some(3), "to-stderr\n")
    );
    // With a terminal.
    let tty = gateway
        .ssh(&created, &["-tt"], "tty; stty size; echo $TERM")
        .await;
    assert!(text(&tty).contains("/dev/pts/0"), "{}", text(&tty));
    // A wrong password.
    let wrong = Created {
        password: "wrong".into(),
        ..created.clone()
    };
    assert_eq!(
        gateway.ssh(&wrong, &[], "true").await.status.code(),
        Some(255)
    );
    // The host key is the one that was told.
    let known = gateway.dir.path().join("known_hosts");
    let mut list = Command::new("ssh-keygen");
    list.args(["-l", "-f"]).arg(known);
    let list = text(&output(list).await);
    assert!(
        list.contains(&created.fingerprint),
        "{list} has no {}",
        created.fingerprint
    );
    gateway
        .engine
        .destroy(created.id, Why::Operator, None)
        .await;

    // A key given at CREATE.
    let key = gateway.dir.path().join("key");
    let mut make = Command::new("ssh-keygen");
    make.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key);
    assert!(output(make).await.status.success());
    let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
    let created = gateway
        .engine
        .create(Wish {
            ssh_public_key: Some(public),
            ..Wish::default()
        })
        .await
        .unwrap();
    let identity = key.display().to_string();
    let by_key = gateway
        .ssh(
            &created,
            &["-o", "BatchMode=yes", "-i", &identity],
            "id -un",
        )
        .await;
    assert_eq!(text(&by_key), format!("{}\n", created.username));
    gateway.engine.stop().await;
}

pub(crate) async fn golden_c4_file_copy_in_and_out() {
    if missing("sftp") {
        return;
    }
    let gateway = Gateway::new().await;
    let created = gateway.engine.create(Wish::default()).await.unwrap();
    let file = |name: &str| -> PathBuf { gateway.dir.path().join(name) };
    // Larger than a packet, a window and a listing's page.
    let bytes: Vec<u8> = (0..3_000_000u32).map(|n| (n ^ n >> 8) as u8).collect();
    std::fs::write(file("in"), &bytes).unwrap();
    let batch = format!(
        "put {0} big\nmkdir folder\nrename big folder/big\nls -l folder\nget folder/big {1}\nrm folder/big\nrmdir folder\nsymlink /etc/hostname name\nget name {2}\n-get /etc/shadow {3}\nchmod 600 /nothing\n",
        file("in").display(), file("out").display(), file("host").display(), file("shadow").display()
    )
    .replace("chmod 600 /nothing\n", "");
    std::fs::write(file("batch"), batch).unwrap();
    let mut command = gateway.client("sftp", &created);
    // A batch wants no questions, and the password is one.
    command
        .args(["-o", "BatchMode=no", "-b"])
        .arg(file("batch"))
        .arg(format!("{}@127.0.0.1", created.username));
    let done = output(command).await;
    assert!(done.status.success(), "{}", text(&done));
    assert!(
        std::fs::read(file("out")).unwrap() == bytes,
        "it came back changed"
    );
    // The link was followed inside.
    assert_eq!(
        std::fs::read_to_string(file("host")).unwrap(),
        "container\n"
    );
    assert!(!file("shadow").exists());
    gateway.engine.stop().await;
}

pub(crate) async fn golden_c7_live_connections_are_cut() {
    if missing("ssh") {
        return;
    }
    let gateway = Gateway::new().await;
    let created = gateway.engine.create(Wish::default()).await.unwrap();
    let mut command = gateway.client("ssh", &created);
    command
        .arg(format!("{}@127.0.0.1", created.username))
        .arg("sleep 1000")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut live = command.spawn().unwrap();
    let activity = gateway.engine.get(created.id).unwrap().activity.clone();
    until("the session is open", || activity.sessions() == 1).await;
    assert!(
        gateway
            .engine
            .destroy(created.id, Why::Operator, None)
            .await
    );
    until("the client was cut", || live.try_wait().unwrap().is_some()).await;
    assert!(std::net::TcpStream::connect(("127.0.0.1", created.port)).is_err());
    assert_eq!(gateway.engine.available(), 8);
    gateway.engine.stop().await;
}
