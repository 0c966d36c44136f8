//! What every backend must keep to; each one's tests call [`keeps_to`]. Public, so that a backend elsewhere can, too.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use super::{Attach, Backend, Exit, Spec};
use crate::{id::ContainerId, profile::Profile};

/// Create, attach, end, again, leave nothing.
///
/// # Panics
/// When the backend does not keep to it.
pub async fn keeps_to(backend: &dyn Backend) {
    backend.probe().await.unwrap();
    let id = ContainerId::random();
    let spec = Spec {
        id,
        username: "user_12345".into(),
        profile: Profile::host_userland(),
        root: None,
    };
    let guest = backend.create(spec).await.unwrap();
    guest.wait_ready().await.unwrap();
    assert!(backend.list_ours().await.unwrap().contains(&id));

    let attach = Attach {
        command: Some("id -un".into()),
        ..Attach::default()
    };
    let mut session = guest.attach(attach).await.unwrap();
    let mut text = String::new();
    session.output.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "user_12345\n");
    assert_eq!(session.exit.await.unwrap(), Exit::Code(0));

    let attach = Attach {
        command: Some("exit 3".into()),
        ..Attach::default()
    };
    assert_eq!(
        guest.attach(attach).await.unwrap().exit.await.unwrap(),
        Exit::Code(3)
    );

    let open = guest.attach(Attach::default()).await.unwrap();
    guest.destroy().await.unwrap();
    tokio::time::timeout(Duration::from_secs(30), guest.ended())
        .await
        .unwrap();
    assert!(
        open.exit.await.is_err(),
        "a session is cut, it does not exit"
    );
    assert!(guest.attach(Attach::default()).await.is_err());
    guest.destroy().await.unwrap();
    assert!(!backend.list_ours().await.unwrap().contains(&id));
    backend.sweep(id).await.unwrap();
}
