//! What the tests share, and the tests of the backend itself.

use std::{path::Path, sync::Arc, time::Duration};

use leitstand_containers::{
    backend::{Attach, Backend, Exit, Guest, Session, Spec, contract},
    id::ContainerId,
    ns::Namespaces,
    profile::{Kind, Profile},
};
use tokio::io::AsyncReadExt as _;

pub(crate) fn ci() -> bool {
    std::env::var_os("CI").is_some_and(|v| v == "true")
}

pub(crate) fn backend() -> Namespaces {
    // A word of this run: several may go on at once on one machine.
    let tag = format!("t{:07x}", std::process::id());
    Namespaces::new(std::env::current_exe().unwrap(), &tag, "/".into())
}

pub(crate) async fn usable() -> Result<(), String> {
    let probe = backend().probe().await.map_err(|e| e.to_string())?;
    println!(
        "limits: {}; {}",
        probe.limits,
        if probe.notes.is_empty() {
            "nothing is weaker".into()
        } else {
            probe.notes.join("; ")
        }
    );
    Ok(())
}

pub(crate) fn spec(profile: Profile) -> Spec {
    let root = profile.root(Path::new("/"));
    Spec {
        id: ContainerId::random(),
        username: "user_12345".into(),
        profile,
        root,
    }
}

pub(crate) async fn start(backend: &Namespaces) -> Arc<dyn Guest> {
    let guest = backend
        .create(spec(Profile::host_userland()))
        .await
        .unwrap();
    guest.wait_ready().await.unwrap();
    guest
}

/// Runs a command; its output and errors, and how it ended.
pub(crate) async fn run(guest: &Arc<dyn Guest>, command: &str) -> (String, Option<Exit>) {
    let attach = Attach {
        command: Some(command.into()),
        ..Attach::default()
    };
    let Session {
        output,
        errors,
        exit,
        input,
        ..
    } = guest.attach(attach).await.unwrap();
    drop(input);
    let (mut text, mut trouble) = (Vec::new(), Vec::new());
    let (mut output, mut errors) = (output, errors.unwrap());
    let read = async {
        let _ = tokio::join!(
            output.read_to_end(&mut text),
            errors.read_to_end(&mut trouble)
        );
        exit.await.ok()
    };
    let exit = tokio::time::timeout(Duration::from_secs(120), read)
        .await
        .unwrap();
    text.extend(trouble);
    (String::from_utf8_lossy(&text).into_owned(), exit)
}

/// Runs a command that must not succeed.
pub(crate) async fn denied(guest: &Arc<dyn Guest>, command: &str) {
    let (text, exit) = run(guest, command).await;
    assert_ne!(exit, Some(Exit::Code(0)), "allowed: {command}\n{text}");
    assert_ne!(
        exit,
        Some(Exit::Code(127)),
        "this proves nothing, the program is missing: {command}\n{text}"
    );
}

/// Runs a command that must succeed.
pub(crate) async fn works(guest: &Arc<dyn Guest>, command: &str) -> String {
    let (text, exit) = run(guest, command).await;
    assert_eq!(exit, Some(Exit::Code(0)), "{command}\n{text}");
    text
}

/// Waits for a condition, with a limit that only a broken program reaches.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came true: {what}");
}

pub(crate) async fn ns_keeps_to_the_contract() {
    contract::keeps_to(&backend()).await;
}

/// A few of the host's programs with their libraries: an image that needs nothing to be fetched.
fn image(rootfs: &Path) {
    for program in ["bash", "cat", "ls", "id", "mkdir"] {
        let listed = std::process::Command::new("ldd")
            .arg(format!("/bin/{program}"))
            .output()
            .unwrap();
        let text = String::from_utf8(listed.stdout).unwrap();
        let libraries = text.split_whitespace().filter(|word| word.starts_with('/'));
        for file in libraries.chain([format!("/bin/{program}").as_str()]) {
            let to = rootfs.join(file.trim_start_matches('/'));
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(file, to).unwrap();
        }
    }
    std::os::unix::fs::symlink("bash", rootfs.join("bin/sh")).unwrap();
    std::fs::write(rootfs.join("greeting"), "hello from the image\n").unwrap();
}

/// A folder as an image: seen, written to in private, never changed.
pub(crate) async fn profiles_dir_and_oci_are_private_copies() {
    let dir = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir()
        .unwrap();
    let rootfs = dir.path().join("rootfs");
    std::fs::create_dir(&rootfs).unwrap();
    image(&rootfs);
    let backend = backend();
    for kind in [Kind::Dir(rootfs.clone()), Kind::Oci(dir.path().to_owned())] {
        let guest = backend
            .create(spec(Profile {
                kind,
                ..Profile::host_userland()
            }))
            .await
            .unwrap();
        guest.wait_ready().await.unwrap();
        assert_eq!(
            works(&guest, "cat /greeting; id -un").await,
            "hello from the image\nuser_12345\n"
        );
        works(&guest, "echo mine > /tmp/x; mkdir ~/new; cat /tmp/x").await;
        denied(&guest, "ls /usr/bin").await;
        guest.destroy().await.unwrap();
        assert!(
            !rootfs.join("tmp/x").exists() && !rootfs.join("home").exists(),
            "the image was written to"
        );
    }
    let gone = backend
        .create(spec(Profile {
            kind: Kind::Dir("/no/such/image".into()),
            ..Profile::host_userland()
        }))
        .await;
    assert!(gone.err().unwrap().unavailable);
}

pub(crate) async fn golden_c24_power_off_inside_and_the_end_of_the_command() {
    let backend = backend();
    let guest = start(&backend).await;
    let ended = guest.ended();
    run(&guest, "poweroff").await;
    tokio::time::timeout(Duration::from_secs(30), ended)
        .await
        .unwrap();
    guest.destroy().await.unwrap();

    let command = ["/bin/sh", "-c", "sleep 0.2"].map(String::from).to_vec();
    let guest = backend
        .create(spec(Profile {
            command,
            ..Profile::host_userland()
        }))
        .await
        .unwrap();
    guest.wait_ready().await.unwrap();
    tokio::time::timeout(Duration::from_secs(30), guest.ended())
        .await
        .unwrap();
    guest.destroy().await.unwrap();
    assert_eq!(backend.list_ours().await.unwrap(), []);
}

pub(crate) async fn pause_stops_and_resume_goes_on() {
    let backend = backend();
    let guest = start(&backend).await;
    if let Err(error) = guest.pause(true).await {
        println!("SKIPPED: {error}");
    } else {
        let attach = Attach {
            command: Some("true".into()),
            ..Attach::default()
        };
        let frozen = guest.attach(attach);
        tokio::pin!(frozen);
        assert!(
            tokio::time::timeout(Duration::from_millis(500), &mut frozen)
                .await
                .is_err(),
            "it runs on"
        );
        guest.pause(false).await.unwrap();
        let session = frozen.await.unwrap();
        assert_eq!(session.exit.await.ok(), Some(Exit::Code(0)));
        // Ended while it is frozen: nothing hangs.
        guest.pause(true).await.unwrap();
    }
    guest.destroy().await.unwrap();
}
